"""One loaded worker that the tests of this folder share, workers of a test's own, and a job's listener."""

import threading

import pytest

PATIENCE_S = 120


class Heard:
    """Hears a job: what it told, its ends, and the threads that they came on."""

    def __init__(self):
        self.updates, self.done, self.failed, self.threads = [], [], [], set()
        self.first = threading.Event()

    def update(self, *values):
        self.updates.append(values)
        self.threads.add(threading.current_thread().name)
        self.first.set()

    def finish(self, result):
        self.done.append(result)
        self.threads.add(threading.current_thread().name)

    def fail(self, text):
        self.failed.append(text)
        self.threads.add(threading.current_thread().name)

    def result(self, job):
        assert job.wait(PATIENCE_S)
        assert (len(self.done), len(self.failed)) == (1, 0), self.failed
        return self.done[0]

    def words(self, job):
        assert job.wait(PATIENCE_S)
        assert (len(self.done), len(self.failed)) == (0, 1)
        return self.failed[0]


@pytest.fixture
def heard():
    return Heard()
