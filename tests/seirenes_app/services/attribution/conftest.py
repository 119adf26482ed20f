"""One loaded worker that the tests of this folder share, and a draft on which the starter wavers."""

import threading

import pytest

from seirenes_app.services.hint_authoring.draft import Draft, DraftHint, DraftProblem, Origin, SolvePlan
from training.core.types import HintType

PATIENCE_S = 120


@pytest.fixture
def draft():
    question = (
        "Tom has 12 apples. He buys 7 more apples and then gives 5 apples to Anna. How many apples does Tom have now?"
    )
    return Draft("d", problem=DraftProblem(question, "14"), plan=SolvePlan(samples=8, seed=3, placebo=False))


@pytest.fixture
def hint():
    def make(text, suggested=None):
        return DraftHint("c", text, HintType.CORRELATION_TRAP, Origin.HAND, suggested=suggested)

    return make


class Ends:
    """Hears a job: updates, and every end with the thread that it came on."""

    def __init__(self):
        self.updates, self.done, self.failed, self.threads = [], [], [], set()
        self._came = threading.Event()

    def update(self, result):
        self.updates.append(result)
        self.threads.add(threading.current_thread().name)

    def finish(self, result):
        self.done.append(result)
        self.threads.add(threading.current_thread().name)
        self._came.set()

    def fail(self, text):
        self.failed.append(text)
        self._came.set()

    def wait(self):
        assert self._came.wait(PATIENCE_S)
        return self


@pytest.fixture
def ends():
    return Ends()
