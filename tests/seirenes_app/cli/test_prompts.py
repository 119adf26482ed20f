"""`seirenes prompts`: list, show, copy, check."""

import json

import pytest

from seirenes_app.cli.main import main
from training.prompt_files import NEUTRAL, built_in, find_profile, prompts_folder


@pytest.fixture(autouse=True)
def _own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path / "data"))


def call(capsys, *words):
    code = main(["prompts", *map(str, words)])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_list_names_version_and_origin(capsys):
    code, out, _ = call(capsys, "list")
    assert code == 0
    assert built_in(NEUTRAL).label in out
    rows = json.loads(call(capsys, "list", "--json")[1])
    assert [(r["name"], r["built_in"], r["problem"]) for r in rows] == [
        (name, True, None) for name in ("neutral", "cautious", "compact")
    ]


def test_show_prints_toml_or_the_messages_for_a_problem(capsys):
    assert "[reasoner]" in call(capsys, "show", "neutral")[1]
    code, out, _ = call(capsys, "show", "neutral", "--problem", "How many {brief}?")
    assert code == 0
    assert out.count("How many {brief}?") == 5
    assert "[Adversary, correlation trap: user]" in out


def test_copy_makes_a_profile_that_is_found_and_check_says_what_is_wrong(capsys):
    code, out, _ = call(capsys, "copy", "cautious", "mine")
    assert code == 0
    assert "--prompts mine" in out
    assert find_profile("mine").name == "mine"
    file = prompts_folder() / "mine.toml"
    assert call(capsys, "check", file)[0] == 0
    file.write_text(file.read_text().replace("max_hint_characters = 240", "max_hint_characters = 2"))
    code, _, err = call(capsys, "check", file)
    assert code == 2
    assert "line 2: max_hint_characters is 2; it must be 10 to 10000" in err
    assert call(capsys, "copy", "nowhere", "other")[0] == 2
