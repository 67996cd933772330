from __future__ import annotations

import contextlib
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vlqa
from tests.predictors.test_ensemble import both
from tests.tiny import CONVOLUTIONS, VIT, backbone, joint_prompts, pictures
from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.evaluation import srcc
from vlqa.fewshot.predictor import FewShotPredictor
from vlqa.models.lora import Adapters, LoraOptions
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.views import LiqePatches, Square, View, WholeImage
from vlqa.training.adapt import ADAPTER, adapt
from vlqa.training.short_fit import ShortFit
from vlqa.training.shown import ShownToHead, ShownToTower, shown

pytestmark = pytest.mark.filterwarnings("ignore:the labels fall:UserWarning")

COUNT = 110
LORA = LoraOptions(rank=2, alpha=4, dropout=0.1, targets=("head.1", "head.3"))
SHORT = ShortFit(LORA, steps=30, batch=32, learning_rate=0.02)


def base(seed: int = 0) -> MultitaskPredictor:
    return MultitaskPredictor(backbone(CONVOLUTIONS, seed), joint_prompts(), WholeImage(), name="tiny")


@pytest.fixture(scope="module")
def rated() -> tuple[list[Any], Any]:
    """Pictures, brighter is better; brightness is what a random tower hears of them."""
    gains = np.random.default_rng(1).uniform(0.2, 1, COUNT + 40)
    images = [
        (image * gain).astype(np.uint8) for image, gain in zip(pictures(len(gains), 2, 32, 48), gains, strict=True)
    ]
    return images, 50 * gains + np.random.default_rng(2).normal(0, 1, len(gains))


def learn(few: FewShotPredictor, rated: tuple[list[Any], Any], **options: Any) -> FewShotPredictor:
    images, mos = rated
    return adapt(few, images[:COUNT], mos[:COUNT], **({"options": SHORT} | options))


def judged(monkeypatch: Any, plain: float) -> None:
    """Pretend that the model as it was ranks so well on labels left out."""
    held = type("Held", (), {"srcc": plain})
    monkeypatch.setattr("vlqa.training.adapt.cross_validated", lambda *arguments: (None, held))


def adapted_by_force(few: FewShotPredictor, rated: tuple[list[Any], Any], monkeypatch: Any) -> FewShotPredictor:
    judged(monkeypatch, -1.0)
    return learn(few, rated)


def test_the_tower_learns_what_its_sentences_could_not_tell(rated: tuple[list[Any], Any], monkeypatch: Any) -> None:
    few = FewShotPredictor(base(), head="ridge")
    before = few.predictor.digest
    adapted = adapted_by_force(few, rated, monkeypatch)
    assert few.predictor.digest == before and not hasattr(few, "fitted_")
    images, mos = (part[COUNT:] for part in rated)
    assert srcc(few.predictor.predict(images), mos) < 0 < srcc(adapted.predictor.predict(images), mos) - 0.5
    assert srcc(adapted.predict(images), mos) > 0.9


@pytest.mark.parametrize("below", [base, lambda: both((0.5, 0.0))], ids=["one view", "two views"])
def test_an_adapted_model_is_saved_with_its_adapter(
    below: Any, rated: tuple[list[Any], Any], tmp_path: Path, monkeypatch: Any
) -> None:
    adapted = adapted_by_force(FewShotPredictor(below()), rated, monkeypatch)
    images, _ = rated
    adapted.save(tmp_path / "mine")
    assert (tmp_path / "mine" / "adapters" / ADAPTER / "adapter_model.safetensors").is_file()
    again = vlqa.load(tmp_path / "mine", device="cpu")
    np.testing.assert_allclose(again.predict(images[:5]), adapted.predict(images[:5]), rtol=1e-4)
    np.testing.assert_allclose(again.predict_interval(images[:5]), adapted.predict_interval(images[:5]), rtol=1e-4)
    with pytest.raises(ConfigError, match="reads its own adapter's features"):
        vlqa.load(tmp_path / "mine", device="cpu", adapter=None)
    assert again.digest != vlqa.load(tmp_path / "mine", device="cpu").predictor.digest
    assert adapted.fitted_.labels == COUNT and adapted.scale == (rated[1][:COUNT].min(), rated[1][:COUNT].max())


def test_it_is_the_same_each_time_and_leaves_the_random_state(rated: tuple[list[Any], Any], monkeypatch: Any) -> None:
    state = torch.get_rng_state()
    first, second = (adapted_by_force(FewShotPredictor(base()), rated, monkeypatch) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    images, _ = rated
    assert first.digest == second.digest
    np.testing.assert_array_equal(first.predict(images[:4]), second.predict(images[:4]))


def test_what_is_held_out_is_held_out(monkeypatch: Any) -> None:
    """Opinions without any relation to the pictures are not predicted for labels left out."""
    numbers = np.random.default_rng(5)
    noise = pictures(COUNT, 6, 32, 40), numbers.normal(size=COUNT)
    judged(monkeypatch, -1.0)
    adapted = learn(FewShotPredictor(base()), noise, options=replace(SHORT, lora=replace(LORA, dropout=0.0)))
    assert abs(adapted.fitted_.held.srcc) < 0.3
    assert srcc(adapted.predict(noise[0]), noise[1]) > adapted.fitted_.held.srcc


def test_where_adapting_does_not_help_the_model_stays(rated: tuple[list[Any], Any], monkeypatch: Any) -> None:
    few, told = FewShotPredictor(base()), []
    judged(monkeypatch, 1.0)
    brief = ShortFit(SHORT.lora, steps=2, batch=2)
    with pytest.warns(UserWarning, match=r"adapting does not rank better on 110 labels \(SRCC .*, 1.000 without\)"):
        plain = learn(few, rated, options=brief, progress=lambda done, steps: told.append((done, steps)))
    assert plain.predictor is few.predictor and plain.fitted_.name != "lora"
    assert told == [(number + 1, 10) for number in range(10)]


def test_failing_pictures_are_left_out(rated: tuple[list[Any], Any], tmp_path: Path, monkeypatch: Any) -> None:
    images, mos = rated
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    judged(monkeypatch, -1.0)
    with pytest.warns(vlqa.ImageWarning):
        adapted = adapt(FewShotPredictor(base()), [*images[:COUNT], broken], [*mos[:COUNT], 30.0], options=SHORT)
    assert adapted.fitted_.labels == COUNT


@pytest.mark.parametrize(
    ("few", "message"),
    [
        (lambda: FewShotPredictor(base(), head="svr"), "read by ridge regression, not by 'svr'"),
        (lambda: FewShotPredictor(both().low), "no score by sentences"),
        (lambda: FewShotPredictor(both()), "no score by sentences that its features tell"),
    ],
)
def test_what_cannot_be_adapted_is_told(few: Any, message: str, rated: tuple[list[Any], Any]) -> None:
    with pytest.raises(ConfigError, match=message):
        learn(few(), rated)


def test_features_must_be_of_the_same_pictures(rated: tuple[list[Any], Any]) -> None:
    few = FewShotPredictor(base())
    with pytest.raises(ConfigError, match="features of 110 pictures, found 109 rows"):
        learn(few, rated, features=few.embed(rated[0][: COUNT - 1]))


def test_few_labels_and_half_precision_are_refused(rated: tuple[list[Any], Any]) -> None:
    images, mos = rated
    with pytest.raises(ConfigError, match="adapting needs 100 rated pictures, found 99"):
        adapt(FewShotPredictor(base()), images[:99], mos[:99])
    half = base()
    half.backbone.cast(torch.bfloat16)
    with pytest.raises(ConfigError, match="precision fp32"):
        learn(FewShotPredictor(half), rated)


@pytest.mark.filterwarnings("ignore:adapting does not rank better", "ignore:no head on")
@pytest.mark.parametrize("view", [Square, LiqePatches], ids=["square", "patches"])
def test_a_transformer_learns_in_its_attention(view: Any, rated: tuple[list[Any], Any]) -> None:
    towers = backbone(VIT)
    seen: View = view(towers.resize) if view is Square else view(size=32)
    tower = MultitaskPredictor(towers, joint_prompts(), seen, name="tiny-vit")
    images, mos = rated
    fit = ShortFit(LoraOptions(rank=2, alpha=4), steps=4, batch=8, learning_rate=1e-3)
    adapted = adapt(FewShotPredictor(tower), images[:COUNT], mos[:COUNT], options=fit)
    assert np.isfinite(adapted.predict(images[COUNT:])).all()
    assert isinstance(shown(tower, images), ShownToTower) and isinstance(shown(base(), images), ShownToHead)


@pytest.mark.parametrize("seen", [WholeImage(), LiqePatches(size=32)], ids=["whole", "patches"])
def test_both_ways_of_showing_give_what_embed_gives(seen: View, rated: tuple[list[Any], Any]) -> None:
    images, _ = rated
    view, rows = MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), seen, name="tiny"), np.array([3, 1, 7])
    wanted = view.embed([images[row] for row in rows])
    for pictures_shown in (ShownToHead(view, view.backbone.visual, images[:10]), ShownToTower(view, images[:10])):
        np.testing.assert_allclose(pictures_shown.features(rows).numpy(), wanted, rtol=1e-4, atol=1e-5)


def test_larger_pictures_are_shown_where_the_predictor_reads_them(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((40, 50, 3), np.uint8)).save(file := tmp_path / "large.png")
    for pixels, refused in ((2000, False), (1999, True)):
        view = MultitaskPredictor(
            backbone(CONVOLUTIONS), joint_prompts(), WholeImage(), name="tiny", max_image_pixels=pixels
        )
        with pytest.raises(ImageDecodeError) if refused else contextlib.nullcontext():
            shown(view, [file])


def test_an_average_of_adapters_is_the_mean_of_what_they_add() -> None:
    towers = backbone(VIT)
    image = torch.rand(2, 3, 32, 32)
    adapters = Adapters(towers)
    layer = None
    for number, name in enumerate(("one", "two")):
        adapters.add(name, LoraOptions(rank=2 + number, alpha=4, targets=("c_fc",)))
        layer = next(module for module in towers.visual.modules() if hasattr(module, "lora_B") and module.lora_B)
        torch.nn.init.normal_(layer.lora_B[name].weight, generator=torch.Generator().manual_seed(number))
    assert layer is not None
    wanted = (layer.get_delta_weight("one") + layer.get_delta_weight("two")) / 2
    adapters.average(("one", "two"), "mean")
    assert adapters.names == ("mean",) and adapters.active == "mean"
    torch.testing.assert_close(layer.get_delta_weight("mean"), wanted)
    with torch.inference_mode():
        beside = towers.encode_image(image)
        adapters.merge()
        torch.testing.assert_close(towers.encode_image(image), beside, rtol=1e-4, atol=1e-5)


def test_scores_that_hardly_differ_do_not_run_away(monkeypatch: Any) -> None:
    """Two pictures, opinions at random: whatever is learned, predictions stay near the labels."""
    two = pictures(2, 8, 32, 40)
    images, mos = [two[number % 2] for number in range(COUNT)], np.random.default_rng(3).normal(size=COUNT)
    groups = np.arange(COUNT) // 2
    judged(monkeypatch, -1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = adapt(FewShotPredictor(base()), images, mos, groups=groups, options=SHORT)
    assert np.abs(adapted.predict(pictures(20, 9, 32, 60))).max() < 5 * np.abs(mos).max()


def test_an_adapted_tower_is_marked(rated: tuple[list[Any], Any], monkeypatch: Any, tmp_path: Path) -> None:
    adapted = adapted_by_force(FewShotPredictor(base()), rated, monkeypatch)
    assert adapted.predictor.name == "tiny adapted" and adapted.name.startswith("tiny adapted + lora on")
    again = vlqa.load(adapted.save(tmp_path / "mine"), device="cpu")
    assert again.predictor.name == "tiny adapted"
    with pytest.warns(UserWarning, match="the tower of tiny adapted has learned from labels already"):
        learn(FewShotPredictor(again.predictor), rated)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_that_was_changed_is_refused(
    rated: tuple[list[Any], Any], monkeypatch: Any, tmp_path: Path, file: str
) -> None:
    folder = adapted_by_force(FewShotPredictor(base()), rated, monkeypatch).save(tmp_path / "mine")
    place = folder / "adapters" / ADAPTER / file
    data = bytearray(place.read_bytes())
    data[-3] ^= 1
    place.write_bytes(data)
    with pytest.raises(vlqa.CheckpointError, match=r"the adapter 'few_shot' is not that of its config.json"):
        vlqa.load(folder, device="cpu")
