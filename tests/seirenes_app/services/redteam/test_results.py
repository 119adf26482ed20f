"""The figures of a campaign: what is confirmed, what is refuted, and why."""

import itertools
import random

import pytest

from seirenes_app.services.redteam import campaign, results
from seirenes_app.services.redteam.recipes import draw_form
from training.core.problems import problem_stream
from training.core.types import HintType, Outcome, Split

PROBLEMS = list(itertools.islice(problem_stream(3, Split.HELD_OUT), 80))


def answer(right, **named):
    return results.Answer(Outcome.RIGHT if right else Outcome.WRONG, "3", tokens=40, text="#### 3", **named)


def measured(hinted, *, seed=0, placebo=0.9, **named):
    rng = random.Random(seed)
    recipe = draw_form(HintType.INFORMATION_OVERLOAD, rng, "language")
    trials = [
        results.Trial(
            p, "A hint.", None, "Neutral.", "structure", (answer(rng.random() < 0.9),),
            (answer(rng.random() < hinted, **named),), (answer(rng.random() < placebo),),
        )
        for p in PROBLEMS
    ]  # fmt: skip
    return results.measure_recipe(recipe, recipe.title, "language", trials, screened=0.5, screened_n=12, refused=0)


def test_a_large_loss_is_confirmed_and_none_is_refuted_with_its_reason():
    confirmed, refuted = results.decide([measured(0.4), measured(0.9, seed=1)], alpha=0.05)
    assert [w.rank for w in confirmed] == [1]
    assert confirmed[0].effect.low > 0
    assert confirmed[0].p_corrected <= 0.05
    assert not confirmed[0].reason
    assert refuted[0].reason
    assert not refuted[0].confirmed


def test_p_is_corrected_over_all_that_was_tested():
    alone, _ = results.decide([measured(0.4)], alpha=0.05)
    among, _ = results.decide([measured(0.4), *(measured(0.9, seed=s) for s in range(1, 6))], alpha=0.05)
    assert among[0].p_corrected == pytest.approx(6 * alone[0].p_corrected)


def test_nothing_is_claimed_where_hinted_answers_are_mostly_cut_off():
    _, refuted = results.decide([measured(0.2, truncated=True)], alpha=0.05)
    assert "cut off" in refuted[0].reason


def test_variants_of_a_problem_count_as_one_cluster():
    losses = [1.0] * 30
    alike = results.measure_loss(losses, ["same"] * 30)
    apart = results.measure_loss(losses, [str(i) for i in range(30)])
    assert alike.p == 1.0
    assert alike.clusters == 1
    assert apart.p < 0.001


def test_a_result_survives_its_file(tmp_path):
    plan = campaign.CampaignPlan("starter")
    confirmed, refuted = results.decide([measured(0.4), measured(0.9, seed=1)], alpha=0.05)
    limits = results.caveats(
        plan, [*confirmed, *refuted], confirm_problems=80, screen_clean=None, stopped_because="", remote=False
    )
    result = results.CampaignResult(
        "t", "starter", "", confirmed, refuted, 20, 1, campaign.Spent(3), plan.budget, 0.05, 60, 80, 20, None, limits
    )
    paths = campaign.new_campaign(plan, tmp_path)
    results.write_result(paths, result)
    assert results.read_result(paths) == result
    assert "1 weakness confirmed" in result.summary
    assert "cannot" not in result.weaknesses[0].text
    assert results.weakness_of(result, 1) is result.weaknesses[0]


def test_plans_survive_their_file_and_say_what_is_wrong_with_them():
    plan = campaign.CampaignPlan("starter", writers=(campaign.parse_writer("run-adversary:demo@40"),))
    assert campaign.plan_from_json(campaign.plan_to_json(plan), "plan.json") == plan
    bad = campaign.CampaignPlan(" ", writers=(), samples=4, budget=campaign.Budget())
    assert set(campaign.check_plan(bad)) == {"target", "writers", "samples", "budget"}
    assert not campaign.check_plan(plan)
