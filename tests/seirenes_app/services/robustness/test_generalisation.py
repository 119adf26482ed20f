import random
from dataclasses import replace

from helpers.evals import fill, small_plan

from seirenes_app.services.robustness.result_source import ResultSource
from seirenes_app.services.robustness.types import Chart
from training.core.types import Condition, Split
from training.evaluation.eval_dir import describe_suite
from training.evaluation.plan import Target
from training.evaluation.suites.builder import families_problems, held_out_problems, make_suite, template_offers
from training.evaluation.suites.io import write_suite


def evaluated(folder, problems, rule, held_out=("frozen:1",)):
    """A checkpoint on the frozen suite and on one of training's own templates."""
    own = make_suite("own", problems, template_offers(3, Split.TRAIN), 3)
    write_suite(folder / "own", own.suite)
    base = small_plan(len(problems))
    suites = tuple(describe_suite(s, len(problems)) for s in held_out)
    plan = replace(
        base, targets=(Target("r@5", "/m", run="r", step=5),), suites=(*suites, describe_suite(folder / "own"))
    )
    return ResultSource(fill(folder, plan, rule).root)


def test_training_templates_beside_held_out_ones_show_the_gap(tmp_path):
    def rule(key, problem):
        """Always right under training's own hints, half of the time under others."""
        known = key.suite == "own" or key.condition is not Condition.HINTED
        return problem.answer if known or random.Random(str(key)).random() < 0.5 else "987"

    for name, problems in (
        ("unpaired", families_problems(30, 9, Split.TRAIN)), ("paired", held_out_problems(30, 1)),
    ):  # fmt: skip
        book = evaluated(tmp_path / name, problems, rule)
        assert len(book.tracks) == 2
        for track in book.tracks:
            panel = book.panel(track, Chart.GENERALISATION)
            assert {c.key for c in panel.curves} >= {"templates:seen", "templates:unseen"}
            gap = next(row for row in panel.table.rows if row[2] == "training's forms − held-out forms")
            assert 0.3 < gap[3] < 0.7
            assert gap[4] > 0
            assert gap[7] == (60 if name == "unpaired" else 30)
            assert "a gap of +" in panel.sentence
            assert ("of different problems" in panel.sentence) == (name == "unpaired")
            assert "no gap" not in panel.sentence


def test_a_suite_of_training_templates_alone_says_what_is_missing(tmp_path):
    problems = families_problems(8, 9, Split.TRAIN)
    book = evaluated(tmp_path, problems, lambda key, problem: problem.answer, held_out=())
    panel = book.panel(book.tracks[0], Chart.GENERALISATION)
    assert "evaluate a held-out suite beside it" in panel.sentence
