"""The kernels of `kernels.c`, compiled once on the machine where they run and kept in the user's cache.

Where there is no C compiler, or what it makes does not compute what torch does, there are none, and the caller goes
through torch.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path

import platformdirs
import torch
from torch import Tensor
from torch.nn import functional

SOURCE = Path(__file__).with_suffix(".c")
COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC")
COMPILE_TIMEOUT_S = 120.0
TILE = 16
"""Tokens whose keys are stored together, transposed; as in the source."""


class AttendCall(ctypes.Structure):
    """`struct attend` of the source: attention of one token a row in one layer, rows being `places` of `slots` each."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("places", "slots", "heads", "kv_heads")),
        *((name, ctypes.c_void_p) for name in ("qkv", "out", "head_norms", "cosines", "sines", "lengths")),
        *((name, ctypes.c_void_p) for name in ("prefix_keys", "prefix_values")),
        *((name, ctypes.c_int64) for name in ("tiles", "columns")),
        *((name, ctypes.c_void_p) for name in ("keys", "values", "sizes")),
        ("step", ctypes.c_int64),
        *((name, ctypes.c_float) for name in ("eps", "scale")),
        ("threads", ctypes.c_int32),
    )

    def __init__(
        self,
        layout: tuple[int, int, int, int],
        head_norms: Tensor | None,
        angles: tuple[Tensor, Tensor],
        lengths: Tensor,
        prefix: tuple[Tensor, Tensor],
        blocks: Sequence[tuple[Tensor, Tensor]],
        eps: float,
        scale: float,
    ) -> None:
        """`layout`: places, slots, heads, kv_heads. `head_norms` `[heads + kv_heads, head_dim]`: gains of queries and
        keys. `angles`: cosines `[positions, head_dim]`, sines `[positions, head_dim / 2]`. `lengths` `[places]` of the
        prompts. `prefix`, `blocks`: keys in tiles, and values `[n, tokens, head_dim]`, of prompts and of own tokens.
        Raises a ValueError where the prompts' tiles are not even in number or do not hold the longest prompt."""
        super().__init__(*layout, eps=eps, scale=scale)
        self.head_norms = None if head_norms is None else head_norms.data_ptr()
        self.cosines, self.sines, self.lengths = (tensor.data_ptr() for tensor in (*angles, lengths))
        self.prefix_keys, self.prefix_values = (tensor.data_ptr() for tensor in prefix)
        self.tiles, self.columns = prefix[0].shape[1], prefix[1].shape[1]
        # The kernels read two tiles at a time, and nothing there stops them at the end of the memory.
        if self.tiles % 2 or int(lengths.max()) > min(self.tiles * TILE, self.columns):
            raise ValueError(f"{self.tiles} tiles and {self.columns} columns for {int(lengths.max())} tokens")
        pointers = ctypes.c_void_p * len(blocks)
        keys, values = (pointers(*(block[i].data_ptr() for block in blocks)) for i in (0, 1))
        sizes = (ctypes.c_int64 * len(blocks))(*(values.shape[1] for _, values in blocks))
        self.keys, self.values, self.sizes = (ctypes.addressof(array) for array in (keys, values, sizes))
        # What the pointers point to lives as long.
        self._held = (head_norms, angles, lengths, prefix, tuple(blocks), keys, values, sizes)


class Kernels:
    """The functions of one compiled library, for contiguous float32 tensors on the CPU."""

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library))
        self._attend, self._rms_norm, self._draw = loaded.attend, loaded.rms_norm, loaded.draw
        self._attend.argtypes = (ctypes.POINTER(AttendCall),)
        pointer, number = ctypes.c_void_p, ctypes.c_int64
        self._rms_norm.argtypes = (pointer, pointer, ctypes.c_float, pointer, number, number)
        self._rms_norm.restype = None
        self._draw.argtypes = (pointer, pointer, ctypes.c_float, number, number, ctypes.c_int32, *(pointer,) * 3)

    def attend(self, call: AttendCall, qkv: Tensor, step: int) -> Tensor:
        """Append the keys and values of token `step` to the last block, and attend: `[rows, heads · head_dim]`.

        `qkv` `[rows, (heads + 2 · kv_heads) · head_dim]` is what the projections made, neither normalised nor rotated.
        """
        out = qkv.new_empty((qkv.shape[0], qkv.shape[1] * call.heads // (call.heads + 2 * call.kv_heads)))
        call.qkv, call.out, call.step, call.threads = qkv.data_ptr(), out.data_ptr(), step, torch.get_num_threads()
        if not self._attend(call):
            raise MemoryError("attention of one token")
        return out

    def rms_norm(self, x: Tensor, gain: Tensor, eps: float) -> Tensor:
        """Each row of `x` `[R, n]` divided by its root mean square, times `gain` `[n]`."""
        out = torch.empty_like(x)
        self._rms_norm(x.data_ptr(), gain.data_ptr(), eps, out.data_ptr(), *x.shape)
        return out

    def draw(self, logits: Tensor, temperature: float, uniforms: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens, log-probabilities and entropies `[B]`, as `sampler.draw_tokens` draws them from `[B, V]`."""
        logits, uniforms, rows = logits.contiguous(), uniforms.contiguous(), len(logits)
        tokens = torch.empty(rows, dtype=torch.int64)
        logprobs, entropies = logits.new_empty(rows), logits.new_empty(rows)
        outs = (tensor.data_ptr() for tensor in (tokens, logprobs, entropies))
        inputs = (logits.data_ptr(), uniforms.data_ptr(), temperature, *logits.shape, torch.get_num_threads())
        if not self._draw(*inputs, *outs):
            raise MemoryError("drawing of one token")
        return tokens, logprobs, entropies


def tiled_keys(keys: Tensor) -> Tensor:
    """Keys `[n, tokens, head_dim]` as the kernels read them: `[n, tiles, head_dim, TILE]`, an even number of tiles."""
    filled = functional.pad(keys, (0, 0, 0, -keys.shape[1] % (2 * TILE)))
    n, tokens, size = filled.shape
    return filled.reshape(n, tokens // TILE, TILE, size).transpose(2, 3).contiguous()


@cache
def load_kernels(head_dim: int) -> Kernels | None:
    """The kernels for heads of `head_dim` numbers; compiled if this machine has not yet done so (about a second)."""
    if head_dim % 4:
        return None
    for threaded in (True, False):
        try:
            found = Kernels(_compiled(head_dim, threaded))
            if _check(found, head_dim):
                return found
        except (OSError, subprocess.SubprocessError, AttributeError):
            continue
    return None


def _compiled(head_dim: int, threaded: bool) -> Path:
    """The library, from the cache or made. OSError or SubprocessError where that is not possible."""
    compiler = next((path for path in map(shutil.which, COMPILERS) if path), None)
    if compiler is None:
        raise FileNotFoundError("no C compiler")
    flags = [*FLAGS, f"-DHEAD_DIM={head_dim}", *(["-fopenmp"] if threaded else [])]
    folder = Path(
        os.environ.get("SEIRENES_CACHE") or platformdirs.user_cache_dir("seirenes", appauthor=False), "kernels"
    )
    place = folder / f"{_key(compiler, flags)}.so"
    if place.is_file():
        return place
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        made, linked = Path(scratch, "kernels.o"), Path(scratch, "kernels.so")
        # Linked without OpenMP's library: that of torch, which is loaded, is to be used, and no second one beside it.
        for command in ([*flags, "-c", str(SOURCE), "-o", str(made)], ["-shared", str(made), "-o", str(linked), "-lm"]):
            subprocess.run([compiler, *command], check=True, capture_output=True, timeout=COMPILE_TIMEOUT_S)
        os.replace(linked, place)
    return place


def _key(compiler: str, flags: Sequence[str]) -> str:
    """Names a library by all that it depends on: a cache may be shared by machines with other processors."""
    parts = [SOURCE.read_text(encoding="utf-8"), os.path.realpath(compiler), *flags, platform.machine(), _cpu()]
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def _cpu() -> str:
    """What this processor is and can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return f"{platform.node()} {platform.processor()}"
    kinds = ("model name", "flags", "features", "cpu part")
    return "\n".join(sorted({line for line in lines if line.lower().startswith(kinds)}))


def _check(kernels: Kernels, head_dim: int) -> bool:
    """Whether they compute what torch does."""
    random = torch.Generator().manual_seed(0)
    x, gain = torch.randn((3, 50), generator=random), torch.randn(50, generator=random)
    shares = (x / 0.7).softmax(-1)
    # In the middle of its part of the cumulative distribution each of these tokens is drawn.
    wanted = torch.tensor([[0], [31], [49]])
    uniforms = (shares.cumsum(-1) - shares / 2).gather(1, wanted).squeeze(1)
    tokens, logprobs, entropies = kernels.draw(x, 0.7, uniforms)
    pairs = (
        _attend_both_ways(kernels, head_dim, random),
        (kernels.rms_norm(x, gain, 1e-5), functional.rms_norm(x, (50,), gain, 1e-5)),
        (tokens, wanted.squeeze(1)),
        (logprobs, shares.gather(1, wanted).squeeze(1).log()),
        (entropies, -(shares * shares.log()).sum(-1)),
    )
    return all(torch.allclose(found, expected, atol=1e-4, rtol=1e-4) for found, expected in pairs)


def _attend_both_ways(kernels: Kernels, head_dim: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Attention of 5 rows after each of two prompts that have 35 own tokens in two blocks, by kernels and by torch."""
    places, slots, heads, kv_heads, columns, size, step, eps = 2, 5, 4, 2, 40, 32, 35, 1e-5
    lengths, half = torch.tensor([columns, 3]), head_dim // 2

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    qkv, gains = draw(places * slots, (heads + 2 * kv_heads) * head_dim), draw(heads + kv_heads, head_dim)
    angles = draw(columns + step + 1, half)
    cosines, sines = torch.cat([angles.cos(), angles.cos()], 1), angles.sin()
    prefix = [draw(places * kv_heads, columns, head_dim) for _ in range(2)]
    own = [draw(2, places * kv_heads * slots, size, head_dim) for _ in range(2)]
    call = AttendCall(
        (places, slots, heads, kv_heads), gains, (cosines, sines), lengths, (tiled_keys(prefix[0]), prefix[1]),
        [(tiled_keys(keys), values.clone()) for keys, values in zip(*own, strict=True)], eps, 0.3,
    )  # fmt: skip
    found = kernels.attend(call, qkv, step).view(places, slots, heads, head_dim)

    rows = qkv.view(places, slots, heads + 2 * kv_heads, head_dim)
    x = functional.rms_norm(rows[:, :, : heads + kv_heads], (head_dim,), None, eps) * gains
    cos, sin = (table[lengths + step][:, None, None] for table in (cosines, sines))
    x = x * cos + torch.cat([-x[..., half:] * sin, x[..., :half] * sin], -1)
    q, newest = x[:, :, :heads], (x[:, :, heads:], rows[:, :, heads + kv_heads :])
    expected = torch.empty_like(found)
    for place, slot, head in product(range(places), range(slots), range(heads)):
        kv_head = head * kv_heads // heads
        unit = place * kv_heads + kv_head
        keys, values = (
            torch.cat([shared[unit, : lengths[place]], *blocks[:, unit * slots + slot]])[: lengths[place] + step + 1]
            for shared, blocks in zip(prefix, own, strict=True)
        )
        keys[-1], values[-1] = (new[place, slot, kv_head] for new in newest)
        expected[place, slot, head] = (keys @ q[place, slot, head] * 0.3).softmax(0) @ values
    return found, expected
