"""What is recorded of one forward pass."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ForwardPass"]


@dataclass(slots=True, eq=False)
class ForwardPass:
    """One forward pass of the module.

    Parameters
    ----------
    n_samples : int
        Samples of its output.
    training : bool
        Whether the module was in training mode.
    modes : tuple of bool
        The same for the layers to which the mode matters.
    trained : bool, default=False
        Whether a backward pass has reached it.
    labelled : bool, default=False
        Whether the criterion was called with its output.
    """

    n_samples: int
    training: bool
    modes: tuple[bool, ...]
    trained: bool = False
    labelled: bool = False
