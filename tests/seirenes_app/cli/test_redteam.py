"""`seirenes redteam`."""

import json
import shutil

import pytest

from seirenes_app.cli.main import main
from seirenes_app.cli.redteam import ABOVE
from tests.seirenes_app.services.redteam.conftest import found  # noqa: F401 - the fixture


@pytest.fixture
def campaign(found, tmp_path, monkeypatch):  # noqa: F811
    """A finished campaign among the user's own."""
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    shutil.copytree(found[0].root, tmp_path / "campaigns" / found[0].run_id)
    return found[0].run_id


def test_a_campaign_on_the_bundled_model_ends_with_a_paragraph_and_stays_in_its_budget(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    asked = ["redteam", "starter", "--writers", "triggers", "--count", "24", "--max-requests", "60", "--json"]
    assert main(asked) == 0
    found_ = json.loads(capsys.readouterr().out)
    assert found_["complete"]
    assert found_["spent"]["requests"] <= 60
    assert "does not show that the target is robust" in found_["summary"]
    assert main(["redteam", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "finished"
    # All of it is stored: resumed, it asks nothing and says the same.
    assert main(["redteam", "resume", found_["campaign"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refuted"] == found_["refuted"]


def test_a_loss_above_the_limit_has_an_exit_code_of_its_own(campaign, capsys):
    assert main(["redteam", "show", campaign, "--fail-above", "5"]) == ABOVE
    assert main(["redteam", "show", campaign, "--fail-above", "99"]) == 0
    assert main(["redteam", "show", campaign]) == 0
    assert "confirmed at the 5% level" in capsys.readouterr().out


def test_a_weakness_is_shown_with_examples_side_by_side(campaign, capsys):
    assert main(["redteam", "show", campaign, "--rank", "1"]) == 0
    out = capsys.readouterr().out
    assert "Clean: " in out
    assert "Hinted (wrong): " in out
    assert main(["redteam", "show", campaign, "--rank", "99"]) == 2


def test_only_a_campaign_at_work_is_paused(campaign, capsys):
    assert main(["redteam", "pause", campaign]) == 2
    assert "is not at work" in capsys.readouterr().err


def test_exports_are_written_by_the_beginning_of_an_id(campaign, tmp_path, capsys):
    out = tmp_path / "found.sarif"
    assert main(["redteam", "export", campaign[:15], "--to", "sarif", "--out", str(out)]) == 0
    assert json.loads(out.read_text())["version"] == "2.1.0"
    assert main(["redteam", "export", campaign, "--to", "lm-eval", "--out", str(tmp_path / "tasks")]) == 0
    assert "exporting" in capsys.readouterr().err
    assert main(["redteam", "export", campaign, "--to", "sarif"]) == 2
    assert "--out PATH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["starter", "--writers", "magic"], "names no writer"),
        (["starter", "--writers", "model"], "needs an argument"),
        (["starter", "--types", "rhyme"], "Hint types are"),
        (["starter", "--samples", "4"], "At temperature 0"),
        (["starter", "--max-requests", "0"], "must be above 0"),
        (["starter", "--count", "5"], "at least 20 problems"),
        (["/nowhere/model.gguf"], "/nowhere/model.gguf"),
        (["show"], "Name a campaign"),
        (["show", "nothing"], "No campaign"),
        (["starter", "extra"], "one argument too many"),
    ],
)
def test_mistakes_are_said_before_anything_is_spent(arguments, says, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    assert main(["redteam", *arguments]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "campaigns").exists()
