from __future__ import annotations

import json

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tests.models.towers import QUALITY, RESNET, TEXT, VIT
from vlqa.errors import CheckpointError, ConfigError
from vlqa.models.attention_pool import AttentionPool
from vlqa.models.clip import ClipBackbone, build_backbone, resolve_architecture


def reference(architecture: dict, quick_gelu: bool = False) -> open_clip.CLIP:
    """open_clip's own plain CLIP with weights away from their start, which makes a ResNet's blocks do nothing."""
    model = open_clip.CLIP(
        architecture["embed_dim"], architecture["vision_cfg"], architecture["text_cfg"], quick_gelu=quick_gelu
    )
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return model.eval()


def pictures(count: int, height: int = 32, width: int | None = None) -> Tensor:
    return torch.randint(0, 256, (count, 3, height, width or height), dtype=torch.uint8)


def normalized(images: Tensor) -> Tensor:
    mean, std = (
        torch.tensor(values).view(3, 1, 1) for values in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD)
    )
    return (images / 255 - mean) / std


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_transformer_equals_open_clip(quick_gelu: bool) -> None:
    model = reference(VIT, quick_gelu)
    backbone = build_backbone(VIT, weights=model.state_dict(), quick_gelu=quick_gelu)
    images = pictures(3)
    with torch.inference_mode():
        torch.testing.assert_close(backbone.encode_image(images), model.encode_image(normalized(images)))
        texts = ["a photo", "a much longer text with many words", ""]
        tokens = open_clip.tokenize(texts, context_length=16)
        torch.testing.assert_close(backbone.encode_tokens(tokens), model.encode_text(tokens), atol=1e-6, rtol=1e-6)
        unit = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(backbone.encode_text(texts), unit, atol=1e-6, rtol=0)
    assert backbone.logit_scale == pytest.approx(model.logit_scale.exp().item())


def test_activation_changes_the_features() -> None:
    weights = reference(VIT).state_dict()
    plain, quick = (build_backbone(VIT, weights=weights, quick_gelu=value) for value in (False, True))
    assert (plain.encode_image(pictures(1)) - quick.encode_image(pictures(1))).abs().max() > 1e-3
    assert plain.text_digest != quick.text_digest  # the same weights, other features: no shared cache
    assert not torch.equal(plain.encode_text(["a photo"]), quick.encode_text(["a photo"]))


def test_archive_of_openai_means_quick_gelu() -> None:
    weights = reference(VIT).state_dict()
    marks = {name: torch.tensor(1) for name in ("input_resolution", "context_length", "vocab_size")}
    assert build_backbone(VIT, weights=weights | marks).architecture["quick_gelu"] is True
    assert build_backbone(VIT, weights=weights).architecture.get("quick_gelu", False) is False
    assert build_backbone(VIT, weights=weights | marks, quick_gelu=False).architecture["quick_gelu"] is False


def test_resnet_with_position_equals_open_clip() -> None:
    model = reference(RESNET)
    backbone = build_backbone(RESNET, weights=model.state_dict())
    images = pictures(3, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone.encode_image(images), model.encode_image(normalized(images)), atol=1e-5, rtol=1e-4
        )


@pytest.fixture(scope="module")
def native() -> tuple[open_clip.CLIP, ClipBackbone]:
    model = reference(RESNET)
    return model, build_backbone(RESNET, weights=model.state_dict(), attention_pool_position=False)


@given(height=st.integers(32, 130), width=st.integers(32, 130))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_resnet_without_position_equals_open_clip_with_zeros(
    native: tuple[open_clip.CLIP, ClipBackbone], height: int, width: int
) -> None:
    model, backbone = native
    images = pictures(2, height, width)
    cells = ((height + 1) // 32) * ((width + 1) // 32)  # the stem's first convolution rounds up
    model.visual.attnpool.positional_embedding = torch.nn.Parameter(torch.zeros(cells + 1, 256))
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone.encode_image(images), model.encode_image(normalized(images)), atol=1e-5, rtol=1e-4
        )


@pytest.mark.parametrize(
    ("architecture", "options", "size"),
    [
        (VIT, {}, (32, 32)),
        (RESNET, {"attention_pool_position": False}, (70, 100)),
        (RESNET, {"interpolate_position": True}, (70, 100)),
        (QUALITY, {}, (33, 50)),
    ],
)
def test_a_batch_equals_single_images(architecture: dict, options: dict, size: tuple[int, int]) -> None:
    backbone = build_backbone(architecture, **options)
    images = pictures(15, *size)
    with torch.inference_mode():
        together = backbone.encode_image(images)
        alone = torch.cat([backbone.encode_image(image[None]) for image in images])
        as_floats = backbone.encode_image(images.float() / 255)
    assert together.shape == (15, backbone.embed_dim)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(together, as_floats, atol=1e-5, rtol=1e-4)


def test_other_sizes_are_refused_in_one_line() -> None:
    for architecture in (VIT, RESNET):
        with pytest.raises(ConfigError, match=r"not 40×48; resize them") as caught:
            build_backbone(architecture).encode_image(pictures(1, 40, 48))
        assert "\n" not in str(caught.value)
    small = build_backbone(RESNET, attention_pool_position=False)
    with pytest.raises(ConfigError, match="32 px and more"):
        small.encode_image(pictures(1, 31, 64))
    with pytest.raises(ConfigError, match="RN50"):
        build_backbone(VIT, attention_pool_position=False)


@pytest.mark.parametrize("architecture", [VIT, RESNET])
def test_another_image_size_needs_a_request(architecture: dict) -> None:
    model = reference(architecture)
    size = 2 * architecture["vision_cfg"]["image_size"]
    with pytest.raises(ConfigError, match="interpolate_position=True"):
        build_backbone(architecture, weights=model.state_dict(), image_size=size)
    backbone = build_backbone(architecture, weights=model.state_dict(), image_size=size, interpolate_position=True)
    assert backbone.encode_image(pictures(2, size)).shape == (2, 16)
    again = build_backbone(backbone.architecture, weights=backbone.state_dict())
    assert again.digest == backbone.digest
    assert again.image_size == size


def test_interpolated_position_equals_open_clip() -> None:
    model = reference(VIT)
    wide = reference(VIT | {"vision_cfg": VIT["vision_cfg"] | {"image_size": 56}})
    weights = model.state_dict()
    open_clip.model.resize_pos_embed(weights, wide)
    backbone = build_backbone(VIT, weights=model.state_dict(), image_size=56, interpolate_position=True)
    torch.testing.assert_close(
        backbone.state_dict()["visual.positional_embedding"], weights["visual.positional_embedding"]
    )


@pytest.mark.parametrize("architecture", [VIT, RESNET, QUALITY])
def test_architecture_and_weights_rebuild_the_backbone(architecture: dict) -> None:
    first = build_backbone(architecture)
    again = build_backbone(json.loads(json.dumps(first.architecture)), weights=first.state_dict())
    assert again.digest == first.digest
    assert not again.training
    assert build_backbone(architecture).digest != first.digest  # another random start
    assert "logit_scale" in first.state_dict()
    assert "log_scale" not in first.state_dict()


def test_loading_leaves_the_given_weights_alone() -> None:
    weights = reference(VIT).state_dict()
    before = {name: tensor.clone() for name, tensor in weights.items()}
    backbone = build_backbone(VIT, weights=weights)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 1
    assert all(torch.equal(weights[name], before[name]) for name in before)


def test_weights_can_be_handed_over_without_a_copy() -> None:
    weights = {name: tensor.half() for name, tensor in reference(RESNET).state_dict().items()}
    weights["text_projection"] = weights["text_projection"].float()
    copied, taken = (build_backbone(RESNET, weights=weights, copy_weights=value) for value in (True, False))
    assert taken.text.text_projection.data_ptr() == weights["text_projection"].data_ptr()
    assert copied.text.text_projection.data_ptr() != weights["text_projection"].data_ptr()
    assert all(parameter.dtype == torch.float32 and parameter.requires_grad for parameter in taken.parameters())
    images = pictures(1, 64)
    torch.testing.assert_close(taken.encode_image(images), copied.encode_image(images))


def test_bf16_is_close_and_leaves_the_scale_exact() -> None:
    weights = reference(VIT).state_dict()
    weights["logit_scale"] = torch.tensor(100.0).log()
    exact, rough = (build_backbone(VIT, weights=weights) for _ in range(2))
    rough.cast(torch.bfloat16)
    images = pictures(4)
    with torch.inference_mode():
        features = rough.encode_image(images)
        wanted = exact.encode_image(images)
    assert features.dtype == torch.bfloat16
    assert torch.cosine_similarity(features.float(), wanted).min() > 0.999
    assert rough.logit_scale == pytest.approx(100, abs=1e-3)  # in bf16 it would be 98.9
    assert rough.text_digest == exact.text_digest
    assert rough.digest != exact.digest


def test_features_carry_gradient() -> None:
    backbone = build_backbone(VIT)
    tokens = backbone.tokenizer(["a sharp photo", "a blurry photo"])
    (backbone.encode_image(pictures(2)) * backbone.encode_tokens(tokens)).sum().backward()
    assert backbone.visual.conv1.weight.grad.abs().sum() > 0
    assert backbone.text.token_embedding.weight.grad.abs().sum() > 0


def test_weights_that_do_not_fit_are_refused_in_one_line() -> None:
    weights = reference(VIT).state_dict()
    del weights["visual.proj"]
    weights["visual.extra"] = torch.zeros(1)
    weights["ln_final.weight"] = torch.zeros(7)
    with pytest.raises(CheckpointError) as caught:
        build_backbone(VIT, weights=weights)
    for part in ("lack visual.proj", "unknown visual.extra", "text.ln_final.weight (7,) instead of (32,)"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_architectures_are_checked() -> None:
    with pytest.raises(ConfigError, match="no open_clip model"):
        build_backbone("ViT-B-33")
    with pytest.raises(ConfigError, match="lacks text_cfg"):
        build_backbone({"embed_dim": 16, "vision_cfg": {}})
    with pytest.raises(ConfigError, match="kind must be"):
        build_backbone(VIT | {"vision_cfg": {"kind": "other"}})
    with pytest.raises(ConfigError, match="cannot build"):
        build_backbone(VIT | {"vision_cfg": VIT["vision_cfg"] | {"colour": 1}})


def test_names_bring_their_own_preprocessing() -> None:
    assert resolve_architecture("ViT-B-32")["preprocess_cfg"]["mean"][0] == pytest.approx(0.48145466)
    siglip = resolve_architecture("ViT-B-16-SigLIP")["preprocess_cfg"]
    assert siglip == {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    given = resolve_architecture({"model_cfg": VIT, "preprocess_cfg": {"mean": [0.1, 0.2, 0.3]}})
    assert given["preprocess_cfg"]["mean"] == [0.1, 0.2, 0.3]
    assert "preprocess_cfg" not in VIT


@pytest.mark.parametrize("size", [(100, 37), (37, 100), (32, 32), (5, 9)])
@pytest.mark.parametrize("mode", ["shortest", "squash"])
def test_resize_equals_open_clip(size: tuple[int, int], mode: str) -> None:
    backbone = build_backbone(VIT | {"preprocess_cfg": {"resize_mode": mode}})
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    transform = open_clip.transform.image_transform(
        32, is_train=False, mean=(0.0,) * 3, std=(1.0,) * 3, resize_mode=mode
    )
    wanted = transform(Image.fromarray(image))
    torch.testing.assert_close(torch.from_numpy(backbone.resize(image).copy()).permute(2, 0, 1) / 255, wanted)


def timm_architecture(name: str, size: int) -> dict:
    return {"embed_dim": 16, "vision_cfg": {"timm_model_name": name, "image_size": size}, "text_cfg": TEXT}


def test_timm_towers_are_known_by_what_sizes_they_take() -> None:
    convolutions = build_backbone(timm_architecture("test_convnext", 64))
    assert convolutions.encode_image(pictures(2, 70, 100)).shape == (2, 16)
    transformer = build_backbone(timm_architecture("test_vit", 64))
    assert transformer.encode_image(pictures(2, 64)).shape == (2, 16)
    with pytest.raises(ConfigError, match="64×64 images, not 70×100"):
        transformer.encode_image(pictures(2, 70, 100))


def test_timm_positions_interpolate_as_timm_does() -> None:
    from timm.layers import resample_abs_pos_embed

    first = build_backbone(timm_architecture("test_vit", 64))
    wide = build_backbone(first.architecture, weights=first.state_dict(), image_size=96, interpolate_position=True)
    name = "visual.trunk.pos_embed"
    wanted = resample_abs_pos_embed(first.state_dict()[name], [6, 6], num_prefix_tokens=1)
    torch.testing.assert_close(wide.state_dict()[name], wanted)
    assert wide.encode_image(pictures(1, 96)).shape == (1, 16)


def test_coca_equals_open_clip() -> None:
    vision = VIT["vision_cfg"] | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True}}
    captioner = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    model = open_clip.CoCa(**config, multimodal_cfg=captioner).eval()
    backbone = build_backbone(config | {"multimodal_cfg": captioner}, weights=model.state_dict())
    images, tokens = pictures(2), open_clip.tokenize(["a photo", "b"], context_length=16)
    with torch.inference_mode():
        torch.testing.assert_close(
            backbone.encode_image(images), model.encode_image(normalized(images), normalize=False)
        )
        torch.testing.assert_close(backbone.encode_tokens(tokens), model.encode_text(tokens, normalize=False))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_attention_pool_needs_no_key_or_value_of_a_cell(dtype: torch.dtype, tolerance: float) -> None:
    pool = build_backbone(RESNET, attention_pool_position=False).visual.attnpool
    for projection in (pool.q_proj, pool.k_proj, pool.v_proj):
        torch.nn.init.normal_(projection.weight, std=0.2)
        torch.nn.init.normal_(projection.bias)
    cells = torch.randn(2, pool.q_proj.in_features, 5, 7)
    ran = []
    for projection in (pool.k_proj, pool.v_proj):
        projection.register_forward_hook(lambda module, *_: ran.append(module))
    with torch.no_grad():
        found = pool.to(dtype)(cells.to(dtype))
    assert not ran
    expected = pool.double()(cells.double())
    assert len(ran) == 2  # where weights learn, each has a gradient
    expected.sum().backward()
    assert all(parameter.grad is not None for name, parameter in pool.named_parameters() if "positional" not in name)
    assert (found - expected).abs().max() < tolerance * expected.abs().max()


def test_attention_pool_refuses_other_grids() -> None:
    pool = build_backbone(RESNET).visual.attnpool
    assert isinstance(pool, AttentionPool)
    with pytest.raises(ConfigError, match="attention_pool_position=False"):
        pool(torch.zeros(1, 256, 3, 2))


def test_constructor_only_stores() -> None:
    tower = torch.nn.Linear(1, 1)
    backbone = ClipBackbone(
        tower,
        tower,
        torch.nn.Parameter(torch.zeros(())),
        len,
        mean=[0.0] * 3,
        std=[1.0] * 3,
        image_size=8,
        fixed_size=True,
        embed_dim=1,
        context_length=4,
        architecture={},
    )
    assert backbone.visual is tower
    assert backbone.logit_scale == 1.0
