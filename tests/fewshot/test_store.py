from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.tiny import CONVOLUTIONS, backbone, joint_prompts, pictures
from vlqa.errors import ConfigError, ImageWarning, VLQAError
from vlqa.fewshot import store as module
from vlqa.fewshot.rescore import rescore
from vlqa.fewshot.shards import FeatureTable, write
from vlqa.fewshot.store import FeatureStore
from vlqa.models.image_encoder import build_encoder
from vlqa.models.lora import Adapters, LoraOptions
from vlqa.predictors.antonym import AntonymPredictor
from vlqa.predictors.ensemble import EnsemblePredictor
from vlqa.predictors.multitask import MultitaskPredictor
from vlqa.predictors.pristine import PristinePredictor
from vlqa.predictors.regression import RegressionPredictor
from vlqa.predictors.views import LiqePatches, Scales, WholeImage
from vlqa.prompts import PromptSet
from vlqa.types import Explanation, Source

PAIRS = PromptSet.from_pairs([("a sharp photo", "a blurry photo"), ("a bright photo", "a dark photo")])


def quality(seed: int = 0, **options: Any) -> MultitaskPredictor:
    return MultitaskPredictor(backbone(CONVOLUTIONS, seed), joint_prompts(), WholeImage(), name="tiny", **options)


def by_pairs(prompts: PromptSet = PAIRS, seed: int = 0) -> AntonymPredictor:
    return AntonymPredictor(backbone(CONVOLUTIONS, seed), prompts, WholeImage(), name="tiny")


def low_encoder() -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        trunk = {"kind": "quality", "widths": [4], "blocks": [1]}
        return build_encoder({"trunk": trunk, "head": [8]}).eval().requires_grad_(False)


def two_views() -> EnsemblePredictor:
    low = RegressionPredictor({"low": low_encoder()}, Scales(), normalize=True, name="tiny")
    return EnsemblePredictor(quality(), low, weights=(1.0, 0.0), name="tiny")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for path, pixels in zip(paths, pictures(6, seed=3), strict=True):
        Image.fromarray(pixels).save(path)
        os.utime(path, (1e9, 1e9))  # long ago: its size and time tell it
    return paths


def test_the_first_run_gives_what_embed_gives(photos, tmp_path) -> None:
    store = FeatureStore(tmp_path / "store")
    assert len(store) == 0 and not store.folder.exists()
    seen: list[tuple[int, bool]] = []
    found = store.features(quality(), photos, lambda *told: seen.append(told))
    np.testing.assert_array_equal(found, quality().embed(photos))
    assert (found.dtype, found.shape, len(store), seen) == (np.float32, (6, 16), 6, [(0, False)] * 6)
    store.features(quality(), photos, lambda *told: seen.append(told))
    assert seen[6:] == [(0, True)] * 6


def test_a_second_run_opens_no_picture(photos, tmp_path, monkeypatch) -> None:
    first = FeatureStore(tmp_path / "store").features(quality(), photos)
    for where in ("vlqa.pipeline.decode", "vlqa.fewshot.store.decode", "vlqa.fewshot.store._digest_of_file"):
        monkeypatch.setattr(where, None)  # calling it would fail
    again = FeatureStore(tmp_path / "store").features(quality(), reversed(photos))
    np.testing.assert_array_equal(again, first[::-1])


def test_new_sentences_score_stored_features_as_they_score_pictures(photos, tmp_path) -> None:
    store = FeatureStore(tmp_path / "store")
    store.features(quality(), photos)
    files = sorted(path for path in store.folder.rglob("*") if path.is_file())
    rows = FeatureStore(store.folder).features(by_pairs(), photos)
    np.testing.assert_array_equal(by_pairs().predict_features(rows), by_pairs().predict(photos))
    assert sorted(path for path in store.folder.rglob("*") if path.is_file()) == files


def test_records_from_a_store_are_those_of_a_direct_run(photos, tmp_path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    given = [*photos[:2], tmp_path / "bad.png", *photos[2:], tmp_path / "none.png"]
    store = FeatureStore(tmp_path / "store")
    found = list(rescore(store, by_pairs(), given, attributes=[("a city", "a forest")]))
    direct = by_pairs().assess(given, attributes=[("a city", "a forest")])
    assert [record.path for record in found] == [os.fspath(path) for path in given]
    assert [record.error for record in found] == [record.error for record in direct]
    assert all(isinstance(record, Explanation) and record.patches is None for record in found)
    for ours, expected in zip(found, direct, strict=True):
        if expected.raw is not None:
            assert ours.raw == pytest.approx(expected.raw, abs=1e-6) and ours.digest == expected.digest
            assert ours.attributes == pytest.approx(expected.attributes, abs=1e-6)


def test_two_models_and_their_views_share_a_store(photos, tmp_path) -> None:
    store = FeatureStore(tmp_path / "store")
    both, other = two_views(), quality(seed=5)
    np.testing.assert_array_equal(store.features(both, photos), both.embed(photos))
    np.testing.assert_array_equal(store.features(other, photos), other.embed(photos))
    assert len(list((store.folder / "encoders").iterdir())) == 3 and len(store) == 6
    for part in (both.high, both.low):  # either view alone finds its part
        np.testing.assert_array_equal(FeatureStore(store.folder).lookup(part, photos), part.embed(photos))


def test_what_decides_features_decides_their_digest() -> None:
    plain = quality().features_digest
    assert plain == by_pairs().features_digest == quality(batch_size=2).features_digest != quality(1).features_digest
    reduced = MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), WholeImage(max_shorter_side=64), name="tiny")
    windows = MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), LiqePatches(), name="tiny")
    assert len({plain, reduced.features_digest, windows.features_digest}) == 3
    tuned = quality()
    tuned.backbone.cast(torch.bfloat16)
    assert tuned.features_digest != plain
    encoder = low_encoder()
    regression = RegressionPredictor({"low": encoder}, Scales(), normalize=True, name="a")
    unnormalised = RegressionPredictor({"low": encoder}, Scales(), normalize=False, name="a")
    assert regression.features_digest != unnormalised.features_digest
    assert unnormalised.features_digest == PristinePredictor({"low": encoder}, None, name="b").features_digest


def test_an_adapter_has_features_of_its_own(photos, tmp_path) -> None:
    store, predictor = FeatureStore(tmp_path / "store"), quality()
    adapters = Adapters(predictor.backbone)
    adapters.add("mine", LoraOptions(targets="all"))
    for name, parameter in predictor.backbone.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
    tuned = store.features(predictor, photos)
    adapters.use(None)
    plain = store.features(predictor, photos)
    assert not np.allclose(tuned, plain)
    adapters.use("mine")
    np.testing.assert_array_equal(FeatureStore(store.folder).lookup(predictor, photos), tuned)


def test_a_changed_file_is_seen_and_a_moved_one_is_known(photos, tmp_path, monkeypatch) -> None:
    store = FeatureStore(tmp_path / "store")
    first = store.features(quality(), photos)
    Image.fromarray(pictures(1, seed=9)[0]).save(photos[0])
    photos[1] = photos[1].rename(tmp_path / "moved.png")
    rows = list(FeatureStore(store.folder).stream(quality(), photos))
    assert [row.new for row in rows] == [True, *[False] * 5]
    np.testing.assert_array_equal(rows[0].features, quality().embed(photos[0])[0])
    np.testing.assert_array_equal(rows[1].features, first[1])
    # of the same size and not older, as a file that was written twice within a moment: it is read again
    new = pictures(1, seed=10, lowest=40, highest=41)[0]
    Image.fromarray(new).save(tmp_path / "fresh.bmp")
    FeatureStore(store.folder).features(quality(), tmp_path / "fresh.bmp")
    stamp = (tmp_path / "fresh.bmp").stat().st_mtime_ns
    Image.fromarray(255 - new).save(tmp_path / "fresh.bmp")
    os.utime(tmp_path / "fresh.bmp", ns=(stamp, stamp))
    (row,) = FeatureStore(store.folder).stream(quality(), tmp_path / "fresh.bmp")
    assert row.new


@pytest.mark.filterwarnings("ignore::vlqa.errors.ImageWarning")
def test_a_file_that_changes_while_it_is_encoded_is_an_error(photos, tmp_path, monkeypatch) -> None:
    def touch(path: str) -> bytes:
        digest = original(path)
        os.utime(path, (2e9, 2e9))
        return digest

    original = module._digest_of_file
    monkeypatch.setattr(module, "_digest_of_file", touch)
    store = FeatureStore(tmp_path / "store")
    with pytest.raises(VLQAError, match=r"0\.png: changed while it was read; run again"):
        store.features(quality(), photos[0])
    assert len(store) == 0


def test_bytes_pixels_and_files_are_known_by_what_they_hold(photos, tmp_path) -> None:
    store = FeatureStore(tmp_path / "store")
    by_path = store.features(quality(), photos)
    data = [path.read_bytes() for path in photos]
    assert [row.new for row in store.stream(quality(), data)] == [False] * 6
    arrays = [np.asarray(Image.open(path)) for path in photos]
    rows = list(store.stream(quality(), [*arrays, *arrays]))
    assert [row.new for row in rows] == [True] * 6 + [False] * 6
    assert all(row.path is None for row in rows)
    np.testing.assert_array_equal(np.stack([row.features for row in rows[6:]]), by_path)
    opened = [Image.open(path) for path in photos]
    assert not any(row.new for row in store.stream(quality(), opened))


@pytest.mark.filterwarnings("ignore::vlqa.errors.ImageWarning")
def test_sources_are_known_by_their_bytes_and_read_once(photos, tmp_path) -> None:
    def source(path: Path) -> Source:
        return Source(f"s.tar/{path.name}", lambda: (read.append(path.name), path.read_bytes())[1])

    read: list[str] = []
    store = FeatureStore(tmp_path / "store")
    expected = store.features(quality(), photos[:3])
    given = [
        *map(source, photos),
        photos[0],
        source(tmp_path / "none.png"),
        Source("s.tar/path", lambda: str(photos[1])),
    ]
    rows = list(store.stream(quality(), given))
    assert [row.path for row in rows[:6]] == [f"s.tar/{path.name}" for path in photos]
    assert [row.new for row in rows] == [False] * 3 + [True] * 3 + [False] * 3
    np.testing.assert_array_equal(np.stack([row.features for row in rows[:3]]), expected)
    assert "s.tar/none.png: there is no such file" in str(rows[7].error) and rows[8].error is None
    assert sorted(read) == sorted([*(path.name for path in photos), "none.png"])
    assert np.isfinite(store.lookup(quality(), map(source, photos))).all() and len(store) == 6


@pytest.mark.filterwarnings("ignore::vlqa.errors.ImageWarning")
def test_failures_are_rows_of_nan_and_are_tried_again(photos, tmp_path) -> None:
    store = FeatureStore(tmp_path / "store")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    seen: list[tuple[int, bool]] = []
    with pytest.warns(ImageWarning, match=r"no features: .*bad\.png"):
        found = store.features(quality(), [photos[0], bad, b"nothing", photos[1]], lambda *told: seen.append(told))
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, False]
    assert seen == [(0, False), (1, False), (2, False), (2, False)]
    Image.fromarray(pictures(1)[0]).save(bad)
    assert np.isfinite(store.features(quality(), [photos[0], bad])).all()
    with pytest.raises(VLQAError, match="no such file"):
        store.features(quality(), tmp_path / "none.png")
    with pytest.raises(VLQAError, match="all 2 images fail; the first"):
        store.features(quality(), [b"a", b"b"])
    assert store.features(quality(), []).shape == (0, 16)


def test_lookup_encodes_nothing(photos, tmp_path) -> None:
    store = FeatureStore(tmp_path / "store")
    first = store.features(quality(), photos[:3])
    found = store.lookup(quality(), [*photos, b"nothing", tmp_path / "none.png"])
    np.testing.assert_array_equal(found[:3], first)
    assert np.isnan(found[3:]).all() and len(store) == 3


def test_a_kill_between_shards_leaves_the_finished_ones(photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_SHARD", 2)
    store, predictor = FeatureStore(tmp_path / "store"), quality(workers=0)
    stream = store.stream(predictor, photos)
    next(stream)
    stream.close()  # the run ends here
    assert len(FeatureStore(store.folder)) == 2
    rows = list(FeatureStore(store.folder).stream(predictor, photos))
    assert [row.new for row in rows] == [False] * 2 + [True] * 4
    np.testing.assert_array_equal(np.stack([row.features for row in rows]), predictor.embed(photos))


def test_ctrl_c_keeps_what_was_encoded(photos, tmp_path) -> None:
    def stop(failed: int, known: bool) -> None:
        seen.append(failed)
        if len(seen) == 3:
            raise KeyboardInterrupt

    seen: list[int] = []
    store = FeatureStore(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        store.features(quality(batch_size=1), photos, stop)
    assert len(FeatureStore(store.folder)) == 3


def test_shards_appear_whole(photos, tmp_path, monkeypatch) -> None:
    def half(table: Any, file: Any, **_: Any) -> None:
        file.write(b"PAR1")
        raise OSError(28, "No space left on device")

    store = FeatureStore(tmp_path / "store")
    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="No space left"):
        store.features(quality(), photos)
    monkeypatch.undo()
    assert not list(store.folder.rglob("*.parquet*"))
    assert len(FeatureStore(store.folder)) == 0
    assert np.isfinite(FeatureStore(store.folder).features(quality(), photos)).all()


def test_blocks_do_not_change_what_comes(photos, tmp_path, monkeypatch) -> None:
    given = [photos[0], photos[0], *photos, pictures(1)[0], photos[0].read_bytes(), *photos]
    expected = FeatureStore(tmp_path / "whole").features(quality(), given)
    monkeypatch.setattr(module, "_BLOCK", 3)
    monkeypatch.setattr(module, "_HELD_BYTES", 10)
    np.testing.assert_allclose(FeatureStore(tmp_path / "parts").features(quality(), given), expected, atol=1e-6)
    assert len(FeatureStore(tmp_path / "parts")) == len(FeatureStore(tmp_path / "whole")) == 7


def test_what_is_no_store_is_refused_in_one_line(photos, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"0\.png is a file; a feature store is a folder"):
        FeatureStore(photos[0])
    with pytest.raises(ConfigError, match="holds no feature store; name a new folder"):
        FeatureStore(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / ".store.json.x1").touch()  # of a run that was killed at its first moment
    assert len(FeatureStore(empty)) == 0
    for text, message in (('{"kind": "vlqa features", "format": 7}', "format 7, expected 1"), ("{}", "no feature")):
        (empty / "store.json").write_text(text)
        with pytest.raises(ConfigError, match=message):
            FeatureStore(empty)


def test_damage_is_told_with_its_file(photos, tmp_path) -> None:
    folder = tmp_path / "store"
    FeatureStore(folder).features(quality(), photos)
    (shard,) = (folder / "encoders").rglob("*.parquet")
    whole = shard.read_bytes()

    def message() -> str:
        with pytest.raises(ConfigError, match=r"damaged .* delete it, and what it held is made again") as caught:
            FeatureStore(folder).features(quality(), photos)
        assert str(caught.value).startswith(f"{shard}: ") and "\n" not in str(caught.value)
        return str(caught.value)

    shard.write_bytes(whole[: len(whole) // 2])
    message()
    place = len(whole) // 3
    shard.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    message()
    pq.write_table(pa.table({"other": [1]}), shard)
    assert "image" in message()
    shard.unlink()
    assert np.isfinite(FeatureStore(folder).features(quality(), photos)).all()


def test_rows_of_another_width_are_damage(photos, tmp_path) -> None:
    folder = tmp_path / "store"
    FeatureStore(folder).features(quality(), photos[:1])
    (shard,) = (folder / "encoders").rglob("*.parquet")
    table = pq.read_table(shard)
    narrow = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4, np.float32)), 4)
    pq.write_table(table.set_column(1, "features", narrow), shard)
    with pytest.raises(ConfigError, match="expected 16 numbers"):
        FeatureStore(folder).features(quality(), photos[:1])


def test_a_method_that_scores_by_patches_takes_no_store(photos, tmp_path) -> None:
    blind_score = PristinePredictor({"low": low_encoder()}, None, name="grepq-low")
    with pytest.raises(ConfigError, match="scores by the patches of a picture, which no store holds"):
        rescore(FeatureStore(tmp_path / "store"), blind_score, photos)
    unfitted = RegressionPredictor({"low": low_encoder()}, Scales(), normalize=True, name="arniqa")
    with pytest.raises(VLQAError, match="no regressor yet"):
        rescore(FeatureStore(tmp_path / "store"), unfitted, photos)
    assert not (tmp_path / "store").exists()


@pytest.mark.filterwarnings("ignore::vlqa.errors.ImageWarning")
def test_a_failing_duplicate_fails_too(tmp_path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no picture")
    store = FeatureStore(tmp_path / "store")
    rows = list(store.stream(quality(), [tmp_path / "a.png", tmp_path / "b.png"]))
    assert all(row.error is not None and row.features is None for row in rows)
    with pytest.raises(VLQAError, match="all 2 images fail"):
        store.features(quality(), [tmp_path / "a.png", tmp_path / "b.png"])


def test_rows_without_features_are_damage(tmp_path: Path) -> None:
    none = pa.array([None], pa.list_(pa.float32(), 3))
    write(tmp_path, pa.table({"image": pa.array([b"x" * 32], pa.binary(32)), "features": none}))
    with pytest.raises(ConfigError, match="damaged \\(1 rows without features"):
        FeatureTable(tmp_path, 3).rows([b"x" * 32])


_WRITER = """
import sys
from pathlib import Path
from tests.fewshot.test_store import quality
from vlqa.fewshot import store
store._SHARD = 2
predictor = quality()
print("ready", flush=True)
sys.stdin.readline()
store.FeatureStore(sys.argv[1]).features(predictor, [Path(path) for path in sys.argv[2:]])
"""


def test_two_processes_may_write_at_once(photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_SHARD", 2)
    folder, root = tmp_path / "store", Path(__file__).parents[2]
    command = [sys.executable, "-c", _WRITER, folder, *photos[2:]]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None and other.stdout.readline() == "ready\n"
        other.stdin.write("go\n")
        other.stdin.flush()
        ours = FeatureStore(folder).features(quality(), photos[:4])
        assert other.wait(60) == 0
    np.testing.assert_array_equal(ours, quality().embed(photos[:4]))
    found = FeatureStore(folder)
    assert len(found) == 6
    np.testing.assert_allclose(found.lookup(quality(), photos), quality().embed(photos), atol=1e-6)


def test_a_store_that_another_process_begins_now_is_a_store(tmp_path, monkeypatch) -> None:
    folder, listed = tmp_path / "store", Path.iterdir
    folder.mkdir()

    def begun(path: Path) -> Any:
        if path == folder:
            FeatureStore._mark(store)
        return listed(path)

    store = FeatureStore(folder)
    monkeypatch.setattr(Path, "iterdir", begun)
    assert len(FeatureStore(folder)) == 0
