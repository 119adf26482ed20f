"""Verbs that ask a model, with an endpoint in the place of one."""

import argparse
import json

import pytest
from helpers.openai_server import FakeServer

from seirenes_app.cli import craft, explain, models, suite
from seirenes_app.services.hint_authoring.suites import suites_folder
from training.endpoints import Endpoint, Price, save_endpoint
from training.errors import UserError
from training.evaluation.suites.io import read_suite

QUESTION = "Tom has 5 apples. He buys 7 more. How many apples does Tom have?"
VERBS = {"solve": craft, "craft": craft, "explain": explain, "suite": suite, "models": models}


def call(verb, *arguments):
    parser = argparse.ArgumentParser()
    VERBS[verb].add_parsers(parser.add_subparsers(dest="verb"))
    options = parser.parse_args([verb, *map(str, arguments)])
    return getattr(VERBS[verb], verb)(options)


@pytest.fixture(autouse=True)
def far(tmp_path, monkeypatch):
    """A saved endpoint with a price, and its server."""
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("training.endpoints.server_key", lambda _url: None)
    # The worker is of no use here.
    for module in (craft, suite):
        monkeypatch.setattr(module, "WorkerClient", None)
    with FakeServer(say=lambda body: f"He has {body.get('seed', 0) % 2 + 11} apples.\n#### 12") as server:
        save_endpoint(Endpoint("far", server.address, "m", price=Price(1.0, 2.0), attempts=1))
        yield server


def test_solve_asks_an_endpoint_and_says_what_was_spent(far, capsys):
    asked = (QUESTION, "--answer", 12, "--hint", "Mia is 9.", "-n", 3, "--model", "endpoint:far", "--json")
    assert call("solve", *asked) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["result"]["conditions"]["clean"]["right"] == 3
    assert f"Endpoint: {far.bills} requests" in printed.err
    assert "USD" in printed.err
    bills = far.bills
    assert call("solve", *asked) == 0
    assert far.bills == bills


def test_limits_of_a_command_are_of_all_its_endpoints_together(far):
    with FakeServer() as other:
        save_endpoint(Endpoint("other", other.address, "m", attempts=1))
        with pytest.raises(UserError, match="budget is used up"):
            call("craft", QUESTION, "--answer", 12, "--by", "model", "--model", "endpoint:other", "-n", 4, "--solve", 2,
                 "--solver", "endpoint:far", "--max-requests", 6)  # fmt: skip
        assert (other.bills, far.bills) == (4, 2)


def test_much_is_asked_about_first(far):
    with pytest.raises(UserError, match="--yes"):
        call("solve", QUESTION, "--answer", 12, "-n", 16, "--max-tokens", 100_000, "--model", "endpoint:far")
    with pytest.raises(UserError, match="an endpoint's server has its own"):
        call("solve", QUESTION, "--answer", 12, "--model", "endpoint:far", "--context", 512)
    with pytest.raises(UserError, match="Did you mean endpoint:far"):
        call("solve", QUESTION, "--answer", 12, "--model", "endpoint:fra")
    assert far.requests == []


def test_explain_ablates_sentences_at_an_endpoint_and_draws_no_log_prob_delta(far, capsys):
    hint = "Mia is 9. Leo is 4."
    assert call("explain", QUESTION, "--answer", 12, "--hint", hint, "-n", 2, "--model", "endpoint:far") == 0
    printed = capsys.readouterr().out
    assert "Sentence by sentence" in printed
    assert "No log-prob delta. The Solver is an endpoint" in " ".join(printed.split())


def test_an_endpoint_writes_the_hints_of_a_suite_and_its_own_replies_are_paid_once(far, capsys):
    far.say = lambda body: f"By the way, Zoe has {body.get('seed', 0) % 40 + 3} cousins in another town."
    make = ("make", "mine", "--from", "families", "--hints", "model", "endpoint:far", "--problems", 3, "--json")
    far.faults = [400]
    with pytest.raises(UserError, match="1 request failed"):
        call("suite", *make)
    assert call("suite", *make) == 0
    assert far.bills == 3 * 4 * 4
    saved = read_suite(suites_folder() / "mine")
    assert saved.manifest.hints > 0
    assert saved.manifest.recipe["model"].endswith("/v1#m")
    assert {hint.template for item in saved.suite.items for hint in item.hints} == {"model:far"}


def test_models_lists_endpoints_and_says_where_to_ask_them(far, monkeypatch, capsys):
    monkeypatch.setattr(models, "find_models", lambda **_: ())
    assert call("models", "list") == 0
    assert "endpoint" in capsys.readouterr().out
    assert call("models", "list", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["source"], found["usable"]) == ("endpoint:far", "endpoint", True)
    with pytest.raises(UserError, match="seirenes endpoint ask far TEXT"):
        call("models", "show", "endpoint:far")
