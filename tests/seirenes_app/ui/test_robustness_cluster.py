"""Facts about the Robustness page and a run on a cluster whose files are there: they are offered, and then shown."""

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import json
import shutil

import pytest
from helpers.robust_runs import write_run
from helpers.robustness_bench import Robustness
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from seirenes_app.services.cluster_runs import missing_kinds
from seirenes_app.ui.pages.robustness.dialogs import EvaluateDialog
from seirenes_app.ui.pages.robustness.page import View
from seirenes_app.ui.widgets.fetch_dialog import FetchDialog
from training.runs.paths import RunPaths


@pytest.fixture
def run(lab, tmp_path):
    """A finished run on `lab` with evaluations, checkpoints and rollouts there, and its events here."""
    remote = write_run(tmp_path / "remote" / "r-a1")
    for step in (0, 10, 20):
        folder = remote.checkpoints / f"step_{step:06d}"
        folder.mkdir(parents=True)
        (folder / "w.bin").write_bytes(b"weights")
    remote.rollouts.write_bytes(b"")
    here = RunPaths(tmp_path / "RUNS" / "r")
    here.root.mkdir(parents=True)
    for name in ("config.json", "events.jsonl"):
        shutil.copy(remote.root / name, here.root / name)
    link = {"format": 1, "cluster": "lab", "job": "seirenes-r-a1", "run_id": "r-a1", "root": lab.root,
            "python": lab.python, "submitted": True, "status": "SUCCEEDED"}  # fmt: skip
    here.cluster.write_text(json.dumps(link))
    return here


@pytest.fixture
def bench(qtbot, qapp, tmp_path, run):
    shutil.copytree(run.root.parent, tmp_path / "runs", symlinks=True)
    made = Robustness(qtbot, qapp, tmp_path)
    made.page.fetched.connect(made.page.reread)
    made.runs.refresh()
    made.wait(lambda: made.runs.summaries)
    made.open(RunPaths(made.runs_root / "r"))
    yield made
    made.close()


def dialog_of(bench, kind):
    bench.wait(lambda: any(d.isVisible() for d in bench.page.findChildren(kind)))
    return next(d for d in bench.page.findChildren(kind) if d.isVisible())


def fetch(bench, kinds):
    """Press Fetch in the dialog that is open, and close it once the files are here."""
    dialog = dialog_of(bench, FetchDialog)
    bench.wait(lambda: dialog.kinds == kinds)
    bench.qtbot.mouseClick(dialog.go, Qt.MouseButton.LeftButton)
    bench.wait(lambda: "hashes agree" in dialog.status.text.text())
    bench.qtbot.mouseClick(dialog.close_button, Qt.MouseButton.LeftButton)


def press(bench, widget, text):
    def found():
        return next((b for b in widget.findChildren(QPushButton) if b.text() == text and b.isVisible()), None)

    bench.wait(found)
    bench.qtbot.mouseClick(found(), Qt.MouseButton.LeftButton)


def test_totals_are_shown_until_the_answers_are_fetched(bench):
    page = bench.page
    assert "3 evaluations are on lab and were not fetched yet" in page.warning_text.text()
    bench.qtbot.mouseClick(page.fetch_button, Qt.MouseButton.LeftButton)
    fetch(bench, ("evaluations",))
    bench.wait(lambda: not page.warning.isVisible())
    assert page._opened.not_fetched == 0


def test_a_point_without_rows_leads_to_the_fetch(bench):
    card = bench.hold("accuracy")
    bench.qtbot.keyClick(card.plot, Qt.Key.Key_Right)
    bench.qtbot.keyClick(card.plot, Qt.Key.Key_Return)
    dialog = dialog_of(bench, FetchDialog)
    bench.wait(lambda: dialog.kinds == ("evaluations",))
    bench.qtbot.mouseClick(dialog.close_button, Qt.MouseButton.LeftButton)


def test_replay_asks_for_what_it_needs_and_then_is_there(bench):
    bench.see(View.REPLAY)
    replay = bench.page.replay
    assert replay.nothing.startswith("Not fetched yet The evaluations and the checkpoints")
    press(bench, replay, "Fetch…")
    fetch(bench, ("checkpoints", "evaluations"))
    bench.wait(lambda: replay.nothing == "")
    assert replay.choose.isVisible()
    assert missing_kinds(RunPaths(bench.page.root)) == ("rollouts",)


def test_hints_are_offered_to_be_fetched(bench):
    bench.see(View.HINTS)
    assert bench.page.hints.nothing.startswith("Not fetched yet The rollouts of this run are on lab.")
    press(bench, bench.page.hints, "Fetch…")
    dialog = dialog_of(bench, FetchDialog)
    bench.wait(lambda: dialog.kinds == ("rollouts",))
    bench.qtbot.mouseClick(dialog.close_button, Qt.MouseButton.LeftButton)


def test_checkpoints_to_evaluate_are_fetched_and_then_listed(bench):
    bench.page.open_evaluate()
    dialog = dialog_of(bench, EvaluateDialog)
    assert "on lab and were not fetched yet" in dialog.lacking.text.text()
    assert [value for _item, value in dialog.targets.entries] == ["starter"]
    bench.qtbot.mouseClick(dialog.fetch, Qt.MouseButton.LeftButton)
    fetch(bench, ("checkpoints",))
    bench.wait(lambda: bench.page.dialogs.open_dialog is not None)
    again = bench.page.dialogs.open_dialog
    assert len(again.targets.entries) == 4
    assert again.lacking.isHidden()
    again.reject()
