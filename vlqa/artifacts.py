"""Files that vlqa writes and reads: safetensors, JSON, digests, atomic replacement. No pickle is written or run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vlqa.errors import CheckpointError

_NUMPY_GLOBALS: list[Any] = [
    np.ndarray,
    np.dtype,
    np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    np._core.multiarray.scalar,  # type: ignore[attr-defined]
    (np._core.multiarray._reconstruct, "numpy.core.multiarray._reconstruct"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
    *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdS"},
]
"""What a published torch file may rebuild besides tensors: numpy's array, dtype and scalar, under old and new names."""


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary neighbour of `path` that replaces it when the block ends without an error.

    A reader never sees half a file; of two writers the last one wins, whole.

    Args:
        path: the file to write; its folder is created.
        mode: "wb" or "w" (UTF-8).
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def check_writable(folder: str | os.PathLike[str]) -> None:
    """Raise the OSError of a folder, there or not yet, in which no file can be made."""
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    Path(tempfile.mkdtemp(dir=place, prefix=".vlqa-")).rmdir()  # permissions alone tell nothing of a full disk


def write_json(path: str | os.PathLike[str], value: Mapping[str, Any]) -> None:
    """Write a JSON object, indented, atomically."""
    with atomic_write(path, "w") as file:
        json.dump(value, file, indent=2, ensure_ascii=False)
        file.write("\n")


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file is missing or holds no JSON object.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error})") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named tensors as safetensors, atomically. Shared or strided storage is copied first."""
    packed = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(packed, metadata=dict(metadata) if metadata else None))


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a safetensors file, or a torch file without executing any code in it.

    A torch file may hold tensors, containers, numbers, strings and numpy arrays; a file that asks for anything else is
    refused. TorchScript archives (OpenAI's CLIP files) give their state dict.

    Args:
        path: a .safetensors, .pt, .pth, .tar or .bin file.

    Returns:
        What the file holds: names to tensors, or the nested dictionary a training run saved.

    Raises:
        CheckpointError: missing, damaged, or containing code.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"{file}: no such weights file")
    try:
        if file.suffix == ".safetensors":
            tensors: dict[str, Any] = safetensors.torch.load_file(file)
            return tensors
        if _is_torchscript(file):
            raise CheckpointError(
                f"{file}: a TorchScript archive, which contains code and is refused; save its state dict as safetensors"
            )
        with torch.serialization.safe_globals(_NUMPY_GLOBALS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: what cannot be read is refused below
            value = torch.load(file, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except Exception as error:  # torch raises anything on damaged bytes: BadZipFile, IndexError, struct.error, …
        reason = " ".join(str(error).split()) or type(error).__name__
        if "weights_only" in reason or "Unsupported" in reason:
            reason = "it contains code or objects other than tensors" if _is_pickled(file) else "it is no torch file"
        raise CheckpointError(f"{file}: refused as weights: {reason}") from None
    if isinstance(value, Tensor):
        return {"": value}
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{file}: expected named tensors, found {type(value).__name__}")
    return dict(value)


def _is_pickled(file: Path) -> bool:
    """Whether it begins as what torch saves: an archive, or a pickle."""
    with file.open("rb") as opened:
        return opened.read(2)[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


def _is_torchscript(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 (hex) over names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_files(paths: Iterable[str | os.PathLike[str]]) -> str:
    """SHA-256 (hex) of the bytes of some files, in their order."""
    digests = []
    for path in paths:
        with Path(path).open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digest_json(digests)


def digest_json(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
