"""The bundled model, a loaded worker that tests share, and workers of a test's own."""

import contextlib

import pytest

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.models import bundled_model
from seirenes_app.inference.protocol import Message
from training.errors import UserError

PATIENCE_S = 120


@pytest.fixture(scope="session")
def model():
    try:
        return bundled_model()
    except UserError as error:
        pytest.skip(f"resources/starter/starter-f16.gguf is not there: export the bundled model first ({error})")


@pytest.fixture(scope="session")
def shared(model):
    """One loaded worker for the tests that leave it as they found it."""
    with WorkerClient() as client:
        client.load(model, threads=1).result(PATIENCE_S)
        yield client


@pytest.fixture
def start(model):
    """Makes workers of this test's own, and closes them."""
    with contextlib.ExitStack() as stack:

        def make(on_state=None, *, load=True, **settings):
            client = stack.enter_context(WorkerClient(on_state))
            if load:
                client.load(model, threads=1, **settings).result(PATIENCE_S)
            return client

        yield make


@pytest.fixture
def question():
    # In the words of the bundled model's own families, which it solves every time.
    return (
        Message(
            "user",
            "Amara owns 5 magnets. On the way Amara gets another 7. How many magnets does Amara have in the end?",
        ),
    )
