"""A campaign's search on a simulated target: what it finds, what it spends, and that a kill changes nothing."""

import random
import threading
import time

import pytest

from seirenes_app.services.redteam import campaign
from seirenes_app.services.redteam.execution import run_campaign
from seirenes_app.services.redteam.material import divide, kept_material
from seirenes_app.services.redteam.recipes import combine, draw_form, instantiate, mutate, parse_recipe, trigger_recipes
from seirenes_app.services.redteam.results import cluster_of, read_result
from seirenes_app.services.redteam.store import read_answers
from tests.helpers.simulated_target import opens
from tests.seirenes_app.services.redteam.conftest import CUE, fails_on_cue, make, target_of
from training.core.gates import check_hint
from training.core.types import HintType
from training.errors import UserError
from training.runs.control import CommandKind, send_command
from training.runs.events import EventTail
from training.runs.status import RunStatus

LANGUAGE = campaign.WriterSpec(campaign.WriterKind.LANGUAGE)


def test_a_planted_cue_is_confirmed_and_nothing_else(found):
    _, _, result = found
    assert result.weaknesses
    assert all(CUE in w.hint.casefold() for w in result.weaknesses)
    assert result.weaknesses[0].effect.low > 0.3
    assert result.weaknesses[0].examples[0].hinted != result.weaknesses[0].examples[0].clean


def test_a_campaign_sends_no_request_beyond_its_budget(found, tmp_path):
    paths, target, result = found
    assert target.requests == result.spent.requests == len(read_answers(paths.rows)) <= 900
    small, plan = make(tmp_path, requests=97)
    target = target_of(small, plan, lambda _problem, _text: 0.5)
    run_campaign(small.root, open_with=opens(target))
    assert target.requests == read_result(small).spent.requests <= 97


def test_confirmation_uses_other_problems_than_screening(found):
    paths, _, result = found
    material = kept_material(paths, campaign.read_plan(paths))
    screened = {p.id for p in material.screen}
    assert not screened & {t.problem.id for w in result.tested for t in w.hints}
    parts = [{cluster_of(p) for p in part} for part in (material.screen, material.confirm, material.minimise)]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


def test_the_state_is_read_from_the_events(found):
    paths, _, result = found
    state = campaign.CampaignWatch(paths).poll()
    assert state.campaign_stage is campaign.CampaignStage.DONE
    assert state.spent == result.spent
    assert state.confirmed == len(result.weaknesses)


class Killed(BaseException):
    """In the place of SIGKILL: nothing of the campaign handles it."""


def test_ten_kills_change_nothing(found, tmp_path):
    _, whole, expected = found
    paths, plan = make(tmp_path)
    rng = random.Random(3)
    kills = 0
    calls = 0
    while True:
        target = target_of(paths, plan, fails_on_cue)
        complete, die_at = target.complete, rng.randint(1, 2) if kills < 10 else 10_000

        def dying(chats, spec, progress=None, cancelled=None, complete=complete, target=target, die_at=die_at):
            done = complete(chats, spec)
            if len(target.calls) >= die_at:
                raise Killed
            return done

        target.complete = dying
        try:
            run_campaign(paths.root, open_with=opens(target))
            calls += len(target.calls)
            break
        except Killed:
            kills += 1
            calls += len(target.calls) - 1
    assert kills == 10
    result = read_result(paths)
    assert result.weaknesses == expected.weaknesses
    assert result.refuted == expected.refuted
    assert result.spent.requests == expected.spent.requests
    assert calls == len(whole.calls)


def test_a_paused_campaign_asks_nothing_until_it_is_resumed_and_finds_the_same(tmp_path):
    paths, plan = make(tmp_path, requests=300)
    target = target_of(paths, plan, fails_on_cue)
    answers, asked = target.complete, []

    def pauses(chats, spec, progress=None, cancelled=None):
        asked.append(chats)
        if len(asked) == 3:
            send_command(paths, CommandKind.PAUSE)
        return answers(chats, spec)

    target.complete = pauses
    watch, seen = campaign.CampaignWatch(paths), []

    def resumes():
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if any(e.data.get("stage") == "paused" for e in EventTail(paths.events).poll()):
                paused = time.monotonic()
                seen.append((len(asked), watch.poll().status))
                time.sleep(2.0)
                seen.append((len(asked), watch.poll().status))
                rests.append(time.monotonic() - paused)
                return send_command(paths, CommandKind.RESUME)
            time.sleep(0.05)

    rests, began = [], time.monotonic()
    thread = threading.Thread(target=resumes)
    thread.start()
    assert run_campaign(paths.root, open_with=opens(target), commands_from=0) == "finished"
    thread.join()
    assert [count for count, _ in seen] == [3, 3]
    assert seen[0][1] is RunStatus.PAUSED
    assert len(asked) > 3
    worked_s = time.monotonic() - began - rests[0]
    assert watch.poll().spent.seconds <= worked_s
    assert watch.poll().active_s <= worked_s


def test_a_stopped_campaign_keeps_what_it_has_and_goes_on(tmp_path):
    paths, plan = make(tmp_path)
    target = target_of(paths, plan, fails_on_cue)
    complete = target.complete

    def stops(chats, spec, progress=None, cancelled=None):
        if len(target.calls) == 2:
            campaign.stop_campaign(paths)
        return complete(chats, spec)

    target.complete = stops
    assert run_campaign(paths.root, open_with=opens(target), commands_from=0) == "stopped"
    assert "stopped while" in read_result(paths).summary
    assert run_campaign(paths.root, open_with=opens(target_of(paths, plan, fails_on_cue))) == "finished"
    assert read_result(paths).complete


def test_a_changed_plan_is_refused_with_words(found, tmp_path):
    paths, plan = make(tmp_path)
    run_campaign(paths.root, open_with=opens(target_of(paths, plan, fails_on_cue)))
    text = paths.plan.read_text().replace('"seed": 2605', '"seed": 7')
    paths.plan.write_text(text)
    with pytest.raises(UserError, match="Start a new campaign"):
        run_campaign(paths.root, open_with=opens(target_of(paths, plan, fails_on_cue)))


def test_failed_requests_are_no_answers(tmp_path):
    from seirenes_app.inference.model_client import CompletionError

    paths, plan = make(tmp_path)
    target = target_of(paths, plan, fails_on_cue)
    target.complete = lambda chats, *_: [[CompletionError("The server is busy.", "busy", True)] for _ in chats]
    with pytest.raises(UserError, match="requests to simulated failed: The server is busy"):
        run_campaign(paths.root, open_with=opens(target))
    assert not read_answers(paths.rows)
    assert campaign.CampaignWatch(paths).poll().status == "failed"


def test_minimal_forms_leave_out_what_does_no_harm(tmp_path):
    plan = campaign.CampaignPlan(
        "simulated", writers=(LANGUAGE,), types=(HintType.INSTRUCTION_CONTAMINATION,),
        problems=campaign.ProblemChoice(count=100), budget=campaign.Budget(requests=1200),
    )  # fmt: skip
    paths = campaign.new_campaign(plan, tmp_path)
    target = target_of(paths, plan, lambda _p, text: 0.1 if "multiply" in text.casefold() else 0.97)
    run_campaign(paths.root, open_with=opens(target))
    found = [w.minimal for w in read_result(paths).weaknesses if w.minimal is not None and w.minimal.shorter]
    assert found
    assert all("multiply" in m.hint.casefold() for m in found)


def test_recipes_of_all_kinds_make_valid_hints():
    from itertools import islice

    from training.core.problems import problem_stream
    from training.core.types import Split

    problems = list(islice(problem_stream(5, Split.HELD_OUT), 12))
    rng = random.Random(1)
    for type_ in HintType:
        recipes = [*trigger_recipes(type_, "triggers"), *(draw_form(type_, rng, "language") for _ in range(3))]
        mixed = [combine(recipes[0], recipes[-1], rng), mutate(recipes[-1], rng), mutate(recipes[0], rng)]
        for recipe in (*recipes, *filter(None, mixed)):
            hints = [(h, p) for p in problems if (h := instantiate(recipe, p, 1)) is not None]
            again = [(h, p) for p in problems if (h := instantiate(recipe, p, 1)) is not None]
            assert hints == again
            refused = [h.text for h, p in hints if not check_hint(h.text, p).passed]
            assert len(refused) <= 0.5 * len(hints), (recipe.title, refused)


def test_a_hint_of_the_language_is_read_back_as_a_recipe():
    from itertools import islice

    from training.core.hint_language import write_hint
    from training.core.problems import problem_stream
    from training.core.types import Split

    rng = random.Random(2)
    problems = list(islice(problem_stream(6, Split.TRAIN), 20))
    for problem in problems:
        hint = write_hint(problem, HintType.CORRELATION_TRAP, rng)
        recipe = parse_recipe(hint.text, problem, "archive:x", hint.type)
        assert recipe is not None
        assert any(instantiate(recipe, other, 3) is not None for other in problems)


def test_problems_are_divided_in_the_planned_shares():
    from itertools import islice

    from training.core.problems import problem_stream
    from training.core.types import Split

    plan = campaign.CampaignPlan("t", problems=campaign.ProblemChoice(count=100))
    parts = divide(list(islice(problem_stream(5, Split.HELD_OUT), 100)), plan)
    assert [len(p) for p in parts] == pytest.approx(list(campaign.split_counts(plan)), abs=3)
