"""Features of the pictures of a label file, for commands that compare them with sentences."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vlqa.apps.progress import counted
from vlqa.data.complaints import named
from vlqa.errors import ImageWarning, VLQAError
from vlqa.fewshot.store import FeatureStore
from vlqa.predictors.base import ImagePredictor
from vlqa.types import Source


def features_of(
    predictor: ImagePredictor, paths: Sequence[str | os.PathLike[str] | Source], store: FeatureStore | None
) -> npt.NDArray[np.float32]:
    """(n, d) rows, from a store where one is given; NaN, with an `ImageWarning`, for a picture that fails.

    Args:
        predictor: whose features.
        paths: of the pictures, or their sources.
        store: None encodes all pictures and keeps nothing.

    Raises:
        VLQAError: every picture fails.
    """
    with counted("encoding", total=len(paths)) as count:
        if store is not None:
            return store.features(predictor, paths, count)
        rows, failed = np.full((len(paths), predictor.width), np.nan, np.float32), 0
        for number, found in enumerate(predictor.embed_stream(paths)):
            if isinstance(found, VLQAError):
                failed += 1
                if failed == len(paths):
                    raise VLQAError(f"all {failed} images fail; the last: {' '.join(str(found).split())}")
                warnings.warn(f"no features: {named(paths[number], found)}", ImageWarning, stacklevel=2)
            else:
                rows[number] = found
            count(failed)
    return rows
