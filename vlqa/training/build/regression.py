"""The parts of a run that fine-tunes an encoder on opinions."""

from __future__ import annotations

import numpy as np

from vlqa.data.rated import Labels, RatedPhotos
from vlqa.data.training_sets import Interleaved
from vlqa.models.fusion import FusionEncoder
from vlqa.models.image_encoder import ImageEncoder
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.regression import LinearRegressor, RegressionPredictor
from vlqa.predictors.views import Scales
from vlqa.training.build.encoders import backbone_of_model, encoder_of_model, trained_encoder
from vlqa.training.build.rated import read_rated
from vlqa.training.build.run import Run
from vlqa.training.config.regression import FusionConfig, RegressionConfig
from vlqa.training.regression import RegressionObjective


def build(config: RegressionConfig) -> Run:
    """An encoder, new or of a saved model, with a linear head; its predictor scores on the scale of the opinions."""
    entry = config.data.rated
    manifest = read_rated(entry)
    nothing_else = Labels(scenes=(), distortions=())
    rated = RatedPhotos(manifest, set_id=1, seed=config.seed, mos_range=entry.mos_range, labels=nothing_else)
    objective = RegressionObjective(_encoder(config), float(np.mean(rated.mos)), float(np.std(rated.mos)) or 1.0)

    def predictor() -> EncoderPredictor:
        low, high = entry.mos_range
        share = (high - low) / 4  # the head's opinions are on 1–5
        weight = objective.head.weight.detach().double()[0] * objective.spread
        bias = objective.head.bias.item() * objective.spread + objective.middle
        scale = (min(low, high), max(low, high))
        regressor = LinearRegressor(weight * share, (bias - 1) * share + low, scale)
        encoders = {"encoder": objective.encoder.eval()}
        return RegressionPredictor(encoders, Scales(), regressor, normalize=False, name=config.name)

    samples = Interleaved([rated], [entry.per_batch], [config.data.size], config.seed)
    return Run(objective, samples, entry.per_batch, predictor)


def _encoder(config: RegressionConfig) -> ImageEncoder | FusionEncoder:
    if isinstance(config.encoder, FusionConfig):
        options = config.encoder.model_dump(include={"normalize", "gate"})
        high = backbone_of_model(config.encoder.high, "encoder.high", tuned=True)
        high.text.requires_grad_(False)  # is not asked
        high.log_scale.requires_grad_(False)
        high.visual.requires_grad_(True)
        low = encoder_of_model(config.encoder.low, "encoder.low")
        return FusionEncoder(high, low.requires_grad_(True), **options)
    return trained_encoder(config.encoder)
