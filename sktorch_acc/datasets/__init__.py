"""Tables that come with the library."""

from sktorch_acc.datasets.occupations import load_occupations

__all__ = ["load_occupations"]
