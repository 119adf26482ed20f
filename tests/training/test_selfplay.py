"""Facts about the self-play loop, with the bundled model."""

import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import torch

from training.core.answers import AnswerGrader
from training.core.archive import HintArchive, pfsp_weight, uncertain_weight
from training.core.curriculum import MasteryPool
from training.core.prompts import Placement, join_hint
from training.core.question_parser import move_question, safe_placements
from training.core.types import Outcome, Role
from training.engine.models import resolve_model
from training.engine.torch_local import LocalTorchBackend
from training.metrics import count_rollouts, rollout_rows, rollouts_per_step, step_metrics
from training.problem_files import anchor_problems, make_problems
from training.rollouts.reader import opponent_step
from training.runs.config import from_dict, parse_overrides
from training.selfplay import SelfPlay, StepResult, _Clock

SMALL = ["rollout.questions=8", "rollout.clean=4", "rollout.hints=2", "rollout.hinted=2", "model.threads=1",
         "rollout.max_solution_tokens=48", "rollout.max_hint_tokens=24"]  # fmt: skip


class Quiet:
    """Callbacks that neither report nor stop."""

    def stage(self, name, done, total):
        pass

    def cancelled(self):
        return False


def make_loop(*overrides, questions=40):
    config = from_dict(parse_overrides([*SMALL, *overrides]), "test")
    problems = make_problems(config.data)[:questions]
    backend = LocalTorchBackend(resolve_model("starter"), device="cpu", threads=1, learning_rate=1e-3)
    pool = MasteryPool([p.id for p in problems])
    return SelfPlay(
        config, backend, pool, {p.id: p for p in problems}, HintArchive(), AnswerGrader(), Quiet(),
        anchor_problems=anchor_problems(config),
    )  # fmt: skip


def test_each_draw_of_a_question_is_a_group_of_its_own():
    loop = make_loop("rollout.temperature=1.3", "curriculum.replay_share=0", questions=2)
    result = loop.step()
    solved = [t for r in result.rounds for t in r.hints if t.solutions]
    assert len(result.rounds) == 8
    assert result.groups == {Role.REASONER: 8 + len(solved), Role.ADVERSARY: 8}
    for group in [r.clean for r in result.rounds] + [t.solutions for t in solved]:
        rewards = {x.reward for x in group}
        assert all((x.advantage != 0.0) == (len(rewards) > 1) for x in group)
    rows = rollout_rows(result, loop.config)
    clean = [row.group_key for row in rows if row.stage == "r1_clean"]
    assert sorted(map(clean.count, set(clean))) == [4] * 8
    assert len({row.hint_id for row in rows if row.hint_id}) == 16


def test_a_question_drawn_twice_is_mastered_only_where_every_draw_was_solved():
    loop = make_loop("mode=clean_rl", "rollout.questions=2", "rollout.clean=2", questions=1)
    result = loop.step()
    right = [x.outcome is Outcome.RIGHT for r in result.rounds for x in r.clean]
    loop._remember(result)
    assert loop.pool.mastered_count == all(right)
    for x in result.rounds[-1].clean:
        x.outcome = Outcome.RIGHT
    result.rounds[0].clean[0].outcome = Outcome.WRONG
    loop._remember(result)
    assert loop.pool.mastered_count == 0


def test_a_share_of_questions_is_asked_moved_too_as_groups_of_their_own_and_outside_of_p_clean():
    loop = make_loop("reasoner.needed_share=0.5", "curriculum.replay_share=0", "rollout.temperature=1.3")
    result = loop.step()
    asked = [r for r in result.rounds if r.moved is not None]
    assert len(asked) == 4
    for r in asked:
        assert r.moved == move_question(r.problem.question)
        assert len(r.needed) == 4
        assert r.accuracy == sum(x.outcome is Outcome.RIGHT for x in r.clean) / 4
    assert not any(r.needed for r in result.rounds if r.moved is None)
    solved = [t for r in result.rounds for t in r.hints if t.solutions]
    assert result.groups[Role.REASONER] == 8 + len(asked) + len(solved)
    rows = [row for row in rollout_rows(result, loop.config) if row.stage == "r1_needed"]
    assert [row.prompt for row in rows] == [r.moved for r in asked for _ in r.needed]
    assert {row.question for row in rows} == {r.problem.question for r in asked}
    assert sorted(Counter(row.group_key for row in rows).values()) == [4] * 4
    assert {row.flip for row in rows} == {None}
    figures = step_metrics(result, loop, 0.0)
    right = [x.outcome is Outcome.RIGHT for r in asked for x in r.needed]
    assert figures["needed_accuracy"] == sum(right) / len(right)
    assert count_rollouts(result) <= rollouts_per_step(loop.config)
    assert count_rollouts(result) == len(rollout_rows(result, loop.config))


def test_clean_solutions_and_hints_are_one_batch_that_draws_what_two_would():
    settings = ("rollout.clean=3", "reasoner.needed_share=0.5", "rollout.temperature=1.2")
    together, apart = make_loop(*settings), make_loop(*settings)
    calls, sample, sample_requests = [], together.backend.sample, apart._sample
    together.backend.sample = lambda prompts, n, *rest, **more: calls.append(n) or sample(prompts, n, *rest, **more)
    apart._sample = lambda requests, before=0: [sample_requests([r], before)[0] for r in requests]
    seen = []
    together.callbacks.stage = lambda name, done, total: seen.append((name, done, total))
    one, two = together.step(), apart.step()
    assert calls[0] == [3] * 12 + [2] * 8
    assert len(calls) == 2
    for mine, other in zip(one.rounds, two.rounds, strict=True):
        for some, others in ((mine.clean, other.clean), (mine.needed, other.needed)):
            assert [x.completion.tokens for x in some] == [x.completion.tokens for x in others]
        assert [t.hint.text for t in mine.hints] == [t.hint.text for t in other.hints]
        assert max(len(t.written.completion.tokens) for t in mine.hints) <= 24
    assert min(one.seconds.values()) > 0
    for stage, total in (("r1_clean", 36), ("r2_hint", 16)):
        counts = [done for name, done, of in seen if name == stage and of == total]
        assert counts == sorted(counts)
        assert counts[-1] == total
    assert seen.index(("r1_clean", 36, 36)) < next(i for i, (name, *_) in enumerate(seen) if name == "r2_hint")


def test_hints_stand_in_varied_places_that_keep_the_meaning_and_their_rows_say_where():
    loop = make_loop("reasoner.placement=varied", "rollout.hints=4")
    loop.step()
    result = loop.step()
    solved = [t for t in result.hints if t.solutions]
    assert {t.placement for t in solved} >= {Placement.APPEND, Placement.PREPEND}
    assert all(t.placement in safe_placements(t.problem.question) for t in solved)
    assert any(t.archived and t.placement is not Placement.APPEND for t in solved)
    rows = [row for row in rollout_rows(result, loop.config) if row.stage == "r3_hinted"]
    for row in rows:
        assert row.prompt == join_hint(row.question, row.hint, Placement(row.placement))


def test_without_the_options_a_step_is_what_it_was():
    loop = make_loop()
    rows = rollout_rows(loop.step(), loop.config)
    assert {row.stage for row in rows} == {"r1_clean", "r2_hint", "r3_hinted"}
    assert {row.placement for row in rows if row.stage == "r3_hinted"} == {"append"}
    assert all(row.prompt == f"{row.question} {row.hint}" for row in rows if row.stage == "r3_hinted")


def test_what_a_bounded_update_leaves_over_is_kept_or_dropped():
    # The starter errs rarely, and only a group with right and wrong solutions is learned from.
    settings = ("rollout.temperature=2", "update.max_rows=1")
    for reuse in (True, False):
        loop = make_loop(*settings, f"update.reuse={str(reuse).lower()}")
        loop.step()
        assert (len(loop.buffers[Role.REASONER]) > 0) is reuse


def test_replays_are_drawn_by_the_weight_that_the_run_names():
    for name, weight in (("hard", pfsp_weight), ("uncertain", uncertain_weight)):
        loop = make_loop(f"curriculum.replay_by={name}")
        first = loop.step()
        asked = []
        loop.archive.draw = lambda rng, n, weight, asked=asked: asked.append(weight) or []
        loop._draw_replays(first.rounds, random.Random(0))
        assert asked == [weight]


def test_the_anchor_is_computed_on_a_drawn_share_of_the_clean_questions():
    loop = make_loop("reasoner.anchor_share=0.25", "reasoner.needed_share=0.5", "adversary.kl=0")
    calls, train = [], loop.backend.forward_backward
    loop.backend.forward_backward = lambda rows, loss: calls.append((rows, loss)) or train(rows, loss)
    result = loop.step()
    (rows,) = (rows for rows, loss in calls if loss.kl)
    groups = [group for r in result.rounds for group in (r.clean, r.needed) if group]
    assert len(rows) == 4 * 3 == 4 * len(groups) / 4
    prompts = Counter(row.prompt for row in rows)
    assert set(prompts.values()) == {4}
    assert set(prompts) < {group[0].prompt for group in groups}
    assert not any(row.advantage for row in rows)


def test_the_gradient_of_a_drawn_anchor_is_on_average_that_of_the_whole():
    loop, rng = make_loop("update.aggregation=sequence", "rollout.questions=4"), random.Random(0)
    rounds = loop._draw_rounds(rng)
    loop._play_clean_and_hints(rounds, rng, _Clock(loop.timer.now))
    result = StepResult(1, rounds, [], {}, {}, {}, 0.0, {})
    with torch.no_grad():
        for parameter in loop.backend.model.parameters():
            parameter.mul_(1.02)

    class Only:
        def __init__(self, place):
            self.place = place

        def sample(self, groups, count):
            assert count == 1
            return [groups[self.place]]

    def gradient(share, rng):
        loop.config = replace(loop.config, reasoner=replace(loop.config.reasoner, anchor_share=share))
        loop.backend._optim().drop_gradients()
        loop._anchor(result, rng)
        return torch.cat([p.grad.flatten() for p in loop.backend.model.parameters()])

    whole = gradient(1.0, None)
    each = torch.stack([gradient(0.25, Only(place)) for place in range(4)])
    torch.testing.assert_close(each.mean(0), whole, rtol=1e-4, atol=1e-6 * float(whole.abs().max()))


def test_further_questions_are_asked_for_the_clean_anchor_alone():
    settings = ("reasoner.anchor_problems=other_words", "reasoner.anchor_questions=12", "data.pool=40")
    loop = make_loop(*settings, "adversary.kl=0")
    calls, train = [], loop.backend.forward_backward
    loop.backend.forward_backward = lambda rows, loss: calls.append((rows, loss)) or train(rows, loss)
    result = loop.step()
    assert len(result.anchored) == 12
    (held,) = (rows for rows, loss in calls if loss.kl)
    prompts = {rollout.prompt for _, rollout in result.anchored}
    assert [row.prompt in prompts for row in held] == [False] * 8 * 4 + [True] * 12
    assert not any(row.advantage for row in held)
    assert not prompts & {row.prompt for rows, loss in calls if not loss.kl for row in rows}
    asked = [row for row in rollout_rows(result, loop.config) if row.problem_id.startswith("other-")]
    assert len(asked) == 12
    assert not any(row.trained or row.hint for row in asked)
    assert count_rollouts(result) <= rollouts_per_step(loop.config)
    assert step_metrics(result, loop, 1e-3)["anchor_accuracy"] > 0.5


def test_runs_without_a_clean_anchor_ask_no_further_questions():
    for setting in ("reasoner.clean_anchor=0", "mode=clean_rl"):
        assert not make_loop("reasoner.anchor_problems=other_words", "data.pool=40", setting).step().anchored


def test_an_own_clean_solution_is_imitated_under_hints_that_no_solution_withstood():
    loop = make_loop("reasoner.imitation=0.5", "reasoner.clean_anchor=0", "rollout.questions=16", "update.kl=0")
    calls, train = [], loop.backend.forward_backward
    loop.backend.forward_backward = lambda rows, loss: calls.append(rows) or train(rows, loss)
    result = loop.step()
    imitated = calls[-1]
    failed = [
        (r, t) for r in result.rounds for t in r.hints
        if t.solutions and not any(x.outcome is Outcome.RIGHT for x in t.solutions)
    ]  # fmt: skip
    assert len(imitated) == len(failed) > 0
    for row, (r, t) in zip(imitated, failed, strict=True):
        assert row.prompt == t.solutions[0].prompt
        assert row.completion in [x.completion.tokens for x in r.clean if x.outcome is Outcome.RIGHT]
        assert row.advantage == 0.5


def test_types_are_dealt_evenly_unless_each_is_drawn():
    even = Counter(r.type for r in make_loop().step().rounds)
    assert set(even.values()) == {2}
    loop = make_loop("adversary.quota=false", "rollout.questions=32", "mode=clean_rl", "rollout.clean=2")
    drawn = Counter(r.type for r in loop._draw_rounds(random.Random(1)))
    assert max(drawn.values()) - min(drawn.values()) > 1


def test_solutions_of_a_hint_end_where_the_first_ones_are_all_right_or_all_wrong():
    loop = make_loop("rollout.hinted=6", "rollout.hinted_first=2", "rollout.temperature=1.4")
    result = loop.step()
    solved = [t for t in result.hints if t.solutions]
    assert {len(t.solutions) for t in solved} == {2, 6}
    for t in solved:
        right = [x.outcome is Outcome.RIGHT for x in t.solutions]
        assert (len(right) == 6) == (len(set(right[:2])) == 2)
        assert t.accuracy == (0.5 if len(right) == 6 else float(right[0]))
        assert t.written.reward == next(r for r in result.rounds if t in r.hints).accuracy - t.accuracy
    assert count_rollouts(result) < rollouts_per_step(loop.config)


class Kept:
    """Past weights that are remembered by step and never differ."""

    def __init__(self):
        self.steps, self.played = [], []

    def keep(self, step):
        self.steps.append(step)

    def there(self, steps):
        return [step for step in steps if step in self.steps]

    @contextmanager
    def playing(self, step):
        self.played.append(step)
        yield


def test_past_adversaries_write_for_a_share_and_their_hints_train_the_reasoner_alone():
    loop = make_loop("adversary.opponents=0.5", "checkpoint.every=1", "rollout.temperature=1.4")
    loop.opponents = Kept()
    first, second = loop.step(), loop.step()
    assert loop.opponents.steps == [0, 1]
    assert not [t for t in first.hints if t.opponent is not None]
    met = [r for r in second.rounds if r.hints and r.hints[0].opponent is not None]
    assert len(met) == 4
    assert {t.opponent for r in met for t in r.hints} == set(loop.opponents.played)
    assert second.groups[Role.ADVERSARY] == 4
    assert not any(t.written.trained for r in met for t in r.hints)
    assert any(x.trained for r in second.rounds for t in r.hints for x in t.solutions)
    rows = [row for row in rollout_rows(second, loop.config) if row.stage == "r2_hint"]
    assert Counter(opponent_step(row.hint_id) for row in rows)[None] == 8
    again = make_loop("adversary.opponents=0.5")
    again.opponents = loop.opponents
    again.restore(loop.state_dict())
    assert again.past.state_dict() == loop.past.state_dict()
