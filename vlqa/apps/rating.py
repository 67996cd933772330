"""Rate pictures in a notebook: one at a time, one button a grade."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from vlqa.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from vlqa.types import ImageLike

GRADES = {"bad": 1.0, "poor": 2.0, "fair": 3.0, "good": 4.0, "excellent": 5.0}
"""The five grades of ITU-R BT.500 and their numbers."""

_SHOWN = 480


class RatingWidget:
    """Shows pictures one after another with a button for each grade; display it as the last line of a cell.

    Args:
        images: paths, bytes, PIL images or uint8 H×W×3 arrays.
        grades: names of the buttons and the numbers they stand for, worst first.

    Attributes:
        ratings: number of each picture that was rated, by its place among the images.

    Raises:
        MissingExtraError: ipywidgets is not installed.
        ConfigError: no pictures.
    """

    def __init__(self, images: Sequence[ImageLike], grades: dict[str, float] | None = None) -> None:
        try:
            import ipywidgets
        except ImportError:
            raise MissingExtraError("ipywidgets", "notebooks") from None
        if not len(images):
            raise ConfigError("there are no pictures to rate; give a list of paths or arrays")
        self.images = list(images)
        self.grades = dict(grades or GRADES)
        self.ratings: dict[int, float] = {}
        self.place = 0
        self._picture = ipywidgets.Image(format="png")
        self._title = ipywidgets.Label()
        self.buttons = {name: ipywidgets.Button(description=name) for name in self.grades}
        self.back = ipywidgets.Button(description="back", icon="arrow-left")
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self.rate(name))
        self.back.on_click(lambda _: self._show(self.place - 1))
        row = ipywidgets.HBox([self.back, *self.buttons.values()])
        self.box = ipywidgets.VBox([self._title, self._picture, row])
        self._show(0)

    def rate(self, grade: str) -> None:
        """Give the picture that is shown a grade, and show the next that has none."""
        self.ratings[self.place] = self.grades[grade]
        unrated = [place for place in range(len(self.images)) if place not in self.ratings]
        later = [place for place in unrated if place > self.place]
        self._show(next(iter(later or unrated), self.place))

    def rated(self) -> tuple[list[ImageLike], list[float]]:
        """The pictures that have a grade, and their numbers, as `FewShotPredictor.fit` takes them."""
        places = sorted(self.ratings)
        return [self.images[place] for place in places], [self.ratings[place] for place in places]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write path and mos of what was rated as CSV, for `vlqa fit`.

        Raises:
            ConfigError: pictures that are no files, so that a table cannot name them.
        """
        from vlqa.artifacts import atomic_write

        images, mos = self.rated()
        paths = [os.fspath(image) for image in images if isinstance(image, str | os.PathLike)]
        if len(paths) < len(images):
            raise ConfigError(
                "only files can be named in a table, and some pictures are none; give paths to the widget"
            )
        with atomic_write(path, "w") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("path", "mos"))
            rows.writerows((str(Path(path).resolve()), rating) for path, rating in zip(paths, mos, strict=True))

    def _ipython_display_(self) -> None:
        import IPython.display

        IPython.display.display(self.box)

    def _show(self, place: int) -> None:
        from vlqa.data.images import decode

        self.place = max(0, place)
        given = self.ratings.get(self.place)
        grade = next((name for name, number in self.grades.items() if number == given), "")
        done = f", {len(self.ratings)} rated"
        self._title.value = f"picture {self.place + 1} of {len(self.images)}{done}{': ' + grade if grade else ''}"
        picture: Any = Image.fromarray(decode(self.images[self.place]))
        picture.thumbnail((_SHOWN, _SHOWN))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        self._picture.value = buffer.getvalue()
