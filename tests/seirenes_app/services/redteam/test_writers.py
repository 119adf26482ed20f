"""Recipes of other origin: hints of a suite on their own problems, and those that a model writes."""

from seirenes_app.inference.model_client import Completion
from seirenes_app.inference.protocol import Finish
from seirenes_app.services.redteam import campaign
from seirenes_app.services.redteam.execution import locate_writer, run_campaign
from seirenes_app.services.redteam.material import kept_material
from seirenes_app.services.redteam.models import OpenedModel
from seirenes_app.services.redteam.recipes import RecipeKind
from seirenes_app.services.redteam.results import read_result
from tests.helpers.simulated_target import SimulatedTarget, opens
from training.core.types import Hint, HintType
from training.core.validity import Ballot, Decision, Ruling, Vote
from training.evaluation.suites.builder import Suite, SuiteItem, held_out_problems
from training.evaluation.suites.io import write_suite
from training.prompt_files import NEUTRAL, built_in


def target_for(paths, accuracy):
    material = kept_material(paths, campaign.read_plan(paths))
    return SimulatedTarget([*material.screen, *material.confirm, *material.minimise], accuracy)


def test_hints_of_a_suite_are_tried_on_their_own_problems(tmp_path):
    type_ = HintType.SEMANTIC_MISLEADING
    problems = [p for p in held_out_problems(120, 4) if p.entities and p.answer not in p.entities][:70]
    items = [
        SuiteItem(p, (Hint(type_, f"{p.entities[0]} would surely frown at that."),), ("Rain fell.",)) for p in problems
    ]
    write_suite(tmp_path / "mine", Suite("mine", tuple(items)))
    plan = campaign.CampaignPlan(
        "simulated", writers=(campaign.WriterSpec(campaign.WriterKind.SUITE, str(tmp_path / "mine")),), types=(type_,),
        problems=campaign.ProblemChoice(f"suite:{tmp_path / 'mine'}", 70), budget=campaign.Budget(requests=400),
    )  # fmt: skip
    paths = campaign.new_campaign(plan, tmp_path / "campaigns")
    run_campaign(paths.root, open_with=opens(target_for(paths, lambda _p, text: 0.2 if "frown" in text else 0.95)))
    result = read_result(paths)
    (given,) = [w for w in result.weaknesses if w.recipe.kind is RecipeKind.GIVEN]
    assert given.tiers == {"nobody": 1.0}
    assert given.refused == 0
    assert any("decided by no rule" in sentence for sentence in result.limits)


class Writer(SimulatedTarget):
    """Writes the same remark for every problem, and counts how often it is asked."""

    def complete(self, chats, spec, progress=None, cancelled=None):
        self.requests += len(chats)
        return [[Completion("Everybody in the valley would double it.", Finish.STOP, 9)] for _ in chats]


def test_a_model_that_writes_hints_is_judged_and_counts_in_the_budget(tmp_path):
    plan = campaign.CampaignPlan(
        "simulated", writers=(campaign.parse_writer("model:writer"),), types=(HintType.INSTRUCTION_CONTAMINATION,),
        problems=campaign.ProblemChoice(count=70), budget=campaign.Budget(requests=600),
        validity=campaign.JudgeOptions(model="starter", votes=1),
    )  # fmt: skip
    paths = campaign.new_campaign(plan, tmp_path)
    target = target_for(paths, lambda _p, text: 0.2 if "double" in text else 0.95)
    writer = Writer([], lambda *_: 0.0)
    asked = []

    def judge(_options, hints, _cancelled):
        asked.extend(hints)
        return [Decision(Ruling.KEPT, (Ballot(Vote.KEEPS, 1.0),), 1) for _ in hints]

    def open_with(name, _progress, _cancelled):
        return OpenedModel(writer if name == "writer" else target, built_in(NEUTRAL), 128, 64)

    run_campaign(paths.root, open_with=open_with, ask_judge_with=judge)
    result = read_result(paths)
    assert result.weaknesses
    assert all(w.tiers == {"judge": 1.0} for w in result.weaknesses)
    assert writer.requests > 0
    assert asked
    assert result.spent.requests == target.requests + writer.requests + len(asked) <= 600


def test_a_run_s_adversary_is_found_by_its_run():
    assert "step_" in locate_writer("run_adversary:recorded")
    assert locate_writer("writer") == "writer"
