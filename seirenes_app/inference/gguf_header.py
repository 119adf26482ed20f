"""Read a GGUF file's header without llama.cpp, which ends its process on some damaged files. Refuses, with a
`UserError`, what is no GGUF, another version, contradictory or cut short. Arrays are only counted."""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

from training.errors import UserError
from training.runs.files import open_regular

MAGIC = b"GGUF"
VERSIONS = (2, 3)
_MAX_KEY_BYTES = 1 << 16
_MAX_TENSORS = 1 << 20
_MAX_PAIRS = 1 << 16
_MAX_DIMS = 4
_KEPT_STRING_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20

Scalar = int | float | bool | str


# The types of a header's values by their numbers in the file, as `struct` knows them; two have no fixed size.
_FORMATS = dict(enumerate("<B <b <H <h <I <i <f <? string array <Q <q <d".split()))


@cache
def _tensor_types() -> dict[int, tuple[str, int, int]]:
    """Name, weights a block and bytes a block of ggml's tensor types by their numbers in the file."""
    from gguf.constants import GGML_QUANT_SIZES

    return {int(kind): (kind.name, block, size) for kind, (block, size) in GGML_QUANT_SIZES.items()}


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
        return sum(t.n_weights for t in self.tensors)

    @property
    def main_type(self) -> str:
        weights: Counter[str] = Counter()
        for tensor in self.tensors:
            weights[tensor.type_name] += tensor.n_weights
        return weights.most_common(1)[0][0] if weights else ""

    def text(self, key: str, default: str = "") -> str:
        value = self.values.get(key)
        return value if isinstance(value, str) else default

    def number(self, key: str, default: int = 0) -> int:
        """A whole number of the header; `key` may leave out the architecture: ".context_length"."""
        value = self.values.get(self.architecture + key if key.startswith(".") else key)
        return value if isinstance(value, int) else default


def read_header(path: Path) -> GgufHeader:
    """Read and check a header; the file must be as long as its tensors need. Raises a `UserError` with a remedy."""
    try:
        with open_regular(path) as file:
            return _Reader(path, file, os.fstat(file.fileno()).st_size).header()
    except OSError as error:
        raise UserError(f"{path}: the file cannot be read ({error.strerror}).") from error


class _Reader:
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
        data = self._file.read(n_bytes) if n_bytes <= self._size - self._file.tell() else b""
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

    def _format(self) -> str:
        (number,) = struct.unpack("<I", self._take(4))
        if number not in _FORMATS:
            raise self._damaged(f"it has a value of the unknown type {number}")
        return _FORMATS[number]

    def _pair(self, values: dict[str, Scalar], lengths: dict[str, int]) -> None:
        key, form = self._string(_MAX_KEY_BYTES), self._format()
        if form == "array":
            lengths[key] = self._array()
        elif form == "string":
            values[key] = self._string(_KEPT_STRING_BYTES)
        else:
            values[key] = struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _array(self) -> int:
        form, count = self._format(), self._u64()
        if form == "array":
            raise self._damaged("it has an array of arrays")
        if form == "string":
            if count > self._size // 8:
                raise self._damaged(f"it claims an array of {count} strings")
            self._skip_strings(count)
        else:
            self._skip(count * struct.calcsize(form))
        return count

    def _skip_strings(self, count: int) -> None:
        """A vocabulary has hundreds of thousands of strings: their lengths are read from chunks, not from the file."""
        chunk, at = b"", 0
        for _ in range(count):
            if len(chunk) - at < 8:
                chunk, at = chunk[at:] + self._file.read(_CHUNK_BYTES), 0
                if len(chunk) < 8:
                    raise self._damaged("its header ends too early")
            at += 8 + int.from_bytes(chunk[at : at + 8], "little")
            if at > len(chunk):
                self._skip(at - len(chunk))
                chunk, at = b"", 0
        self._file.seek(at - len(chunk), 1)

    def _tensor(self) -> TensorFacts:
        name = self._string(_MAX_KEY_BYTES)
        (n_dims,) = struct.unpack("<I", self._take(4))
        if not 1 <= n_dims <= _MAX_DIMS:
            raise self._damaged(f"the tensor {name} has {n_dims} dimensions")
        shape = struct.unpack(f"<{n_dims}Q", self._take(8 * n_dims))
        type_number, offset = struct.unpack("<IQ", self._take(12))
        if type_number not in _tensor_types():
            raise UserError(
                f"{self._path}: the tensor {name} is of the type {type_number}, which is not known here. "
                "Choose another quantisation of the model, such as Q8_0 or Q4_K_M."
            )
        type_name, block, block_bytes = _tensor_types()[type_number]
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
