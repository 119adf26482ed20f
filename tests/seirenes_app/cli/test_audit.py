"""Facts about `seirenes audit`: what it samples, what it keeps of a person's labels, what it prints."""

import argparse
import json
import re
from contextlib import closing

import pytest
from helpers.openai_server import FakeServer
from helpers.rollout_runs import make_run

from seirenes_app.cli import audit as cli_audit
from seirenes_app.services.audit import audit_file, audit_of, describe_deciders, read_audit, sample_hints
from seirenes_app.services.traces import TraceSource
from training.errors import UserError
from training.runs.events import Event, EventKind
from training.runs.status import RunState, reduce


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path))
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))
    return make_run(tmp_path, steps=range(1, 13))


def call(*arguments):
    parser = argparse.ArgumentParser()
    cli_audit.add_parsers(parser.add_subparsers(dest="verb"))
    return cli_audit.audit(parser.parse_args(["audit", *arguments]))


def label(run, values):
    file = audit_file(run)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    for line, value in zip(lines, values, strict=False):
        line["valid"] = value
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return lines


def test_it_samples_different_hints_that_passed_in_the_last_steps(run):
    with closing(TraceSource(run)) as source:
        hints = sample_hints(source, 100, late=0.25)
        by_id = {row["id"]: row for row in source.rows([hint.rollout for hint in hints])}
        fewer = sample_hints(source, 4, late=0.25)
    assert {hint.step for hint in hints} == {10, 11, 12}
    assert all(by_id[h.rollout]["stage"] == "r2_hint" and by_id[h.rollout]["gate"] is None for h in hints)
    assert len({hint.key for hint in hints}) == len(hints)
    assert all(hint.valid is None for hint in hints)
    assert [h.rollout for h in fewer] == [h.rollout for h in hints[:4]]


def test_labels_are_kept_and_give_the_rate(run, capsys):
    assert call("r", "--hints", "4") == 0
    assert "none labelled yet" in capsys.readouterr().out
    label(run, [True, False, True, True])
    assert call("r", "--hints", "6", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["sampled"], found["labelled"], found["invalid"]) == (6, 4, 1)
    assert 0 < found["rate"]["low"] < found["rate"]["mean"] == 0.25 < found["rate"]["high"]
    assert sum(part["sampled"] for part in found["decided_by"].values()) == 6
    assert [hint.valid for hint in read_audit(audit_file(run))] == [True, False, True, True, None, None]
    assert call("r", "--hints", "6") == 0
    out = capsys.readouterr().out
    assert "1 should not have passed" in out
    assert "4 labelled" in audit_of(run.root)


def test_a_line_that_cannot_be_read_is_named_and_the_file_is_left_alone(run, capsys):
    call("r", "--hints", "3")
    label(run, [True, "perhaps"])
    before = audit_file(run).read_text()
    with pytest.raises(UserError, match=r"line 2, is no hint of an audit"):
        call("r", "--hints", "5")
    assert audit_file(run).read_text() == before
    assert audit_of(run.root).startswith("not readable")


def test_the_recorded_run_is_audited_into_a_file_of_choice(tmp_path, capsys):
    file = tmp_path / "labels" / "audit.jsonl"
    assert call("recorded", "--hints", "20", "--file", str(file), "--json") == 0
    assert json.loads(capsys.readouterr().out)["sampled"] == 20
    assert len(read_audit(file)) == 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--hints", "0"], "at least 1"), (["--late", "2"], "share of the steps"), (["--samples", "0"], "1 to 256")],
)
def test_numbers_that_make_no_sample_are_refused(run, arguments, said):
    with pytest.raises(UserError, match=said):
        call("r", *arguments)


def solves(body):
    """A solver of these problems that a hint with an even number misleads."""
    text = body["messages"][-1]["content"]
    have, more = re.search(r"has (\d+) apples and buys (\d+) more", text).groups()
    hint = re.search(r"number (\d+)\.", text)
    return f"#### {int(have) + int(more) + (1000 if hint and int(hint[1]) % 2 == 0 else 0)}"


def test_a_solver_decides_by_its_majorities_and_is_asked_once(run, capsys):
    with FakeServer(solves) as chat:
        asked = ["r", "--hints", "6", "--solver", f"{chat.address}#m", "--samples", "2", "--prompts", "neutral"]
        assert call(*asked, "--json") == 0
        found = json.loads(capsys.readouterr().out)["consensus"]
        hints = read_audit(audit_file(run))
        number = len(chat.requests)
        expected = ["changed" if int(re.search(r"number (\d+)", h.hint)[1]) % 2 == 0 else "kept" for h in hints]
        assert [h.consensus for h in hints] == expected
        assert (found["asked"], found["decided"], found["changed"]) == (6, 6, expected.count("changed"))
        assert call(*asked) == 0
        assert len(chat.requests) == number
        assert "false-pass rate of at most" in capsys.readouterr().out
    assert "decides 6" in audit_of(run.root)
    label(run, [True] * 6)
    assert [h.consensus for h in read_audit(audit_file(run))] == expected


def test_a_solver_that_fails_leaves_the_file_and_says_why(run, capsys):
    call("r", "--hints", "3")
    before = read_audit(audit_file(run))
    with FakeServer() as chat:
        chat.always = 404
        with pytest.raises(UserError, match="code 404"):
            call("r", "--hints", "3", "--solver", chat.address)
    assert read_audit(audit_file(run)) == before
    with pytest.raises(UserError, match="was not found"):
        call("r", "--solver", "/no/where")


def test_what_decided_on_the_hints_is_said_by_its_share(run):
    state = RunState()
    assert describe_deciders(state) == ""
    for step, shares in enumerate(({"structure": 0.5, "judge": 0.5}, {"structure": 1.0}, {}), 1):
        metrics = {f"decided_by/{tier}": share for tier, share in shares.items()} | {"seconds": 1.0}
        state = reduce(state, Event(step, float(step), EventKind.STEP, {"step": step, "metrics": metrics}))
    assert describe_deciders(state) == "structure 75%, the judge 25%"
