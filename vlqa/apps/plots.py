"""Plots into files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vlqa.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SUFFIXES = (".png", ".pdf", ".svg")


class PlotFile:
    """A file that a plot will be written to; made before the work whose outcome it shows.

    Args:
        path: .png, .pdf or .svg.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ConfigError: another suffix, or a folder.
    """

    def __init__(self, path: Path) -> None:
        try:
            import matplotlib
        except ImportError:
            raise MissingExtraError("matplotlib", "notebooks") from None
        matplotlib.use("agg")
        if path.suffix.lower() not in _SUFFIXES or path.is_dir():
            raise ConfigError(f"--plot {path}: name a file that ends in {', '.join(_SUFFIXES)}")
        self.path = path

    def write(self, draw: Callable[[Axes], None], rows: int = 20) -> None:
        """Draw on one pair of axes.

        Args:
            draw: what to do with them.
            rows: of text beside the plot, which decide its height.
        """
        from matplotlib import pyplot

        self.path.parent.mkdir(parents=True, exist_ok=True)
        figure, axes = pyplot.subplots(figsize=(9, max(3.5, 1.5 + 0.28 * rows)), layout="constrained")
        try:
            draw(axes)
            figure.savefig(self.path, dpi=120)
        finally:
            pyplot.close(figure)
