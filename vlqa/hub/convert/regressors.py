"""Linear regressors that authors released, as pickles or torch files, read without executing anything in them."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch

from vlqa import artifacts
from vlqa.errors import CheckpointError
from vlqa.models.loading import find_state_dict
from vlqa.predictors.regression import LinearRegressor

_MOST_BYTES = 2**24  # 8192 coefficients and some settings are 70 kB

_SETS: dict[str, tuple[tuple[float, float], bool]] = {
    "live": ((0, 100), True),
    "csiq": ((0, 1), True),
    "tid2013": ((0, 9), False),
    "tid": ((0, 9), False),
    "kadid10k": ((1, 5), False),
    "kadid": ((1, 5), False),
    "koniq10k": ((0, 100), False),
    "koniq": ((0, 100), False),
    "clive": ((0, 100), False),
    "spaq": ((0, 100), False),
    "flive": ((0, 100), False),
}
"""Scale of each set's scores, and whether they are DMOS, lower is better."""


class _Ridge:
    """Stands where scikit-learn's Ridge stood: keeps what was stored and can do nothing."""

    state: ClassVar[dict[str, Any]] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = dict(state) if isinstance(state, dict) else {}  # type: ignore[misc]


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(f"sklearn.linear_model.{module}", "Ridge"): _Ridge for module in ("_ridge", "ridge")},
    **{
        (f"numpy.{core}.multiarray", name): getattr(np._core.multiarray, name)  # type: ignore[attr-defined]
        for core in ("core", "_core")
        for name in ("_reconstruct", "scalar")
    },
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to objects outside the file")


def read_regressor(path: Path) -> LinearRegressor:
    """Coefficients and intercept of a pickled scikit-learn Ridge, or of a torch file with one linear layer.

    In a pickle only that class, NumPy's array, dtype, `_reconstruct` and `scalar` may stand; anything else is refused
    before it is looked up. The file's name tells the set it was fitted on, and with it scale and direction (LIVE and
    CSIQ are rated in DMOS: those regressors are turned so that higher is better), and whether it compares with a
    reference ("FR" in the name).

    Raises:
        CheckpointError: missing, damaged, something else than a fitted regressor, or a name that tells no set.
    """
    is_torch = path.suffix == ".safetensors" or zipfile.is_zipfile(path)
    coefficients, intercept = _of_layer(path) if is_torch else _of_ridge(path)
    if not (np.isfinite(coefficients).all() and np.isfinite(intercept)):
        raise CheckpointError(f"{path}: its coefficients are not finite")
    words = re.split(r"[^a-z0-9]+", path.stem.lower())
    named = [word for word in words if word in _SETS]
    if not named:
        raise CheckpointError(
            f"{path}: its name tells no set, and so no scale; rename it after one: {', '.join(_SETS)}"
        )
    scale, lower_is_better = _SETS[named[0]]
    if lower_is_better:
        coefficients, intercept = -coefficients, sum(scale) - intercept
    return LinearRegressor(torch.from_numpy(coefficients.copy()), intercept, scale, full_reference="fr" in words)


def _of_layer(path: Path) -> tuple[npt.NDArray[np.float64], float]:
    tensors = find_state_dict(artifacts.read_checkpoint(path))
    weights = [tensor for tensor in tensors.values() if tensor.ndim == 2 and len(tensor) == 1]
    biases = [tensor for tensor in tensors.values() if tensor.numel() == 1 and tensor.ndim < 2]
    if len(tensors) != 2 or len(weights) != 1 or len(biases) != 1:
        raise CheckpointError(f"{path}: no regressor of one linear layer with a weight (1, d) and a bias (1,)")
    return weights[0][0].double().numpy(), float(biases[0])


def _of_ridge(path: Path) -> tuple[npt.NDArray[np.float64], float]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if len(data) > _MOST_BYTES:
        raise CheckpointError(f"{path}: {len(data)} bytes are too many for a ridge regressor")
    try:
        found = _Reader(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # a hostile stream of instructions can fail in any way
        raise CheckpointError(f"{path}: refused as a ridge regressor: {' '.join(str(error).split())}") from None
    state = found.state if isinstance(found, _Ridge) else {}
    try:
        coefficients = np.asarray(state["coef_"], np.float64).reshape(-1)
        intercept = float(np.asarray(state["intercept_"], np.float64).reshape(()))
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"{path}: no fitted ridge regressor with coef_ and intercept_") from None
    return coefficients, intercept
