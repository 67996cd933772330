from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import few_shot
import few_shot_text
import learners
import numpy as np
import protocols
import pytest
from PIL import Image

import vlqa
from tests.predictors.test_ensemble import both
from tests.synthetic import picture
from vlqa.evaluation import repeated_splits, srcc

PICTURES = 90

pytestmark = pytest.mark.filterwarnings("ignore:the labels fall:UserWarning", "ignore:no head on:UserWarning")


@pytest.fixture(scope="module")
def told() -> tuple[learners.Learner, Any]:
    """A tiny model on features that tell opinions, and these."""
    generator = np.random.default_rng(0)
    predictor = both((1.0, 0.0))
    x = generator.normal(size=(PICTURES, predictor.width))
    mos = 50 + 10 * x[:, :6].sum(axis=1) / 6**0.5 + generator.normal(size=PICTURES)
    score = predictor.predict_features(x)
    views = np.column_stack([score, generator.normal(size=PICTURES)])
    return learners.Learner("tiny, ridge", "ridge", x, predictor, score, views), mos


def alone(mos: Any, noise: float, head: str = "ridge") -> learners.Learner:
    generator = np.random.default_rng(1)
    x = mos[:, None] * [1.0, 0.01] + noise * generator.normal(size=(len(mos), 2)) * [1.0, 0.01]
    return learners.Learner(f"two, {head}", head, x)


def test_agreement_is_that_of_fits_on_the_labels(told: tuple[learners.Learner, Any]) -> None:
    model, mos = told
    splits = list(repeated_splits(PICTURES, 40, 3))
    table = protocols.agreement([model, alone(mos, 1.0, "svr")], mos, splits, None)
    assert list(table) == ["tiny, ridge", "tiny, zero-shot", "two, svr"]
    values = []
    for rows, test in splits:
        few = vlqa.FewShotPredictor(model.predictor, head="ridge").fit_features(model.features[rows], mos[rows])
        values.append(srcc(few.predict_features(model.features[test]), mos[test]))
    assert table["tiny, ridge"]["srcc"][0] == pytest.approx(np.median(values))
    assert table["tiny, ridge"]["heads"] == {"ridge": 3}
    assert "difference" not in table["tiny, ridge"]
    behind = table["two, svr"]
    assert behind["srcc"][0] > 0.95 and behind["plcc_logistic"] > 0.95
    difference = behind["difference"]
    assert difference["low"] < difference["value"] < difference["high"]
    zero = table["tiny, zero-shot"]["srcc"][0]
    assert zero == pytest.approx(np.median([srcc(model.score[test], mos[test]) for _, test in splits]))
    assert len(few_shot_text.agreement_text({"40": table}).splitlines()) == 4


def test_one_split_is_compared_on_its_pictures(told: tuple[learners.Learner, Any]) -> None:
    _, mos = told
    split = (np.arange(40), np.arange(40, PICTURES))
    table = protocols.agreement([alone(mos, 1.0), alone(mos, 9.0, "svr")], mos, [split], None)
    better, worse = table["two, ridge"], table["two, svr"]
    assert better["srcc"][1] < better["srcc"][0] < better["srcc"][2]
    assert worse["difference"]["value"] == pytest.approx(better["srcc"][0] - worse["srcc"][0])
    assert worse["difference"]["low"] > 0


def test_selection(told: tuple[learners.Learner, Any], tmp_path: Path) -> None:
    model, mos = told
    found = protocols.selection(model, mos, [10, 20], 3, None)
    assert {"facility", "k-centre", "disagreement", "random"} <= set(found["strategies"])
    assert found["strategies"]["random"]["above_random"] == [[0, 0, 0], [0, 0, 0]]
    assert all(-1 <= value <= 1 for row in found["strategies"].values() for value in row["median"])
    assert "disagreement" not in protocols.selection(alone(mos, 1.0), mos, [10], 2, None)["strategies"]
    few_shot_text.selection_plot(found, tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as plot:
        assert plot.width > 400
    assert "facility" in few_shot_text.selection_text(found)


def test_coverage_and_times(told: tuple[learners.Learner, Any]) -> None:
    model, mos = told
    found = protocols.coverage(model, mos, 40, 4)
    assert 0.7 < found["mean"] <= 1 and found["width"] > 0
    assert "hold" in few_shot_text.coverage_text({"40": found})
    times = protocols.fit_times(model, mos, [20, 100], 2)
    assert all(0 < row["fastest"] <= row["median"] for row in times.values())
    assert "N = 100" in few_shot_text.times_text(times)


@pytest.fixture
def rated(tmp_path: Path) -> Path:
    """Thirty small pictures and their label file."""
    lines = ["path,mos,reference"]
    for number in range(30):
        Image.fromarray(picture(40, 48, number)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{(number * 7) % 30},{number // 3}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *words: str) -> Any:
    common = ["--model", learners.STATISTICS, "--heads", "ridge", "--against", learners.STATISTICS]
    report = folder / "report.json"
    monkeypatch.setattr(
        "sys.argv", ["few_shot", *common, "--cache", str(folder / "kept"), "--json", str(report), *words]
    )
    few_shot.main()
    return json.loads(report.read_text())


def test_the_script_by_protocol(
    rated: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = str(rated / "labels.csv")
    few = ("--labels", labels, "--counts", "15", "--repeats", "2", "--parts", "agreement")
    found = run(monkeypatch, rated, *few)
    assert list(found["agreement"]["15"]) == ["BRISQUE's 36, ridge", "BRISQUE's 36, svr"]
    assert {"machine", "commit", "seconds"} <= set(found) and found["pictures"] == 30
    assert len(list((rated / "kept").iterdir())) == 1
    supervised = run(monkeypatch, rated, "--protocol", "supervised", "--labels", labels, "--repeats", "2")
    assert list(supervised["agreement"]) == ["supervised"]
    other = rated / "other"
    other.mkdir()
    for number in range(12):
        Image.fromarray(picture(40, 48, 100 + number)).save(other / f"{number}.png")
    rows = "\n".join(f"{number}.png,{number}" for number in range(12))
    (other / "labels.csv").write_text(f"path,mos\n{rows}\n")
    crossed = run(monkeypatch, rated, "--protocol", "cross", "--train", labels, "--test", str(other / "labels.csv"))
    assert crossed["pictures"] == 42
    for number in range(1, 11):
        place = rated / "splits2" / str(number)
        place.mkdir(parents=True)
        for part, numbers in (("train", range(20)), ("test", range(20, 30))):
            (place / f"set_{part}.txt").write_text("".join(f"{each}.png\t{(each + number) % 9}\n" for each in numbers))
    published = run(monkeypatch, rated, "--protocol", "published", "--splits", str(rated))
    assert published["pictures"] == 30
    assert capsys.readouterr().out.count("the first above it") == 4


def test_changed_pictures_are_embedded_again(rated: Path) -> None:
    pictures = [rated / f"{number}.png" for number in range(5)]
    first = learners.learner(learners.STATISTICS, "ridge", pictures, rated / "kept")
    Image.fromarray(picture(48, 48, 77)).save(pictures[0])
    second = learners.learner(learners.STATISTICS, "ridge", pictures, rated / "kept")
    assert (first.features[0] != second.features[0]).any() and (first.features[1:] == second.features[1:]).all()
    assert len(list((rated / "kept").iterdir())) == 2
