"""The undamaged pictures that `vlqa score --reference` compares with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vlqa.apps.pictures import file_name
from vlqa.errors import ConfigError
from vlqa.predictors.regression import RegressionPredictor
from vlqa.types import Assessment

if TYPE_CHECKING:
    from vlqa.data.sources.find import Picture
    from vlqa.predictors.base import ImagePredictor


class References:
    """Tells what each picture is compared with.

    Args:
        place: one picture for all, or a folder that holds one of the same name for each.

    Raises:
        ConfigError: nothing is there.
    """

    def __init__(self, place: Path) -> None:
        if not place.exists():
            raise ConfigError(f"--reference {place}: no such file or folder")
        self.place = place
        self._is_folder = place.is_dir()

    def of(self, picture: Picture) -> Path:
        """Path of the reference of a picture, which need not be there."""
        return self.place / file_name(picture) if self._is_folder else self.place

    def compared(self, predictor: ImagePredictor, pictures: Iterable[Picture]) -> Iterator[Assessment]:
        """The records of pictures.

        Raises:
            ConfigError: the predictor compares with no reference.
        """
        if not isinstance(predictor, RegressionPredictor):
            raise ConfigError(
                f"{predictor.name} compares with no reference; a full-reference regressor of contrique does"
            )
        return predictor.assess_against((picture, self.of(picture)) for picture in pictures)
