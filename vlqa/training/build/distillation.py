"""The parts of a run in which an encoder has a teacher."""

from __future__ import annotations

from vlqa.data.facts import DISTORTIONS, SCENES
from vlqa.data.rated import Labels
from vlqa.errors import ConfigError
from vlqa.predictors.encoded import EncoderPredictor
from vlqa.predictors.regression import RegressionPredictor
from vlqa.predictors.views import Scales
from vlqa.training.build.encoders import trained_encoder
from vlqa.training.build.pictures import pictures_of
from vlqa.training.build.run import Run
from vlqa.training.config.distillation import DistillationConfig
from vlqa.training.distillation import DistillationObjective


def build(config: DistillationConfig) -> Run:
    """An encoder that embeds, for a regressor or for the image tower of a multitask run.

    Raises:
        ConfigError: no teacher, or an encoder with a head, which nothing would train.
    """
    encoder = trained_encoder(config.encoder)
    if len(encoder.head):
        raise ConfigError("encoder.head: the teacher's maps train the trunk only; leave the head out")
    pictures = pictures_of(config.data, config.seed, Labels(SCENES, DISTORTIONS))
    if pictures.teacher is None:
        raise ConfigError("data.teacher: name the file of a MobileNetV2")
    objective = DistillationObjective(encoder, pictures.teacher, config.objective)

    def predictor() -> EncoderPredictor:
        return RegressionPredictor({"encoder": encoder.eval()}, Scales(), None, normalize=False, name=config.name)

    return Run(objective, pictures.samples, pictures.batch_size, predictor)
