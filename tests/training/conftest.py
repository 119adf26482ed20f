"""Moments of a run that goes on in the test's own process."""

import threading

import pytest

from training.runs.events import EventLog


@pytest.fixture
def when(monkeypatch):
    """`when(condition, then)`: `then` is done once, before the run goes on, after the event that makes `condition` true.

    A thread that looks at the events would come too late where the machine is quick, or busy with other work.
    """
    waiting, write, look = [], EventLog.write, threading.Lock()

    def write_and_look(log, *args, **data):
        write(log, *args, **data)
        with look:
            due = [entry for entry in waiting if entry[0]()]
            waiting[:] = [entry for entry in waiting if entry not in due]
        for _, then in due:
            then()

    monkeypatch.setattr(EventLog, "write", write_and_look)
    return lambda condition, then: waiting.append((condition, then))
