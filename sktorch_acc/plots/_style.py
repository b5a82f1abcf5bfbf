"""Colours and axes of both Displays."""

from __future__ import annotations

from typing import Any

# Okabe and Ito (2008), "Color universal design": distinguishable with the common forms of colour blindness.
TRAIN, VALID = "#0072B2", "#D55E00"  # blue, vermilion
CLASS_COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
GREY, INK = "#8C8C8C", "#404040"


def need_matplotlib(owner: str) -> None:
    """Raise before anything is computed if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as err:
        raise ImportError(f"{owner} needs matplotlib: pip install 'sktorch-acc[plot]'.") from err


def axes_for(owner: str, ax: Any, size: tuple[float, float]) -> Any:
    """Return the given axes, or those of a new pyplot figure."""
    need_matplotlib(owner)
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def despine(ax: Any, *sides: str) -> None:
    """Hide the named sides of the frame and draw the others in grey."""
    for side, spine in ax.spines.items():
        spine.set_visible(side not in sides)
        spine.set_color(GREY)
    ax.tick_params(color=GREY, labelcolor=INK)
