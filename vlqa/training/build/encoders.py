"""What runs start from: new encoders, and encoders and backbones of saved models."""

from __future__ import annotations

from vlqa.artifacts import read_checkpoint
from vlqa.errors import ConfigError
from vlqa.hub import load
from vlqa.hub.store import rounds_in_half
from vlqa.models.clip_backbone import ClipBackbone
from vlqa.models.encoder_weights import resnet_under
from vlqa.models.image_encoder import ImageEncoder, build_encoder
from vlqa.models.loading import check_names, find_state_dict
from vlqa.models.lora import Adapters
from vlqa.predictors.base import ImagePredictor
from vlqa.predictors.encoded import EncoderPredictor, only_encoder
from vlqa.predictors.ensemble import EnsemblePredictor, vision_language_view
from vlqa.predictors.prompted import PromptPredictor
from vlqa.training.config.clip import LoraConfig
from vlqa.training.config.common import EncoderConfig, LowConfig


def encoder_of(config: EncoderConfig) -> ImageEncoder:
    """A new encoder with random start values, or a ResNet's published ones.

    Raises:
        CheckpointError: start values that do not fit.
    """
    encoder = build_encoder(config.model_dump(mode="json", exclude={"weights"}))
    if config.weights is not None:
        given = resnet_under(find_state_dict(read_checkpoint(config.weights)), "")
        state = encoder.state_dict() | {
            name: value for name, value in given.items() if not name.startswith("trunk.fc.")
        }
        check_names(state, encoder.state_dict(), f"the encoder ({config.weights})")
        encoder.load_state_dict(state)
    return encoder


def trained_encoder(config: EncoderConfig | str) -> ImageEncoder:
    """What a recipe's key `encoder` asks for, all of it to be trained: a new one, or that of a saved model."""
    if isinstance(config, str):
        return encoder_of_model(config, "encoder").requires_grad_(True)
    return encoder_of(config)


def encoder_of_model(model: str, key: str) -> ImageEncoder:
    """The one encoder of a saved model.

    Args:
        model: its folder or name.
        key: of the recipe, for the message.

    Raises:
        ConfigError: it has none, or several.
    """
    encoder = only_encoder(load(model, device="cpu"))
    if encoder is None:
        raise ConfigError(f"{key}: {model} is no model of one image encoder; give one, or an architecture")
    return encoder


def backbone_of_model(model: str, key: str, *, tuned: bool) -> ClipBackbone:
    """Both towers of a saved model.

    Args:
        model: its folder or name.
        key: of the recipe, for the message.
        tuned: with the adapter that the model uses added to the weights; else as they were without any.

    Raises:
        ConfigError: it has no text tower.
    """
    high = vision_language_view(load(model, device="cpu"))
    if high is None:
        raise ConfigError(f"{key}: {model} has no text tower of its own; mini has")
    if tuned:
        return high.backbone
    bare = vision_language_view(load(model, adapter=None, device="cpu"))
    assert bare is not None
    return bare.backbone


def add_adapter(backbone: ClipBackbone, config: LoraConfig, *, half: bool) -> None:
    """A new adapter on a backbone, which alone is trained from now on.

    Args:
        backbone: changed in place.
        config: the recipe's `lora`.
        half: whether the model that comes out is stored in float16.

    Raises:
        ConfigError: targets that the backbone has not, or a base that float16 would change under its adapter.
    """
    adapters = Adapters(backbone)
    if half and rounds_in_half(adapters.base_state()):
        raise ConfigError("half: an adapter needs its base as it is, and float16 would change it; leave half out")
    adapters.add(config.name, config.options())


def low_level_of_model(config: LowConfig | None) -> EncoderPredictor | None:
    """The low-level view of a saved model, or of a saved model of two views; None without a recipe for one.

    Raises:
        ConfigError: it has none.
        NotFittedError: it has one that cannot score yet.
    """
    if config is None:
        return None
    predictor = load(config.model, device="cpu")
    low = predictor.low if isinstance(predictor, EnsemblePredictor) else predictor
    if not isinstance(low, EncoderPredictor):
        raise ConfigError(f"low.model: {config.model} is no model of image encoders; grepq-low is one")
    low.check_fitted()
    return low


def beside_low_level(
    high: PromptPredictor, low: EncoderPredictor | None, config: LowConfig | None, name: str
) -> ImagePredictor:
    """The predictor of a run: by both views where it has two."""
    if low is None or config is None:
        return high
    return EnsemblePredictor(high, low, weights=config.weights, name=name)
