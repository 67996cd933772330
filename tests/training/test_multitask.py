from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from tests.synthetic import picture
from tests.training.recipe import recipe
from vlqa.errors import ConfigError, VLQAError
from vlqa.functional.fidelity import dynamic_weights
from vlqa.hub import load, save
from vlqa.models.image_encoder import build_encoder
from vlqa.predictors.pristine import PristinePredictor, PristineStatistics
from vlqa.predictors.regression import RegressionPredictor
from vlqa.predictors.views import PatchGrid, Scales
from vlqa.training.build import Run, build_run
from vlqa.training.config import read_config
from vlqa.training.loop import train
from vlqa.training.multitask import multi_positive_loss
from vlqa.training.partial_labels import claim_loss


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.manual_seed(0)
    return build_run(read_config(recipe(tmp_path_factory.mktemp("recipe"))))


def slow_loss(logits: list[list[float]], holds: list[list[bool]], known: list[list[bool]]) -> float:
    """Row by row: −log of the weight of the true among the known; then the same for the columns."""

    def one_way(scores: list[list[float]], true: list[list[bool]], counted: list[list[bool]]) -> float:
        losses = []
        for row, is_true, is_counted in zip(scores, true, counted, strict=True):
            right = sum(math.exp(s) for s, t in zip(row, is_true, strict=True) if t)
            wrong = sum(math.exp(s) for s, t, c in zip(row, is_true, is_counted, strict=True) if c and not t)
            if right and wrong:
                losses.append(-math.log(right / (right + wrong)))
        return sum(losses) / len(losses) if losses else 0.0

    def turned(matrix: list[list[float]]) -> list[list[float]]:
        return [list(column) for column in zip(*matrix, strict=True)]

    return (one_way(logits, holds, known) + one_way(turned(logits), turned(holds), turned(known))) / 2


@settings(max_examples=50)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6))
def test_multi_positive_loss_is_what_a_slow_loop_finds(seed: int, rows: int, columns: int) -> None:
    numbers = np.random.default_rng(seed)
    logits = torch.from_numpy(numbers.normal(0, 3, (rows, columns)).astype(np.float32))
    holds = torch.from_numpy(numbers.random((rows, columns)) < 0.3)
    known = holds | torch.from_numpy(numbers.random((rows, columns)) < 0.6)
    expected = slow_loss(logits.tolist(), holds.tolist(), known.tolist())
    assert float(multi_positive_loss(logits, holds, known)) == pytest.approx(expected, abs=1e-4)


def test_multi_positive_loss_has_a_finite_gradient_where_nothing_is_known() -> None:
    logits = torch.randn(3, 4, requires_grad=True)
    none = torch.zeros(3, 4, dtype=torch.bool)
    multi_positive_loss(logits, none, none).backward()
    assert logits.grad is not None and torch.equal(logits.grad, torch.zeros(3, 4))


def batch(run: Run, start: int = 0) -> dict[str, torch.Tensor]:
    return torch.utils.data.default_collate([run.samples[start + i] for i in range(run.batch_size)])


def test_every_loss_is_finite_and_moves_the_towers(run: Run) -> None:
    total, parts = run.objective(batch(run), 0)
    assert set(parts) == {"quality", "scene", "distortion", "anchor", "antonyms", "captions", "type"}
    assert all(torch.isfinite(loss) and loss >= 0 for loss in parts.values())
    total.backward()
    still = [name for name, p in run.objective.named_parameters() if p.grad is None or not p.grad.any()]
    run.objective.zero_grad()
    assert still in ([], ["backbone.visual.head.0.bias"])


def test_the_total_is_the_weighted_sum_of_the_parts(run: Run) -> None:
    total, parts = run.objective(batch(run), 0)
    weights = {"anchor": 0.5, "captions": 0.3, "type": 0.5}
    expected = sum(weights.get(name, 1.0) * loss.item() for name, loss in parts.items())
    assert total.item() == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_any_label_costs_nothing_and_gives_no_nan(run: Run) -> None:
    samples = batch(run)
    for name, value in samples.items():
        if name not in ("image", "set_id"):
            samples[name] = torch.full_like(value, float("nan") if value.is_floating_point() else -1)
    total, parts = run.objective(samples, 0)
    total.backward()
    gradients = [p.grad for p in run.objective.parameters() if p.grad is not None]
    run.objective.zero_grad()
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert {name: loss.item() for name, loss in parts.items()} == dict.fromkeys(parts, 0.0)


def test_dynamic_weights_follow_the_means_of_epochs_and_survive_a_reload(tmp_path: Path) -> None:
    objective = build_run(read_config(recipe(tmp_path))).objective
    means = []
    for epoch in range(3):
        steps = [[1.0 + epoch + i, 2.0 * i, 3.0 - epoch] for i in range(2)]
        for quality, scene, distortion in steps:
            values = {"quality": quality, "scene": scene, "distortion": distortion}
            objective.count({name: torch.tensor(value) for name, value in values.items()})
        objective.end_epoch()
        means.append(np.mean(steps, axis=0))
    objective.count({name: torch.tensor(5.0) for name in ("quality", "scene", "distortion")})
    np.testing.assert_allclose(objective.tasks.history, means[-2:])  # the ratio of the last two is all it needs
    again = build_run(read_config(recipe(tmp_path))).objective
    again.load_state_dict(objective.state_dict())
    torch.testing.assert_close(
        again.tasks._factors(), dynamic_weights(torch.tensor(np.array(means[-2:]), dtype=torch.float32))
    )
    assert torch.equal(again.tasks.running, objective.tasks.running) and int(again.tasks.counted) == 1


def test_an_adapter_over_a_saved_model(tmp_path: Path) -> None:
    base = train(recipe(tmp_path, output=str(tmp_path / "base")), quiet=True)
    lora = {"name": "mine", "rank": 2, "targets": "all", "towers": ["image", "text"]}
    model = {"start": str(base), "lora": lora, "max_shorter_side": 64}
    folder = train(recipe(tmp_path, model=model), quiet=True)
    images = [picture(60, 70, 1), picture(64, 64, 2)]
    bare = load(folder, adapter=None, device="cpu")
    assert bare.predict(images).tolist() == load(base, device="cpu").predict(images).tolist()
    tuned = load(folder, device="cpu").predict(images)
    assert tuned.tolist() != bare.predict(images).tolist()
    over = load(base, adapter=folder / "adapters" / "mine", device="cpu")
    assert over.predict(images) == pytest.approx(tuned, abs=1e-6)
    with pytest.raises(ConfigError, match="give either architecture or start"):
        train(recipe(tmp_path, model={}), quiet=True)


def test_prompts_are_encoded_once_where_the_text_tower_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = train(recipe(tmp_path, output=str(tmp_path / "base")), quiet=True)
    lora = {"rank": 2, "targets": ["head.1"]}
    run = build_run(read_config(recipe(tmp_path, model={"start": str(base), "lora": lora})))
    counts: list[int] = []
    backbone = run.objective.backbone
    encode = backbone.encode_tokens
    monkeypatch.setattr(backbone, "encode_tokens", lambda tokens: [counts.append(len(tokens)), encode(tokens)][1])
    found = [run.objective(batch(run), 0)[0] for _ in range(2)]
    assert counts[0] == 495 + 26 and counts[1] == counts[2] < 100 and len(counts) == 3
    monkeypatch.setattr(backbone.text, "parameters", lambda: iter([torch.nn.Parameter(torch.zeros(1))]))
    whole = run.objective(batch(run), 0)[0]
    assert counts[3] == counts[0] + counts[1]
    torch.testing.assert_close(torch.stack(found), torch.stack([whole, whole]), rtol=1e-5, atol=1e-6)


def test_a_trunk_that_stays_sees_each_kept_picture_once(tmp_path: Path) -> None:
    base = train(recipe(tmp_path, output=str(tmp_path / "base")), quiet=True)
    model = {"start": str(base), "lora": {"rank": 2, "targets": ["head.1"]}}
    document = recipe(tmp_path, model=model, steps=12)
    document["data"]["remember"] = {"folder": str(tmp_path / "kept"), "renderings": 4, "others": 4}
    run = build_run(read_config(document))
    seen: list[int] = []
    tower = run.objective.backbone.visual
    described = tower.described
    tower.described = lambda *given: [seen.append(len(given[0])), described(*given)][1]
    batches = [batch(run, 6 * step) for step in range(12)]
    found = [run.objective(b, step)[0] for step, b in enumerate(batches)]
    pictures = {row.numpy().tobytes() for b in batches for row in b["image"]}
    assert sum(seen) == len(pictures) < 72
    tower.described = described
    for step, b in enumerate(batches):
        del b["identity"]
        torch.testing.assert_close(found[step], run.objective(b, step)[0], rtol=1e-5, atol=1e-6)
    whole = build_run(read_config(document | {"model": {"start": str(base)}})).objective
    assert whole._trunk is None  # nothing is remembered of weights that move


def test_a_base_in_half_its_adapter_and_a_low_level_view_are_one_model(tmp_path: Path) -> None:
    """As the bundled default is made: configs/mini_base.yaml, then configs/mini.yaml."""
    base = train(recipe(tmp_path, output=str(tmp_path / "base"), half=True), quiet=True)
    encoder = build_encoder({"trunk": {"kind": "quality", "widths": [4], "blocks": [1]}, "head": [8]}).eval()
    statistics = PristineStatistics.of(torch.randn(40, 8, generator=torch.Generator().manual_seed(0)))
    save(PristinePredictor({"low": encoder}, statistics, PatchGrid(16, 8), name="low"), tmp_path / "low")
    changes = {
        "model": {"start": str(base), "lora": {"name": "mine", "rank": 2, "targets": "all"}, "max_shorter_side": 64},
        "low": {"model": str(tmp_path / "low"), "weights": [1.0, 0.0]},
        "half": True,
    }
    folder = train(recipe(tmp_path, **changes), quiet=True)
    images = [picture(60, 70, 1), picture(64, 64, 2)]
    both, bare = load(folder, device="cpu"), load(folder, adapter=None, device="cpu")
    assert bare.predict(images) == pytest.approx(load(base, device="cpu").predict(images), abs=1e-6)
    assert both.predict(images).tolist() != bare.predict(images).tolist()
    (record, _) = both.assess(images)
    assert record.low is not None and record.high == record.raw
    assert load(base, adapter=folder / "adapters" / "mine", device="cpu").predict(images) == pytest.approx(
        both.predict(images), abs=1e-6
    )
    stored = load_file(folder / "model.safetensors")
    assert stored["high.visual.stem.0.weight"].dtype == torch.float16
    again = tmp_path / "again"
    with pytest.raises(ConfigError, match=r"low\.model: .*base/model is no model of image encoders"):
        train(recipe(tmp_path, **changes | {"low": {"model": str(base)}, "output": str(again)}), quiet=True)
    save(RegressionPredictor({"low": encoder}, Scales(), None, normalize=False, name="embeds"), tmp_path / "embeds")
    with pytest.raises(VLQAError, match="embeds has features but no regressor"):
        train(
            recipe(tmp_path, **changes | {"low": {"model": str(tmp_path / "embeds")}, "output": str(again)}), quiet=True
        )


def test_a_claim_that_is_certain_costs_a_finite_loss_in_bf16() -> None:
    certain = torch.tensor([[1.0, 0.0]], dtype=torch.bfloat16, requires_grad=True)
    loss = claim_loss(certain, torch.tensor([[0.0, float("nan")]]))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-6), rel=0.02) and certain.grad.isfinite().all()
