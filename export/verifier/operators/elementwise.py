"""Operators on single elements, and normalisation by stored statistics."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = npt.NDArray[np.float64]
Found = dict[str, Any]


def _batch_normalization(
    found: Found, x: Array, scale: Array, bias: Array, mean: Array, variance: Array
) -> list[Array]:
    shape = (1, -1, *(1 for _ in x.shape[2:]))
    factor = scale / np.sqrt(variance + float(found.get("epsilon", 1e-5)))
    return [(x - mean.reshape(shape)) * factor.reshape(shape) + bias.reshape(shape)]


def _cast(found: Found, x: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Between floats and from bytes nothing changes in real arithmetic."""
    target = np.dtype(helper.tensor_dtype_to_np_dtype(found["to"]))
    return [x.astype(np.float64 if x.dtype == np.float64 or target.kind == "f" else target)]


def _leaky_relu(found: Found, x: Array) -> list[Array]:
    return [np.where(x < 0, float(found.get("alpha", 0.01)) * x, x)]


def _elu(found: Found, x: Array) -> list[Array]:
    return [np.where(x < 0, float(found.get("alpha", 1.0)) * np.expm1(np.minimum(x, 0)), x)]


def _selu(found: Found, x: Array) -> list[Array]:
    alpha = float(found.get("alpha", 1.67326319217681884765625))
    gamma = float(found.get("gamma", 1.05070102214813232421875))
    return [gamma * np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x)]


def _hard_sigmoid(found: Found, x: Array) -> list[Array]:
    return [np.clip(float(found.get("alpha", 0.2)) * x + float(found.get("beta", 0.5)), 0, 1)]


def _clip(_: Found, x: Array, least: Any = None, most: Any = None) -> list[Array]:
    low = x if least is None else np.maximum(x, least)
    return [low if most is None else np.minimum(low, most)]


def _constant(found: Found) -> list[npt.NDArray[Any]]:
    value = found.get("value")
    if isinstance(value, onnx.TensorProto):
        return [numpy_helper.to_array(value)]
    for name, kind in (("value_float", np.float32), ("value_int", np.int64)):
        for plural in ("", "s"):
            if name + plural in found:
                return [np.asarray(found[name + plural], kind)]
    raise ValueError(f"a constant of {sorted(found)} is not known")


OPERATORS: dict[str, Callable[..., list[Any]]] = {
    "Abs": lambda _, x: [np.abs(x)],
    "Add": lambda _, a, b: [a + b],
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Clip": _clip,
    "Constant": _constant,
    "Div": lambda _, a, b: [a / b],
    "Dropout": lambda _, x, *rest: [x],
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda _, x: [x * np.clip(x / 6 + 0.5, 0, 1)],
    "Identity": lambda _, x: [x],
    "LeakyRelu": _leaky_relu,
    "Max": lambda _, *x: [functools.reduce(np.maximum, x)],
    "Min": lambda _, *x: [functools.reduce(np.minimum, x)],
    "Mul": lambda _, a, b: [a * b],
    "Neg": lambda _, x: [-x],
    "PRelu": lambda _, x, slope: [np.where(x < 0, slope * x, x)],
    "Relu": lambda _, x: [np.maximum(x, 0.0)],
    "Selu": _selu,
    "Sigmoid": lambda _, x: [0.5 * (1 + np.tanh(0.5 * x))],
    "Softplus": lambda _, x: [np.logaddexp(0.0, x)],
    "Softsign": lambda _, x: [x / (1 + np.abs(x))],
    "Sub": lambda _, a, b: [a - b],
    "Sum": lambda _, *x: [functools.reduce(np.add, x)],
    "Tanh": lambda _, x: [np.tanh(x)],
}
