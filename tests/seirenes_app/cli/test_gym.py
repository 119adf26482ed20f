"""Facts about gym families in the command: lists, files, problems of the library."""

import json

import pytest

from seirenes_app.cli.main import main
from training.core import gym
from training.core.gym import DOMAINS
from training.core.problems import FAMILIES

needs_gym = pytest.mark.skipif(not gym.installed(), reason="reasoning-gym is not installed")


def test_the_families_are_listed_with_those_of_the_package(capsys, monkeypatch):
    assert main(["problems", "families", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["families"]}
    assert list(rows) == [*FAMILIES, *DOMAINS]
    assert rows["gym:knights_knaves"]["answers"] == "scored"
    monkeypatch.setattr("seirenes_app.cli.problems.installed", lambda: False)
    assert main(["problems", "families"]) == 0
    assert "pip install 'seirenes[gym]'" in capsys.readouterr().out


def test_unknown_families_are_refused_where_problems_or_a_suite_are_made(tmp_path, capsys):
    assert main(["problems", "make", "gym:chess", "-o", str(tmp_path / "x.jsonl")]) == 2
    assert main(["suite", "make", "x", "--from", "families", "--families", "gym:chess"]) == 2
    assert capsys.readouterr().err.count("There is no family gym:chess") == 2
    assert not list(tmp_path.iterdir())


@needs_gym
def test_a_library_problem_of_a_gym_family_is_gated_and_graded(capsys):
    assert main(["craft", "library:gym:knights_knaves-2", "-n", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert main(["craft", "library:gym:knights_knaves-99"]) == 2
    assert "gym:syllogism-1" in capsys.readouterr().err
