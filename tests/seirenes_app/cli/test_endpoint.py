"""`seirenes endpoint`: saving, probing and asking endpoints, their keys, and what was spent."""

import io
import json
import sys

import pytest
from helpers import keyring_file
from helpers.openai_server import FakeServer

from seirenes_app.cli.endpoint import read_since
from seirenes_app.cli.main import main
from seirenes_app.services.formatting import money
from training.errors import UserError


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    with keyring_file.file_keyring():
        yield tmp_path / "data"


def run(capsys, *arguments, code=0):
    assert main(["endpoint", *arguments]) == code
    captured = capsys.readouterr()
    return " ".join((captured.out if code == 0 else captured.err).split())


def test_an_endpoint_is_added_changed_shown_and_removed(capsys):
    assert "Add one" in run(capsys, "list")
    assert "endpoint key big" in run(capsys, "add", "big", "https://example.com/v1", "--model", "m")
    assert "already" in run(capsys, "add", "BIG", "https://example.com/v1", code=2)
    assert "both --price-in" in run(capsys, "edit", "big", "--price-in", "1", code=2)
    assert "Nothing was given" in run(capsys, "edit", "big", code=2)
    run(capsys, "edit", "big", "--price-in", "1.5", "--price-out", "6", "--extra", '{"top_k": 4}')
    assert "no JSON" in run(capsys, "edit", "big", "--extra", "{", code=2)
    assert "1.5 / 6 USD" in run(capsys, "list")
    shown = json.loads(run(capsys, "show", "big", "--json"))
    assert (shown["price"]["output"], shown["extra"], shown["key"]) == (6.0, {"top_k": 4}, "none")
    run(capsys, "edit", "endpoint:big", "--no-price", "--requests-per-minute", "30")
    assert "30" in run(capsys, "show", "big")
    assert "removed" in run(capsys, "remove", "big")
    assert "no endpoint named 'big'" in run(capsys, "show", "big", code=2)


def test_a_probe_is_shown_and_kept(capsys):
    with FakeServer(models=("m", "n")) as server:
        run(capsys, "add", "a", f"{server.address}#m")
        assert "Not probed" in run(capsys, "show", "a")
        assert "prompt log-probabilities no" in run(capsys, "probe", "a")
        assert "seed yes" in run(capsys, "show", "a")
        assert run(capsys, "models", "a") == "m n"
        run(capsys, "edit", "a", "--model", "n")
        assert "Not probed" in run(capsys, "show", "a")
    assert "did not answer" in run(capsys, "probe", "a", code=2)


def test_a_question_is_answered_and_its_cost_is_in_the_usage(capsys):
    with FakeServer(lambda body: f"You said {body['messages'][-1]['content']} \x1b[31m") as server:
        run(capsys, "add", "a", f"{server.address}", "--model", "m", "--price-in", "100", "--price-out", "100")
        assert run(capsys, "ask", "a", "hello", "--system", "Be kind.") == "You said hello �[31m"
        assert json.loads(run(capsys, "ask", f"{server.address}#m", "hi", "--json"))["finish"] == "stop"
        usage = run(capsys, "usage", "--since", "1d")
        assert "a (http" in usage
        (row,) = [u for u in json.loads(run(capsys, "usage", "--json")) if u["cost"]]
        assert row["cost"] == pytest.approx((row["prompt_tokens"] + row["completion_tokens"]) / 1e4)
        assert "0 replies" in run(capsys, "cache")
        assert "forgotten" in run(capsys, "cache", "clear", "a")


def test_a_key_goes_from_a_pipe_to_the_keyring_and_to_its_server(capsys, monkeypatch, data):
    with FakeServer(key="sk-typed") as server:
        run(capsys, "add", "a", f"{server.address}#m")
        assert "seirenes endpoint key a" in run(capsys, "ask", "a", "hi", code=2)
        monkeypatch.setattr(sys, "stdin", io.StringIO("sk-typed\n"))
        assert "in the system keyring" in run(capsys, "key", "a")
        assert run(capsys, "ask", "a", "hi")
        assert "in the keyring" in run(capsys, "list")
        assert "Its server's key stays" in run(capsys, "remove", "a")
        run(capsys, "key", server.address, "--remove")
        assert "wants a key" in run(capsys, "ask", f"{server.address}#m", "hi", code=2)
    run(capsys, "add", "plain", "http://example.com/v1")
    assert "https only" in run(capsys, "key", "plain", code=2)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    run(capsys, "add", "b", "https://example.com/v1")
    assert "No key was given" in run(capsys, "key", "b", code=2)


def test_a_span_or_a_date_is_read_and_anything_else_refused():
    assert read_since(None, 1e9) == 0
    assert read_since("2d", 1e9) == 1e9 - 2 * 86_400
    assert read_since("2026-11-28", 0) > 1.7e9
    for wrong in ("yesterday", "9999999d", "2026-13-01"):
        with pytest.raises(UserError):
            read_since(wrong, 0)


def test_money_is_shown_with_the_digits_that_matter():
    assert [money(a, "USD") for a in (None, 0, 0.00002, 0.00421, 0.5, 1.005, 1234.5)] == [
        "—", "0.00 USD", "less than 0.0001 USD", "0.0042 USD", "0.50 USD", "1.00 USD", "1,234.50 USD",
    ]  # fmt: skip
