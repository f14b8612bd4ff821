"""Pickles of strangers, for DragBench's meta_data.pkl.

A pickle is a program. Here it may only build dicts, lists, strings, numbers and plain arrays: nothing of numpy's or
anybody's own unpickling code runs, and every other name in it is refused.
"""

from __future__ import annotations

import codecs
import pickle
import pickletools
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

MAX_PICKLE = 256 * 2**20  # bytes; a mask of 4000 x 8000 int64 fits
MAX_OPCODES = 10**6  # the points and an array are some hundred


def read_meta(path: Path) -> dict[str, Any]:
    """meta_data.pkl as a dict with "points" and, usually, "mask" and "prompt".

    Raises:
        ValueError: too large, damaged, or holding anything but plain values and arrays.
    """
    try:
        if path.stat().st_size > MAX_PICKLE:
            raise ValueError(f"larger than {MAX_PICKLE / 2**20:.0f} MiB")
        content = path.read_bytes()
        _check_opcodes(content)
        meta = _plain(_Unpickler(BytesIO(content)).load())
        if not isinstance(meta, dict) or "points" not in meta:
            raise ValueError('no dict with "points"')
        return meta
    except Exception as error:  # an unpickler fed with noise raises nearly every kind of error there is
        raise ValueError(f"{path.name} cannot be read ({error or type(error).__name__}); expected a dict of prompt, "
                         "points and mask") from error  # fmt: skip


def _check_opcodes(content: bytes) -> None:
    """A memo index of 2^31 in a pickle of five bytes makes the unpickler allocate 32 GB: seen before it runs."""
    for number, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if number > MAX_OPCODES or (opcode.name.endswith("PUT") and int(argument) > number):
            raise pickle.UnpicklingError(f"{opcode.name} {argument} at opcode {number}")


class _Dtype:
    """numpy.dtype("i8", ...) of a pickle, if it is a plain number's."""

    def __init__(self, code: str, *_: object):
        if code not in {"b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"}:
            raise pickle.UnpicklingError(f"an array of dtype {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1] if state[1] in ("<", ">") else "=")


class _Array:
    """numpy.ndarray of a pickle, made from its bytes."""

    def __init__(self, *_: object):
        self.array = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, data = state
        self.array = _from_bytes(data, dtype, shape, "F" if fortran else "C")


def _from_bytes(data: Any, dtype: _Dtype, shape: tuple, order: str = "C") -> np.ndarray:
    return np.frombuffer(bytes(data), dtype.dtype).reshape(shape, order=order)


def _from_buffer(data: Any, dtype: _Dtype, shape: tuple, order: str) -> _Array:
    made = _Array()
    made.array = _from_bytes(data, dtype, shape, order)
    return made


def _scalar(dtype: _Dtype, data: bytes) -> object:
    return _from_bytes(data, dtype, (1,))[0].item()


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text encoded as {encoding!r}")
    return codecs.encode(text, "latin1")


_ALLOWED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _latin1,
    **{(f"{core}.multiarray", "_reconstruct"): _Array for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.multiarray", "scalar"): _scalar for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): _from_buffer for core in ("numpy.core", "numpy._core")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside")


def _plain(value: Any) -> Any:
    if isinstance(value, _Array):
        return value.array
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise pickle.UnpicklingError(f"a {type(value).__name__}")
