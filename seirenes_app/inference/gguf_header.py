"""Read a GGUF file's header without llama.cpp: its facts, its tensors, and whether the file is whole.

llama.cpp ends its process on some damaged files, so they are looked at here first. It refuses, with a `UserError` that
names the file: what is no GGUF, another version, a header that contradicts itself, and a file that ends before its
tensors do. It reads no tensor data and keeps no long array (a vocabulary is only counted).
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO

from training.errors import UserError

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_MAX_KEY_BYTES = 1 << 16
_MAX_TENSORS = 1 << 20
_MAX_PAIRS = 1 << 16
_MAX_DIMS = 4
_KEPT_STRING_BYTES = 1 << 20

Scalar = int | float | bool | str


class ValueType(IntEnum):
    """Types of a header's values, numbered as in the file."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


_FORMATS = {
    ValueType.UINT8: "<B",
    ValueType.INT8: "<b",
    ValueType.UINT16: "<H",
    ValueType.INT16: "<h",
    ValueType.UINT32: "<I",
    ValueType.INT32: "<i",
    ValueType.FLOAT32: "<f",
    ValueType.BOOL: "<?",
    ValueType.UINT64: "<Q",
    ValueType.INT64: "<q",
    ValueType.FLOAT64: "<d",
}

# Name, weights a block, bytes a block: the tensor types of ggml that a file may hold. Retired numbers are left out.
TENSOR_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """One tensor of the file; `offset` is in bytes from the start of the data, `shape` as ggml orders it."""

    name: str
    shape: tuple[int, ...]
    type_name: str
    n_bytes: int
    offset: int

    @property
    def n_weights(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a header says. `lengths` has the number of elements of each array, whose contents are not kept."""

    path: Path
    version: int
    values: dict[str, Scalar]
    lengths: dict[str, int]
    tensors: tuple[TensorFacts, ...]
    size_bytes: int

    @property
    def architecture(self) -> str:
        """The family that llama.cpp knows it by, such as qwen3; empty when the file does not say."""
        return self.text("general.architecture")

    @property
    def n_params(self) -> int:
        """The number of weights."""
        return sum(t.n_weights for t in self.tensors)

    @property
    def main_type(self) -> str:
        """The tensor type that most weights have, such as Q4_K."""
        weights: Counter[str] = Counter()
        for tensor in self.tensors:
            weights[tensor.type_name] += tensor.n_weights
        return weights.most_common(1)[0][0] if weights else ""

    def text(self, key: str, default: str = "") -> str:
        """A string of the header."""
        value = self.values.get(key)
        return value if isinstance(value, str) else default

    def number(self, key: str, default: int = 0) -> int:
        """A whole number of the header; `key` may leave out the architecture: ".context_length"."""
        value = self.values.get(self.architecture + key if key.startswith(".") else key)
        return value if isinstance(value, int) else default


def read_header(path: Path) -> GgufHeader:
    """Read and check the header of `path`; the file must be as long as its tensors need.

    Raises a `UserError` with the file, what is wrong with it, and what to do.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return _Reader(path, file, size).header()
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror}).") from error


class _Reader:
    """A cursor over one file, which checks every length against the bytes that are left."""

    def __init__(self, path: Path, file: BinaryIO, size: int) -> None:
        self._path, self._file, self._size = path, file, size

    def header(self) -> GgufHeader:
        version = self._opening()
        n_tensors, n_pairs = self._count(_MAX_TENSORS, "tensors"), self._count(_MAX_PAIRS, "values")
        values: dict[str, Scalar] = {}
        lengths: dict[str, int] = {}
        for _ in range(n_pairs):
            self._pair(values, lengths)
        tensors = tuple(self._tensor() for _ in range(n_tensors))
        header = GgufHeader(self._path, version, values, lengths, tensors, self._size)
        self._check_length(header)
        return header

    def _opening(self) -> int:
        if self._size == 0:
            raise UserError(f"{self._path}: the file is empty. Download or export it again.")
        if self._file.read(4) != MAGIC:
            raise UserError(
                f"{self._path}: this is not a GGUF file (its first bytes are not GGUF). Choose another file."
            )
        (version,) = struct.unpack("<I", self._take(4))
        if version not in VERSIONS:
            swapped = " It is written for a big-endian machine." if version in (2 << 24, 3 << 24) else ""
            raise UserError(
                f"{self._path}: GGUF version {version} cannot be read, only {VERSIONS[0]} and {VERSIONS[1]}.{swapped} "
                "Convert the model again with a current tool."
            )
        return int(version)

    def _take(self, n_bytes: int) -> bytes:
        if n_bytes > self._size - self._file.tell():
            raise self._damaged("its header ends too early")
        data = self._file.read(n_bytes)
        if len(data) < n_bytes:
            raise self._damaged("its header ends too early")
        return data

    def _skip(self, n_bytes: int) -> None:
        if n_bytes > self._size - self._file.tell():
            raise self._damaged("its header ends too early")
        self._file.seek(n_bytes, 1)

    def _damaged(self, reason: str) -> UserError:
        return UserError(f"{self._path}: the file is damaged: {reason}. Download or export it again.")

    def _u64(self) -> int:
        return int(struct.unpack("<Q", self._take(8))[0])

    def _count(self, limit: int, what: str) -> int:
        count = self._u64()
        if count > limit:
            raise self._damaged(f"it claims {count} {what}")
        return count

    def _string(self, limit: int) -> str:
        length = self._u64()
        if length > limit:
            raise self._damaged(f"it claims a name of {length} bytes")
        return self._take(length).decode("utf-8", "replace")

    def _type(self) -> ValueType:
        (number,) = struct.unpack("<I", self._take(4))
        try:
            return ValueType(number)
        except ValueError:
            raise self._damaged(f"it has a value of the unknown type {number}") from None

    def _pair(self, values: dict[str, Scalar], lengths: dict[str, int]) -> None:
        key, kind = self._string(_MAX_KEY_BYTES), self._type()
        if kind is ValueType.ARRAY:
            lengths[key] = self._array()
        elif kind is ValueType.STRING:
            values[key] = self._string(_KEPT_STRING_BYTES)
        else:
            form = _FORMATS[kind]
            values[key] = struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _array(self) -> int:
        kind, count = self._type(), self._u64()
        if kind is ValueType.ARRAY:
            raise self._damaged("it has an array of arrays")
        if kind is ValueType.STRING:
            if count > self._size // 8:
                raise self._damaged(f"it claims an array of {count} strings")
            for _ in range(count):
                self._skip(self._u64())
        else:
            self._skip(count * struct.calcsize(_FORMATS[kind]))
        return count

    def _tensor(self) -> TensorFacts:
        name = self._string(_MAX_KEY_BYTES)
        (n_dims,) = struct.unpack("<I", self._take(4))
        if not 1 <= n_dims <= _MAX_DIMS:
            raise self._damaged(f"the tensor {name} has {n_dims} dimensions")
        shape = struct.unpack(f"<{n_dims}Q", self._take(8 * n_dims))
        type_number, offset = struct.unpack("<IQ", self._take(12))
        if type_number not in TENSOR_TYPES:
            raise UserError(
                f"{self._path}: the tensor {name} is of the type {type_number}, which is not known here. "
                "Choose another quantisation of the model, such as Q8_0 or Q4_K_M."
            )
        type_name, block, block_bytes = TENSOR_TYPES[type_number]
        if min(shape) == 0 or shape[0] % block:
            raise self._damaged(f"the tensor {name} has the shape {shape}, which {type_name} cannot have")
        return TensorFacts(name, shape, type_name, math.prod(shape) // block * block_bytes, offset)

    def _check_length(self, header: GgufHeader) -> None:
        alignment = header.number("general.alignment", 32)
        if alignment < 8 or alignment & (alignment - 1) or alignment > 1 << 20:
            raise self._damaged(f"its alignment is {alignment}")
        start = -(-self._file.tell() // alignment) * alignment
        needed = max((start + t.offset + t.n_bytes for t in header.tensors), default=0)
        if needed > self._size:
            raise UserError(
                f"{self._path}: the file is cut short: it has {self._size:,} bytes and its tensors need {needed:,}. "
                "Download or export it again."
            )
        for tensor in header.tensors:
            if tensor.offset % alignment:
                raise self._damaged(f"the tensor {tensor.name} starts at byte {tensor.offset}, which is not aligned")
