"""The parts of runs that teach an encoder without labels."""

from __future__ import annotations

from collections.abc import Callable

from vlqa.data.pretext.datasets import (
    ArniqaPairs,
    ContentViews,
    ContriqueViews,
    GrepqVersions,
    PretextSet,
    QptPatches,
    ReIqaVersions,
)
from vlqa.models.image_encoder import ImageEncoder
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.pristine import PristinePredictor, pristine_statistics
from vlqa.predictors.regression import RegressionPredictor
from vlqa.predictors.views import Scales
from vlqa.training.arniqa import ArniqaObjective
from vlqa.training.build.encoders import encoder_of
from vlqa.training.build.run import Run
from vlqa.training.config.pretext import (
    ArniqaConfig,
    ContriqueConfig,
    GrepqLowConfig,
    PretextConfig,
    QptConfig,
    ReIqaConfig,
)
from vlqa.training.contrique import ContriqueObjective
from vlqa.training.grepq_low import GrepqLowObjective
from vlqa.training.objective import Objective
from vlqa.training.photos import find_photos, training_photos
from vlqa.training.qpt import QptObjective
from vlqa.training.re_iqa import ReIqaObjective

_WHOLE_AND_HALF = Scales((1.0, 0.5))


def build_grepq_low(config: GrepqLowConfig) -> Run:
    """GRepQ's low-level view; its predictor has statistics of the photographs in `pristine`."""
    encoder = encoder_of(config.encoder)
    samples = GrepqVersions(training_photos(config.data), seed=config.seed, size=config.data.size, types=config.types)

    def predictor() -> EncoderPredictor:
        bare = PristinePredictor({"low": encoder.eval()}, None, name=config.name)
        if config.pristine:
            bare.statistics = pristine_statistics(bare, find_photos(config.pristine))
        return bare

    return _run(config, GrepqLowObjective(encoder, config.temperature), samples, predictor)


def build_contrique(config: ContriqueConfig) -> Run:
    """CONTRIQUE, half of its samples from pictures with damage of their own where the recipe names any."""
    encoder = encoder_of(config.encoder)
    authentic = find_photos(config.data.authentic)
    samples = ContriqueViews(training_photos(config.data), authentic, seed=config.seed, size=config.data.size)
    objective = ContriqueObjective(encoder, config.projection, config.temperature)
    return _run(config, objective, samples, _embedder(config, encoder, _WHOLE_AND_HALF, normalize=True))


def build_re_iqa(config: ReIqaConfig) -> Run:
    """One of Re-IQA's encoders."""
    encoder = encoder_of(config.encoder)
    photos = training_photos(config.data)
    samples: PretextSet = (
        ContentViews(photos, seed=config.seed, size=config.data.size)
        if config.method == "re-iqa-content"
        else ReIqaVersions(photos, seed=config.seed, size=config.data.size, types=config.types)
    )
    objective = ReIqaObjective(encoder, **config.contrast.model_dump())
    return _run(config, objective, samples, _embedder(config, encoder, _WHOLE_AND_HALF, normalize=False))


def build_qpt(config: QptConfig) -> Run:
    """QPT's pretext stage; `regression` is its second."""
    encoder = encoder_of(config.encoder)
    photos = training_photos(config.data)
    samples = QptPatches(photos, seed=config.seed, size=config.data.size, negatives=config.negatives)
    objective = QptObjective(encoder, **config.contrast.model_dump())
    return _run(config, objective, samples, _embedder(config, encoder, Scales(), normalize=False))


def build_arniqa(config: ArniqaConfig) -> Run:
    """ARNIQA."""
    encoder = encoder_of(config.encoder)
    samples = ArniqaPairs(training_photos(config.data), seed=config.seed, size=config.data.size)
    objective = ArniqaObjective(encoder, config.projection, config.temperature)
    view = Scales((1.0, 0.5), crops=5, size=config.data.size, filter="bilinear")
    return _run(config, objective, samples, _embedder(config, encoder, view, normalize=True))


def _embedder(
    config: PretextConfig, encoder: ImageEncoder, view: Scales, *, normalize: bool
) -> Callable[[], EncoderPredictor]:
    def predictor() -> EncoderPredictor:
        return RegressionPredictor({"encoder": encoder.eval()}, view, None, normalize=normalize, name=config.name)

    return predictor


def _run(
    config: PretextConfig, objective: Objective, samples: PretextSet, predictor: Callable[[], EncoderPredictor]
) -> Run:
    return Run(objective, samples, config.data.photos_per_batch, predictor)
