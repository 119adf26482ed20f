"""Settings every test shares: offscreen Qt, no network, one torch thread, repeatable property tests."""

import contextlib
import os
import sys

import psutil
import pytest
from hypothesis import settings

# The same examples each time, so that a run can be repeated. `make fuzz` draws new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("random", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture(scope="session", autouse=True)
def _no_worker_process_is_left_behind():
    """Set up first, so it is torn down last: after the fixtures that share a worker have closed it."""
    yield
    left = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "seirenes_app.inference.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                left.append(child.pid)
    assert not left


@pytest.fixture(autouse=True)
def _no_widget_outlives_its_test():
    """Qt deletes later, in an event loop that tests seldom run: windows piled up and ended after the application."""
    yield
    core = sys.modules.get("PySide6.QtCore")
    if core is not None and core.QCoreApplication.instance() is not None:
        core.QCoreApplication.sendPostedEvents(None, core.QEvent.Type.DeferredDelete)
