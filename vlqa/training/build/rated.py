"""The rated sets of a recipe."""

from __future__ import annotations

import functools

from vlqa.data.manifest import Manifest
from vlqa.data.rated import Labels
from vlqa.errors import ManifestError
from vlqa.prompts import PromptSet
from vlqa.training.config.common import RatedSet


def read_rated(entry: RatedSet, *, unrated: bool = False) -> Manifest:
    """The rows of a rated set that are not in its excluded folds.

    Args:
        entry: of the recipe.
        unrated: whether rows may have other labels and no opinion.

    Raises:
        ManifestError: pictures are missing, or folds are excluded that are not there.
    """
    manifest = Manifest.read(entry.labels, images=entry.images, unrated=unrated)
    if missing := [path for path in manifest.paths if not path.is_file()]:  # training reads files alone
        count = f"{len(missing)} of {len(manifest)} pictures are missing, first {missing[0]}"
        raise ManifestError(f"{entry.labels}: {count}; set images to the folder that its paths start from")
    if not entry.exclude_folds:
        return manifest
    if manifest.fold is None:
        raise ManifestError(f"{entry.labels}: exclude_folds needs a column fold")
    folds = sorted({int(fold) for fold in manifest.fold})
    if absent := sorted(set(entry.exclude_folds) - set(folds)):
        there = ", ".join(map(str, folds))
        raise ManifestError(f"{entry.labels}: exclude_folds names {absent[0]}, but there are folds {there} only")
    return manifest.subset([int(fold) not in entry.exclude_folds for fold in manifest.fold])


def labels_of(prompts: PromptSet) -> Labels:
    """What the losses of joint prompts know; none of an axis that the prompts have not."""
    axes = dict(prompts.axes)
    return Labels(
        scenes=axes.get("scene", ()),
        distortions=axes.get("distortion", ()),
        worth=(min(prompts.values), max(prompts.values)),
        fold_scene=functools.partial(prompts.fold, "scene"),
        fold_distortion=functools.partial(prompts.fold, "distortion"),
    )
