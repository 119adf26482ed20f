"""One loaded worker that the tests of the laboratory share, and workers of a test's own."""

import contextlib

import pytest

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.models import bundled_model
from training.errors import UserError

PATIENCE_S = 120


@pytest.fixture(scope="session")
def shared():
    """A worker with the starter, for tests that leave it as they found it."""
    try:
        path = bundled_model()
    except UserError as error:
        pytest.skip(str(error))
    with WorkerClient() as client:
        client.load(path, threads=1).result(PATIENCE_S)
        yield client


@pytest.fixture
def own():
    """A worker for a test that does it harm."""
    with contextlib.closing(WorkerClient()) as client:
        yield client
