"""Real and synthetic tables for examples and tests."""

from sktorch_acc.datasets.job_types import make_job_types
from sktorch_acc.datasets.occupations import load_occupations

__all__ = ["load_occupations", "make_job_types"]
