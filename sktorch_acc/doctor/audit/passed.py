"""What is known of one forward pass."""

from __future__ import annotations

__all__ = ["Passed"]


class Passed:
    """One forward pass of the module.

    Parameters
    ----------
    rows : int
        Rows of its output.
    training : bool
        Whether the module was in training mode.
    modes : tuple of bool
        The same for the layers to which the mode matters.
    """

    __slots__ = ("labelled", "modes", "rows", "trained", "training")

    def __init__(self, rows: int, training: bool, modes: tuple[bool, ...]) -> None:
        self.rows, self.training, self.modes = rows, training, modes
        self.trained = self.labelled = False
