"""Heat maps of quality, one PNG a picture."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PIL import Image

from vlqa.apps.pictures import file_name, name_of
from vlqa.artifacts import atomic_write
from vlqa.data.images import MAX_PIXELS, decode
from vlqa.errors import ConfigError, MissingExtraError
from vlqa.predictors.quality_map import painted, window_map
from vlqa.types import Assessment, Explanation, Source

if TYPE_CHECKING:
    from vlqa.data.sources.find import Picture
    from vlqa.predictors.base import ImagePredictor
    from vlqa.types import ImageLike

Value = TypeVar("Value")

_SOFTWARE = "vlqa"  # what a map says it was made by
_LONGEST = 200  # bytes of a name, which in an archive or an address may be longer than that of a file


class _Kept:
    """A source whose bytes stay once they are read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.data: bytes | str | None = None

    def read(self) -> bytes | str:
        self.data = self.source.read()
        return self.data


class MapWriter:
    """Writes the quality map of each picture beside the picture itself.

    Args:
        folder: created where it is missing.
        predictor: whose scores are shown.

    Attributes:
        drawn: how many maps were written.

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
        self.drawn = 0
        self._taken: set[str] = set()
        self._names: dict[str, deque[str]] = {}
        self._given: dict[str, deque[_Kept]] = {}

    def naming(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """The same pictures, whose maps get names in this order, drawn now or in an earlier run."""
        for picture in pictures:
            self._names.setdefault(name_of(picture), deque()).append(self._name(picture))
            yield picture

    def noting(self, pictures: Iterable[Picture]) -> Iterator[Picture]:
        """The same pictures, of which those that are no files are kept until `write` is given their record."""
        for picture in pictures:
            if isinstance(picture, Source):
                kept = _Kept(picture)
                self._given.setdefault(picture.name, deque()).append(kept)
                yield Source(picture.name, kept.read, picture.stamp)
            else:
                yield picture

    def write(self, record: Assessment) -> Path | None:
        """Map of the picture of a record; None of one that failed; of two with the same name the second gets a number.

        From the record's own patches where it has any, else from windows.

        Raises:
            ConfigError: a file that is no map is in the way.
            ImageDecodeError: the picture cannot be decoded any more.
        """
        from matplotlib import pyplot

        image, name = self._image(record.path), _next(self._names, record.path)
        if record.error is not None or record.path is None or image is None:
            return None
        path = self.folder / f"{name or self._name(record.path)}.png"
        if path.exists() and not _is_map(path):
            raise ConfigError(f"{path} is in the way and no map; name another --map")
        pixels = decode(image, max_pixels=self.predictor.reading.get("max_image_pixels", MAX_PIXELS))
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
        try:
            with atomic_write(path) as file:
                figure.savefig(file, format="png", dpi=100, metadata={"Software": _SOFTWARE})
        except OSError as error:  # to end the run: a record without its map would not be looked at again
            raise OSError(error.errno, error.strerror, str(path)) from None
        pyplot.close(figure)
        self.drawn += 1
        return path

    def _image(self, name: str | None) -> ImageLike | None:
        kept = _next(self._given, name)
        return name if kept is None else kept.data

    def _name(self, picture: Picture) -> str:
        stem = (
            Path(file_name(picture))
            .stem.replace("\0", "_")
            .encode("utf-8", "surrogateescape")[:_LONGEST]
            .decode("utf-8", "surrogateescape")
        )
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name


def _is_map(path: Path) -> bool:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get("Software") == _SOFTWARE
    except (OSError, ValueError, SyntaxError):
        return False


def _next(queues: dict[str, deque[Value]], name: str | None) -> Value | None:
    """Take the first of what waits for a name, None where nothing does."""
    waiting = queues.get(name or "")
    if waiting is None:
        return None
    first = waiting.popleft()
    if not waiting:
        del queues[name or ""]
    return first
