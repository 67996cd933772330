"""Heat maps of quality, one PNG a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vlqa.data.images import MAX_PIXELS, decode
from vlqa.errors import ConfigError, MissingExtraError
from vlqa.predictors.quality_map import painted, window_map
from vlqa.types import Assessment, Explanation

if TYPE_CHECKING:
    from vlqa.predictors.base import ImagePredictor


class MapWriter:
    """Writes the quality map of each picture beside the picture itself.

    Args:
        folder: created where it is missing.
        predictor: whose scores are shown.

    Raises:
        MissingExtraError: matplotlib is not installed.
        ConfigError: a file is in the way.
    """

    def __init__(self, folder: Path, predictor: ImagePredictor) -> None:
        try:
            import matplotlib
        except ImportError:
            raise MissingExtraError("matplotlib", "notebooks") from None
        matplotlib.use("agg")
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"--map {folder}: a file is in the way; name a folder")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.predictor = predictor
        self._taken: set[str] = set()

    def write(self, record: Assessment) -> Path:
        """Map of the picture of a record; of two with the same name the second gets a number.

        From the record's own patches where it has any, else from windows.
        """
        from matplotlib import pyplot

        assert record.path is not None
        pixels = decode(record.path, max_pixels=self.predictor.reading.get("max_image_pixels", MAX_PIXELS))
        if isinstance(record, Explanation) and record.patches is not None:
            values = painted(record.patches, pixels)
        else:
            values, pixels = window_map(self.predictor, pixels)
        low, high = self.predictor.scale
        height, width = (max(1.0, 6 * side / max(pixels.shape[:2])) for side in pixels.shape[:2])  # inches
        figure, axes = pyplot.subplots(1, 2, figsize=(2 * width + 1, height), layout="constrained")
        axes[0].imshow(pixels)
        axes[1].imshow(pixels.mean(axis=2), cmap="gray")
        shown = axes[1].imshow(values, cmap="RdYlGn", vmin=low, vmax=high, alpha=0.6)
        for axis in axes:
            axis.set_axis_off()
        figure.colorbar(shown, ax=axes[1], label=f"{self.predictor.name}: {low:g} worst … {high:g} best", shrink=0.8)
        path = self.folder / f"{self._name(Path(record.path).stem)}.png"
        figure.savefig(path, dpi=100)
        pyplot.close(figure)
        return path

    def _name(self, stem: str) -> str:
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name
