from __future__ import annotations

import contextlib
import mmap
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from tests.hostile import encode, sample, write_hostile_files
from tests.pictures import HAS_AVIF
from tests.tiny import CONVOLUTIONS, backbone, joint_prompts
from vlqa.apps.cli import app
from vlqa.data import pixel_memory
from vlqa.data.images import decode
from vlqa.data.isolation import IsolatedDecoder
from vlqa.errors import ConfigError, ImageDecodeError
from vlqa.hub import load, save
from vlqa.pipeline import Encoded, Route, encode_images
from vlqa.predictors import MultitaskPredictor
from vlqa.predictors.views import WholeImage
from vlqa.types import Pixels, Source

pytestmark = pytest.mark.skipif(os.name != "posix", reason="isolation needs a Unix system")

GOOD = encode(sample(240, 240), "PNG")  # as large as a batch, so that it waits for none
MANY_PIXELS = 1 << 20


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IsolatedDecoder, "function", "tests.crashing.decode")


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    before = held()
    yield
    processes, files, threads = held()
    assert processes == before[0] and files <= before[1] and threads <= before[2]  # others may end meanwhile


def held() -> tuple[list[int], int, int]:
    """Decoding processes, open files and threads of this test."""
    return [child.pid for child in decoders()], psutil.Process().num_fds(), threading.active_count()


def decoders() -> list[psutil.Process]:
    """Decoding processes of this one, which may have others: kernels of notebooks, for one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any("decoder_child" in word for word in child.cmdline()):
                found.append(child)
    return found


def whole(pixels: Pixels) -> Tensor:
    return torch.from_numpy(np.array(pixels.transpose(2, 0, 1)[None]))


def means(patches: Tensor) -> Tensor:
    return patches.float().mean(dim=(2, 3))


def encoded(images: object, **options: object) -> Iterator[Encoded]:
    options = {"isolate": True, "workers": 2, "batch_size": 1, "max_image_pixels": MANY_PIXELS} | options
    return encode_images(images, [Route(whole, means)], **options)


def test_pixels_and_errors_are_those_of_the_plain_road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if HAS_AVIF else [])]
    files = [encode(sample(40 + 3 * number, 70 - number), kind) for number, kind in enumerate(kinds)]
    (tmp_path / "near.jpg").write_bytes(files[0])
    images = [
        *files,
        *write_hostile_files(tmp_path),
        tmp_path / "near.jpg",
        "near.jpg",
        "",
        "a\0b",
        bytearray(GOOD),
        memoryview(GOOD),
        None,
        5,
        Image.open(tmp_path / "near.jpg"),
        np.zeros((3, 2, 3), np.uint8),
        Source("member of a tar", lambda: files[1]),
        Source("row of a table", lambda: str(tmp_path / "near.jpg")),
        Source("lost", lambda: b"lost"),
        Source("gone", lambda: os.fspath(Path("/gone").resolve(strict=True))),
    ]
    decoder = IsolatedDecoder(MANY_PIXELS)
    decoder(GOOD)  # its process has begun in another folder
    monkeypatch.chdir(tmp_path)
    for image in images:
        try:
            expected = decode(image, max_pixels=MANY_PIXELS)
        except ImageDecodeError as error:
            with pytest.raises(ImageDecodeError, match=f"^{re.escape(str(error))}$"):
                decoder(image)
        else:
            pixels = decoder(image)
            np.testing.assert_array_equal(pixels, expected)
            assert pixels.flags.writeable and pixels.flags.c_contiguous
    assert len(decoders()) == 1
    decoder.close()


@pytest.mark.usefixtures("crashing")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_crash_costs_one_picture(workers: int) -> None:
    failing = {
        b"segfault": "the decoder crashed on it (SIGSEGV); export it again",
        b"abort": "the decoder crashed on it (SIGABRT); export it again",
        b"exit": "the decoder crashed on it (status 3); export it again",
        b"killed": "the system ended its decoder, most likely for lack of memory; scale it down",
        b"memory": "does not fit into memory; scale it down",
        b"error": r"cannot be decoded (two\nlines); export it to PNG first",
    }
    images = [image for bad in failing for image in (bad, GOOD, Source("named", lambda bad=bad: bad), GOOD)]
    found = list(encoded(images, workers=workers))
    for item, image in zip(found, images, strict=True):
        if image == GOOD:
            assert item.error is None and item.features is not None
        else:
            name, content = (image.name, image.read()) if isinstance(image, Source) else ("image given as bytes", image)
            assert isinstance(item.error, ImageDecodeError)
            assert str(item.error).startswith(f"{name}: {failing[content]}")


@pytest.mark.usefixtures("crashing")
def test_a_hang_costs_one_picture() -> None:
    images = [GOOD, b"hang", GOOD, b"spin", GOOD]
    found = [item.error for item in encoded(images, decode_timeout=0.5)]
    assert [error is None for error in found] == [True, False, True, False, True]
    message = "image given as bytes: took longer than 0.5 s to decode; export it again, or raise --decode-timeout"
    assert all(str(found[number]).startswith(message) for number in (1, 3))


@pytest.mark.usefixtures("crashing")
def test_thirty_crashes_in_a_row_leave_nothing_behind() -> None:
    decoder = IsolatedDecoder(MANY_PIXELS)
    decoder(GOOD)
    before = [len(part) if isinstance(part, list) else part for part in held()]
    for _ in range(30):
        with pytest.raises(ImageDecodeError, match="SIGABRT"):
            decoder(b"abort")
    decoder(GOOD)
    assert [len(part) if isinstance(part, list) else part for part in held()] == before
    decoder.close()


@pytest.mark.usefixtures("crashing")
def test_a_picture_is_not_blamed_for_what_another_broke() -> None:
    decoder = IsolatedDecoder(MANY_PIXELS)
    decoder(b"later")
    np.testing.assert_array_equal(decoder(GOOD), decode(GOOD))
    (child,) = decoders()
    child.kill()  # as the system may do to one that waits
    np.testing.assert_array_equal(decoder(GOOD), decode(GOOD))
    decoder.close()


def test_memory_grows_with_the_pictures_and_is_not_shared_with_the_next() -> None:
    decoder = IsolatedDecoder(MANY_PIXELS)
    sizes = [(5, 4), (300, 200), (7, 9), (400, 300), (1, 1)]
    found = [decoder(encode(sample(*size), "PNG")) for size in sizes]
    for pixels, size in zip(found, sizes, strict=True):
        np.testing.assert_array_equal(pixels, np.asarray(sample(*size)))
    decoder.close()


def test_a_picture_stays_what_it_is_however_long_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_memory, "_KEPT_BYTES", mmap.PAGESIZE)
    files = [encode(sample(90 + number, 80), kind) for number, kind in enumerate(["JPEG", "PNG"] * 4)]
    decoder = IsolatedDecoder(MANY_PIXELS)
    parts = [decoder(file)[3::2, 1:] for file in files]
    for part, file in zip(parts, files, strict=True):
        np.testing.assert_array_equal(part, decode(file)[3::2, 1:])
    assert [is_lent(part) for part in parts] == [True] + [False] * 7
    del parts, part
    for file in files:
        last = None
        last = decoder(file)
        np.testing.assert_array_equal(last, decode(file))
        assert is_lent(last)
    decoder.close()
    np.testing.assert_array_equal(last, decode(files[-1]))


@pytest.mark.skipif(not hasattr(mmap, "MADV_REMOVE"), reason="the system takes no memory back")
def test_a_large_picture_leaves_no_memory_taken_once_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_memory, "_KEPT_BYTES", mmap.PAGESIZE)
    large, small = encode(sample(400, 300), "JPEG"), encode(sample(8, 8), "JPEG")
    decoder = IsolatedDecoder(MANY_PIXELS)
    first = decoder(small)
    copied = decoder(large)
    large_bytes = copied.size
    assert not is_lent(copied) and shared_bytes() < large_bytes // 2
    del first
    with pytest.raises(ImageDecodeError, match="truncated"):
        decoder(large[: len(large) // 2])
    assert shared_bytes() < large_bytes // 2
    lent = decoder(large)
    assert is_lent(lent) and shared_bytes() >= large_bytes
    np.testing.assert_array_equal(lent, copied)
    del lent
    decoder(small)
    assert shared_bytes() < large_bytes // 2
    decoder.close()


def shared_bytes() -> int:
    """What all memories that pixels come in take together."""
    taken = {}  # each once: a map has a descriptor of its own
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if "vlqa-pixels" in os.readlink(link):  # noqa: PTH115 - Path.readlink makes a path of no file
                taken[link.stat().st_ino] = 512 * link.stat().st_blocks
    return sum(taken.values())


def is_lent(pixels: Pixels) -> bool:
    base: object = pixels
    while isinstance(base, np.ndarray):
        base = base.base
    return base is not None


def test_the_caller_says_how_large_is_enough() -> None:
    """As without isolation: at any orientation, of other formats, and where the caller refuses a size."""

    def enough(height: int, width: int) -> tuple[int, int]:
        if height == width:
            raise ImageDecodeError("is too square")
        return height // 3, width // 5

    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encode(sample(400, 240), "JPEG", exif=exif)
    files = [encode(sample(400, 240), "JPEG"), turned, encode(sample(400, 240), "PNG")]
    square = encode(sample(64, 64), "JPEG")
    files += [square, square[: len(square) // 2], files[0], files[0][:1500], b"no picture", encode(sample(), "JPEG")]
    decoder, shapes = IsolatedDecoder(MANY_PIXELS), []
    for file in files:
        try:
            expected = decode(file, enough=enough)
        except ImageDecodeError as error:
            with pytest.raises(ImageDecodeError, match=f"^{re.escape(str(error))}$"):
                decoder(file, enough)
        else:
            shapes.append(expected.shape[:2])
            np.testing.assert_array_equal(decoder(file, enough), expected)
    assert shapes[:3] == [(90, 150), (150, 90), (240, 400)]
    assert len(decoders()) == 1
    decoder.close()


def test_large_pictures_wait_for_room_in_memory() -> None:
    large = encode(Image.new("RGB", (2500, 1700)), "PNG")
    entered: list[tuple[int, int]] = []

    def enter(width: int, height: int, kind: str | None) -> None:
        entered.append((width, height))
        time.sleep(1.6)  # longer than a picture may take
        if len(entered) == 2:
            raise ImageDecodeError("finds no room")

    decoder = IsolatedDecoder(10 * MANY_PIXELS, timeout_s=1.5)
    assert decoder(large, None, enter).shape == (1700, 2500, 3)
    with pytest.raises(ImageDecodeError, match=r"^image given as bytes: finds no room"):
        decoder(large, None, enter)
    assert decoder(GOOD, None, enter).shape == (240, 240, 3)
    assert decoder(large).shape == (1700, 2500, 3)
    assert entered == [(2500, 1700)] * 2 and len(decoders()) == 1
    decoder.close()


@pytest.mark.usefixtures("crashing")
@pytest.mark.parametrize("after", [b"hang", GOOD])
def test_a_stream_that_is_abandoned_ends_its_processes_at_once(after: bytes) -> None:
    stream = encoded([GOOD, *[after] * 20], workers=3)
    next(stream)
    assert len(decoders()) >= 1
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 10 and not decoders()


@pytest.mark.usefixtures("crashing")
@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_ends_all(workers: int, request: pytest.FixtureRequest) -> None:
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a background shell may have told us to ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    stream = encoded([GOOD, b"hang", b"hang", b"hang"], workers=workers)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        list(stream)
    timer.join()


def test_processes_are_started_when_the_first_file_comes() -> None:
    assert len(list(encoded([np.zeros((3, 2, 3), np.uint8)] * 5))) == 5
    decoder = IsolatedDecoder()
    assert not decoders()
    decoder.close()


def test_a_process_imports_no_torch() -> None:
    code = "import sys, vlqa.data.decoder_child, vlqa.data.images; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"


@pytest.mark.parametrize("image", [GOOD, b"hang"])
def test_a_process_dies_with_its_parent_and_dumps_no_core(image: bytes, tmp_path: Path) -> None:
    script = tmp_path / "script.py"  # which the process must not run: it has no guard
    script.write_text(
        "import os, pathlib, psutil, threading, time\n"
        "from vlqa.data.isolation import IsolatedDecoder\n"
        "IsolatedDecoder.function = 'tests.crashing.decode'\n"
        "decoder = IsolatedDecoder(timeout_s=0.5)\n"
        f"decoder({GOOD!r})\n"
        f"threading.Thread(target=decoder, args=[{image!r}]).start()\n"
        "time.sleep(0.2)\n"
        "child, = psutil.Process().children()\n"
        "limits = pathlib.Path(f'/proc/{child.pid}/limits')\n"
        "print(child.pid, limits.read_text() if limits.exists() else '', flush=True)\n"
        "os._exit(0)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = subprocess.check_output([sys.executable, script], text=True, env=environment)
    core = [line.split()[4] for line in said.splitlines() if line.startswith("Max core")]
    assert core in ([], ["0"])
    number = int(said.split()[0])
    deadline = time.monotonic() + 10
    while psutil.pid_exists(number) and psutil.Process(number).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_that_does_not_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IsolatedDecoder, "function", "tests.nowhere.decode")
    (found,) = encoded([GOOD])
    assert "the process to decode in does not start (ModuleNotFoundError: No module named 'tests.nowhere')" in str(
        found.error
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    predictor = MultitaskPredictor(backbone(CONVOLUTIONS), joint_prompts(), WholeImage(max_shorter_side=64))
    return save(predictor, tmp_path_factory.mktemp("tiny") / "model")


@pytest.mark.usefixtures("crashing")
def test_load_and_the_commands_isolate(model: Path, tmp_path: Path) -> None:
    plain, isolated = load(model, device="cpu"), load(model, device="cpu", isolate=True, decode_timeout=10)
    np.testing.assert_array_equal(isolated.predict([GOOD, GOOD]), plain.predict([GOOD, GOOD]))
    assert "SIGSEGV" in str(isolated.assess([b"segfault", GOOD])[0].error)
    large = encode(sample(800, 640), "JPEG")
    fast, both = (load(model, device="cpu", fast_decode=True, isolate=isolate) for isolate in (False, True))
    assert fast.predict(large) == both.predict(large) != plain.predict(large)
    (tmp_path / "a.png").write_bytes(GOOD)
    for command in ("score", "embed"):
        options = ["--model", str(model), "--device", "cpu", "--isolate", "--decode-timeout", "20"]
        output = tmp_path / ("scores.jsonl" if command == "score" else "store")
        result = CliRunner().invoke(app, [command, str(tmp_path / "a.png"), "-o", str(output), *options])
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"isolate": 1}, "isolate must be True or False, not 1"),
        ({"decode_timeout": 5}, r"decode_timeout needs isolate=True \(--isolate\)"),
        *[
            ({"isolate": True, "decode_timeout": value}, "decode_timeout must be a number of seconds")
            for value in (0, -1, True, "5", float("nan"), float("inf"))
        ],
    ],
)
def test_wrong_options(model: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(model, **options)
