from __future__ import annotations

import open_clip
import pytest
import torch

from tests.models.towers import RESNET, VIT
from vlqa.errors import CheckpointError
from vlqa.models.clip import build_backbone
from vlqa.models.clip_weights import architecture_of_openai, find_state_dict, interpolate_position, normalize_names


def openai(name: str) -> dict[str, torch.Tensor]:
    """The names and shapes of one of OpenAI's models, without the numbers."""
    with torch.device("meta"):
        config = open_clip.get_model_config(name)
        return open_clip.CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"]).state_dict()


@pytest.mark.parametrize(
    "name", ["ViT-B-32", "ViT-B-16", "ViT-L-14", "ViT-L-14-336", "RN50", "RN101", "RN50x4", "RN50x64"]
)
def test_architecture_is_read_from_openai_tensors(name: str) -> None:
    found = architecture_of_openai(openai(name))
    wanted = open_clip.get_model_config(name)
    assert found["quick_gelu"] is True
    assert found["embed_dim"] == wanted["embed_dim"]
    assert found["text_cfg"] == wanted["text_cfg"]
    assert found["vision_cfg"] == {
        key: value for key, value in wanted["vision_cfg"].items() if value and key != "head_width"
    }


def test_architecture_of_other_weights_is_refused() -> None:
    with pytest.raises(CheckpointError, match="not the weights of an OpenAI CLIP"):
        architecture_of_openai({"conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize("architecture", [VIT, RESNET])
@pytest.mark.parametrize("layout", ["flat", "custom", "module", "nested", "half", "no counters", "row"])
def test_every_layout_gives_the_same_backbone(architecture: dict, layout: str) -> None:
    first = build_backbone(architecture)
    named = first.state_dict()
    flat = {name.removeprefix("text."): tensor for name, tensor in named.items()}
    weights = {
        "flat": flat,
        "custom": named,
        "module": {f"module.{name}": tensor for name, tensor in flat.items()},
        "nested": {"epoch": 3, "state_dict": flat},
        "half": {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in flat.items()},
        "no counters": {name: tensor for name, tensor in flat.items() if not name.endswith("num_batches_tracked")},
        "row": flat | {"logit_scale": flat["logit_scale"].reshape(1), "logit_bias": torch.zeros(())},
    }[layout]
    again = build_backbone(architecture, weights=weights)
    assert all(parameter.dtype == torch.float32 for parameter in again.parameters())
    if layout == "half":
        assert torch.allclose(again.text.positional_embedding, first.text.positional_embedding, atol=1e-4)
    else:
        assert again.digest == first.digest


def test_numbers_between_the_weights_are_left_out() -> None:
    marks = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    assert normalize_names(marks | {"visual.proj": torch.zeros(1)}).keys() == {"visual.proj"}


def test_no_tensors_are_refused_by_what_was_found() -> None:
    with pytest.raises(CheckpointError, match="found epoch, optimizer"):
        find_state_dict({"epoch": 1, "optimizer": {"lr": 1}})


def test_interpolation_keeps_the_first_row_and_constants() -> None:
    embedding = torch.cat([torch.zeros(1, 4), torch.ones(9, 4)])
    wide = interpolate_position(embedding, (5, 2))
    assert wide.shape == (11, 4)
    assert torch.equal(wide[0], embedding[0])
    torch.testing.assert_close(wide[1:], torch.ones(10, 4))
    assert torch.equal(interpolate_position(embedding, (3, 3)), embedding)
