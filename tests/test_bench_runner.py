"""`make bench`: one benchmark that fails or does not end keeps no other from running."""

import contextlib
import importlib.util
import time
from pathlib import Path

import psutil
import pytest


@pytest.fixture(scope="module")
def runner():
    spec = importlib.util.spec_from_file_location("run_all", Path(__file__).parent / "bench" / "run_all.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_benchmark_that_does_not_end_is_stopped_with_its_children(runner, tmp_path):
    pid, file = tmp_path / "pid", tmp_path / "bench_endless.py"
    file.write_text(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)'])\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    runner.STOP_S = 0.2
    outcome, seconds, _ = runner.run(file, minutes=9 / 60)
    assert outcome == "stopped after 0.15 minutes"
    assert seconds < 60
    with contextlib.suppress(psutil.NoSuchProcess):
        child = psutil.Process(int(pid.read_text()))
        deadline = time.monotonic() + 60
        # A zombie has ended; its exit code is asked for by whoever inherited it.
        while child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_benchmark_that_fails_is_named_with_its_exit_code(runner, tmp_path):
    good, bad = tmp_path / "bench_good.py", tmp_path / "bench_bad.py"
    good.write_text("sum(range(3_000_000))\n")
    bad.write_text("raise SystemExit(4)\n")
    assert runner.run(bad, minutes=1)[0] == "exit code 4"
    outcome, seconds, used = runner.run(good, minutes=1)
    assert outcome == ""
    assert 0 < used <= seconds + 0.1
