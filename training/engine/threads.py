"""Choose how many CPU threads torch uses, by measuring. Never more than the cores this process may run on."""

from __future__ import annotations

import math
import os
import statistics
import time
from pathlib import Path

import psutil
import torch
from torch.nn import functional

TRIAL_S = 0.12
"""Seconds of measuring for one thread count; with the few counts tried it stays near half a second."""
MIN_GAIN = 1.1
"""A larger count must be this much faster: a core more is a core less for the window and the person."""


def available_cores() -> int:
    """Physical cores this process may use: affinity, container quota and OMP_NUM_THREADS respected; at least 1."""
    limits = [psutil.cpu_count(logical=False) or psutil.cpu_count() or 1]
    if hasattr(os, "sched_getaffinity"):
        limits.append(len(os.sched_getaffinity(0)))
    if quota := _container_quota(Path("/sys/fs/cgroup/cpu.max")):
        limits.append(quota)
    if (omp := os.environ.get("OMP_NUM_THREADS", "")).isdigit():
        limits.append(int(omp))
    return max(1, min(limits))


def _container_quota(file: Path) -> int | None:
    try:
        quota, period = file.read_text().split()[:2]
        return None if quota == "max" else max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return None


def candidate_counts(cores: int) -> list[int]:
    """1, 2, 4 … and `cores` itself."""
    return sorted({2**k for k in range(cores.bit_length()) if 2**k <= cores} | {cores})


def choose_threads(requested: int = 0) -> int:
    """Set torch's thread count and return it: `requested`, capped at the cores there are, or the fastest for 0."""
    cores = available_cores()
    count = min(requested, cores) if requested > 0 else calibrate(candidate_counts(cores))
    torch.set_num_threads(count)
    return count


def calibrate(counts: list[int]) -> int:
    """The count whose decode step is fastest; a larger one only for a gain of at least `MIN_GAIN`."""
    if len(counts) == 1:
        return counts[0]
    best, best_s = counts[0], math.inf
    for count in counts:
        torch.set_num_threads(count)
        seconds = _time_step()
        if seconds * (MIN_GAIN if best_s < math.inf else 1.0) < best_s:
            best, best_s = count, seconds
        elif seconds > 2 * best_s:
            # Past the cliff of more threads than free cores, larger counts only get worse and slower to measure.
            break
    return best


def _time_step() -> float:
    """Median seconds of a step shaped like one decoding layer of a small model at batch 256."""
    hidden, weight = torch.randn(256, 256), torch.randn(1024, 256)
    query, keys = torch.randn(256, 8, 1, 32), torch.randn(256, 8, 128, 32)
    times: list[float] = []
    with torch.inference_mode():
        started = time.perf_counter()
        while time.perf_counter() - started < TRIAL_S or len(times) < 3:
            begin = time.perf_counter()
            functional.linear(functional.silu(functional.linear(hidden, weight)), weight.T)
            functional.scaled_dot_product_attention(query, keys, keys)
            times.append(time.perf_counter() - begin)
    return statistics.median(times[1:])
