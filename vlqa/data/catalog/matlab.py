"""Label files that are MATLAB's: version 5 by scipy, version 7.3 (HDF5) by h5py. Nothing in them is executed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vlqa.errors import ManifestError, MissingExtraError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_AT = 512  # MATLAB's own text stands in front of the HDF5 signature


def read_mat(file: Path, *names: str) -> dict[str, list[str]]:
    """Vectors of numbers or of words, as text.

    Args:
        file: a .mat file.
        names: variables to take; all must be there.

    Returns:
        A list for each name, in MATLAB's order (down the columns).

    Raises:
        ManifestError: not a readable .mat file, or a variable is missing; the message lists those there are.
        MissingExtraError: h5py is not installed and the file is of version 7.3.
    """
    try:
        with file.open("rb") as stream:
            is_hdf5 = _HDF5 in stream.read(_HDF5_AT + len(_HDF5))
        vectors, there = _read_hdf5(file, names) if is_hdf5 else _read_version_5(file, names)
    except MissingExtraError:
        raise
    except Exception as error:  # a damaged file raises nearly anything in scipy and h5py
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ManifestError(f"{file}: not a readable MATLAB file ({reason}); download it again") from None
    for name in names:
        if name not in vectors:
            listed = ", ".join(map(repr, there)) or "none"
            raise ManifestError(
                f"{file}: the variable {name!r} is missing; there are {listed}; download the file again"
            )
    return vectors


def _read_version_5(file: Path, names: tuple[str, ...]) -> tuple[dict[str, list[str]], list[str]]:
    import scipy.io

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of variables that are there twice
        variables = scipy.io.loadmat(file, appendmat=False)
    there = [name for name in variables if not name.startswith("__")]
    return {name: list(_words(variables[name])) for name in names if name in there}, there


def _words(value: Any) -> Iterator[str]:
    array = np.asarray(value)
    for item in array.ravel(order="F"):
        if array.dtype == object:  # a cell array
            yield from _words(item)
        else:
            yield str(item).strip() if array.dtype.kind in "US" else repr(float(item))


def _read_hdf5(file: Path, names: tuple[str, ...]) -> tuple[dict[str, list[str]], list[str]]:
    try:
        import h5py
    except ImportError:
        raise MissingExtraError("h5py", "datasets") from None
    with h5py.File(file, "r") as store:
        there = [name for name in store if not name.startswith("#")]
        return {name: list(_stored_words(store, store[name])) for name in names if name in there}, there


def _stored_words(store: Any, data: Any) -> Iterator[str]:
    array = data[()]  # its axes are MATLAB's in reverse, so that C order runs down MATLAB's columns
    if array.dtype == object:
        for reference in array.ravel():
            yield from _stored_words(store, store[reference])
    elif data.attrs.get("MATLAB_class") == b"char":
        yield "".join(map(chr, array.ravel())).strip()
    else:
        yield from (repr(float(item)) for item in array.ravel())
