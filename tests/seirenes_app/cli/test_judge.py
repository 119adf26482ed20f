"""`seirenes judge`: measuring, asking and listing judges, and the key of a server."""

import io
import json
import re
import sys

import pytest
from helpers import keyring_file
from helpers.openai_server import FakeServer

from seirenes_app.cli.main import main
from seirenes_app.services.judging import judge_standing, judge_warnings
from training.core.validity import PHRASINGS, JudgeOptions
from training.evaluation.hint_labels import judged_hints
from training.runs.config import from_dict

HINTS = judged_hints()
VALID = {(h.problem.question, h.text): h.valid for h in HINTS}
Q = "Tom buys 7 apples and gets 5 more from his aunt. How many apples does Tom have?"


def knows_all(body):
    """A judge that has read the labels."""
    last = body["messages"][-1]["content"]
    found = re.search(r"Problem: (.*)\nRemark: (.*)\n(.*) Reply with yes or no\.$", last, re.DOTALL)
    yes_changes = next(p.yes_changes for p in PHRASINGS if p.text == found[3])
    changes = not VALID.get((found[1], found[2]), True)
    return "Yes." if changes is yes_changes else "No."


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    monkeypatch.setenv("TEST_KEYRING", str(tmp_path / "keyring.json"))
    with keyring_file.file_keyring():
        yield tmp_path


def test_a_judge_that_is_always_right_is_measured_so_and_one_that_agrees_to_all_is_not_useful(capsys):
    with FakeServer(knows_all) as chat:
        assert main(["judge", "measure", f"{chat.address}#wise", "--limit", "120", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["agreement"]
        assert (found["n"], found["kappa"], found["recall"]["mean"], found["precision"]["mean"]) == (120, 1, 1, 1)
        options = JudgeOptions(f"{chat.address}#wise")
        standing = judge_standing(options)
        assert standing.useful
        assert not standing.warning
        assert "precision 100%" in standing.text
        chat.say = lambda _: "yes"
        assert main(["judge", "measure", f"{chat.address}#simple", "--limit", "40", "--votes", "1"]) == 0
        assert "not reliable" in " ".join(capsys.readouterr().out.split())
        assert main(["judge", "list", "--json"]) == 0
        assert [m["votes"] for m in json.loads(capsys.readouterr().out)] == [3, 1]
        assert main(["judge", "list"]) == 0
        assert "wise at 127.0.0.1" in capsys.readouterr().out


def test_a_judge_that_cannot_be_asked_is_not_measured(capsys):
    with FakeServer() as chat:
        chat.always = 401
        assert main(["judge", "measure", chat.address, "--limit", "20"]) == 2
    assert "code 401" in capsys.readouterr().err
    assert main(["judge", "list"]) == 0
    assert "No judge was measured" in capsys.readouterr().out


def test_one_hint_is_asked_with_its_votes(capsys):
    with FakeServer(lambda _: "yes") as chat:
        asked = ["judge", "ask", chat.address, "Tom eats 2 of them.", "--question", Q, "--gold", "12", "--votes", "1"]
        assert main(asked) == 0
        assert "changes the answer (1 for changes)" in capsys.readouterr().out
        assert main([*asked, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["ruling"] == "changed"


@pytest.mark.parametrize(
    "wrong",
    [["measure", "/no/where"], ["measure", "starter", "--votes", "many"], ["measure", "starter", "--limit", "3"],
     ["key", "starter"], ["measure", ""]],
)  # fmt: skip
def test_mistakes_are_said(wrong, capsys):
    assert main(["judge", *wrong]) == 2
    assert capsys.readouterr().err.startswith("seirenes: ")


def test_a_key_is_read_from_a_pipe_and_never_printed(monkeypatch, capsys, place):
    monkeypatch.setattr(sys, "stdin", io.StringIO("sk-secret\n"))
    assert main(["judge", "key", "http://127.0.0.1:9/v1"]) == 0
    assert "sk-secret" not in capsys.readouterr().out
    assert json.loads((place / "keyring.json").read_text()) == {"seirenes/server:http://127.0.0.1:9": "sk-secret"}
    assert main(["judge", "key", "http://127.0.0.1:9/v1", "--remove"]) == 0
    assert json.loads((place / "keyring.json").read_text()) == {}


def test_a_run_is_warned_of_a_judge_that_is_not_measured_or_slow():
    assert judge_warnings(from_dict({}, "test")) == ()
    (warning,) = judge_warnings(from_dict({"judge": {"model": "starter"}}, "test"))
    assert "has not been measured" in warning
    (missing,) = judge_warnings(from_dict({"judge": {"model": "/no/where"}}, "test"))
    assert "was not found" in missing
    assert judge_warnings(from_dict({"judge": {"model": "starter"}, "mode": "clean_rl"}, "test")) == ()
