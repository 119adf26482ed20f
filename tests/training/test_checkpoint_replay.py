import io
import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.checkpoint_replay import replay, request_of
from training.errors import UserError
from training.evaluation.suites.builder import held_out_problems

(PROBLEM,) = held_out_problems(1, 1)


def request(**more):
    return json.dumps({"problem": asdict(PROBLEM), "steps": [], **more})


def test_a_request_is_read_with_its_defaults():
    found = request_of(request(steps=[[3, "/x"]], hint="Mind the gap.", seed=7))
    assert (found.problem, found.steps, found.hint, found.seed) == (PROBLEM, ((3, "/x"),), "Mind the gap.", 7)
    assert (found.temperature, found.max_tokens, found.suggested) == (0.0, 128, None)


@given(st.text(max_size=40) | st.sampled_from(["[]", "{}", request(prompts="no"), request(steps=[1]), "null"]))
def test_a_request_that_cannot_be_read_is_said(text):
    with pytest.raises(UserError, match="standard input is damaged"):
        request_of(text)


def test_checkpoints_that_are_gone_have_their_line(tmp_path):
    out = io.StringIO()
    replay(request_of(request(steps=[[0, str(tmp_path / "no")], [5, str(tmp_path)]])), out)
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first == {"step": 0, "missing": f"The checkpoint of step 0 is not there ({tmp_path / 'no'})."}
    assert second["step"] == 5
    assert "holds no model" in second["missing"]
