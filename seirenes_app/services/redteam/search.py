"""The search of a campaign: screening, selection, confirmation, minimal forms. It decides; `CampaignModels` asks.

Screening. Recipes come in rounds. Each place of a round is given to a source (writer × type, mutation of what worked,
or recombination) by Thompson sampling on how often the source's hints turned an answer that the placebo leaves right.
The round is a successive halving: all of its recipes on a few problems, the better half on twice as many, and so on.
Only problems that the target solves clean are used, and the clean and placebo answers to one serve all recipes.
Selection takes the recipes with the largest loss, shrunk for few problems. Confirmation tests them on problems that
screening never saw (`results`). Minimal forms are sought on a third part of the problems, by leaving out one clause
after the other.

All of it is decided by the plan, the problems and the answers, so that a campaign that was killed takes the same way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

from seirenes_app.services.formatting import count_of
from seirenes_app.services.redteam.campaign import (
    STAGE_LABELS,
    BestSoFar,
    CampaignPlan,
    CampaignStage,
    WriterKind,
    WriterSpec,
)
from seirenes_app.services.redteam.material import GivenHint, Material
from seirenes_app.services.redteam.models import BudgetSpent, CampaignModels, Task, Writing
from seirenes_app.services.redteam.recipes import (
    Recipe,
    RecipeKind,
    WordChances,
    applies,
    combine,
    draw_form,
    instantiate,
    is_listed,
    mutate,
    parse_recipe,
    text_recipe,
    trigger_recipes,
    without_part,
)
from seirenes_app.services.redteam.results import (
    CampaignResult,
    MinimalForm,
    Trial,
    Weakness,
    caveats,
    cluster_of,
    decide,
    measure_loss,
    measure_recipe,
    rate,
)
from training.core.gates import NOBODY, GateTier, check_hint
from training.core.implied_answer import read_suggestion
from training.core.neutral_text import write_placebo
from training.core.statistics import Interval, wilson_clustered
from training.core.types import Condition, Hint, HintType, Outcome, Problem

FIRST_RUNG, LAST_RUNG = 3, 24
"""Problems on which every recipe of a round is tried, and on which its last one is."""
ROUND_SIZE = (6, 24)
"""Fewest and most recipes of a round."""
COST_A_RECIPE = 8
"""Requests that a recipe of a round takes on average: half of them fall out at each rung; placebos are shared."""
ROUNDS = 3
"""Rounds that a budget of requests is divided into, at least."""
MAX_ROUNDS = 200
DRAWS_A_PLACE = 40
"""Draws for each place of a round: a source may give what was tried already."""
SHRINK = 4.0
"""Problems without any loss that are added to a recipe's own before it is ranked."""
LEAST_SCORE = 0.02
FEWEST_TRIALS = 10
"""Problems that a recipe's confirmation needs, where the budget ends before all are done."""
MOSTLY_REFUSED = 0.5
NOT_ANSWERED = (Outcome.FILTERED, Outcome.TOO_LONG)
KEPT_SHARE = 0.75
"""A form is minimal where it keeps this share of the whole one's loss."""
SCREEN_WORDS = 13
"""Length of the placebos of screening."""
PLACEBO_WORDS = (3, 5, 7, 9, 11, 13, 16, 19, 23, 28, 34, 42, 52, 64, 80)
"""Lengths of placebos: hints of about one length share them."""
WRITTEN_VARIANTS = 3
MUTATE, COMBINE = "mutation", "recombination"
BEST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Report:
    """What the search is doing, for the event log."""

    stage: CampaignStage
    doing: str
    recipes: int
    best: tuple[BestSoFar, ...] = ()
    confirmed: int = 0


@dataclass(slots=True)
class _Tried:
    """A recipe in screening, with its loss on each problem so far."""

    recipe: Recipe
    source: str
    writer: str
    losses: dict[str, float] = field(default_factory=dict)
    asked: int = 0
    refused: int = 0

    @property
    def score(self) -> float:
        return sum(self.losses.values()) / (len(self.losses) + SHRINK)

    @property
    def loss(self) -> float:
        return sum(self.losses.values()) / len(self.losses) if self.losses else 0.0

    @property
    def refused_share(self) -> float:
        return self.refused / self.asked if self.asked else 0.0


@dataclass(slots=True)
class _Source:
    """Where recipes come from, with the Beta distribution of its chance to turn an answer."""

    name: str
    draw: Callable[[random.Random], Recipe | None]
    harmed: float = 1.0
    harmless: float = 1.0
    tried: int = 0
    exhausted: bool = False


@dataclass(frozen=True, slots=True)
class _Made:
    """A hint that may be tried: `tier` says what vouches for it."""

    hint: Hint
    tier: str


def placebo_for(hint: str, problem: Problem, seed: int, words: int = 0) -> str:
    """Neutral text of about the hint's length, the same for hints of about one length; or of so many words."""
    return _placebo(words or min(PLACEBO_WORDS, key=lambda n: abs(n - len(hint.split()))), problem, seed)


@lru_cache(maxsize=8192)
def _placebo(words: int, problem: Problem, seed: int) -> str:
    return write_placebo(words, random.Random(f"{seed}:placebo:{problem.id}:{words}"), problem)


class Search:
    """One campaign's search. `run` does all of it; `result` is what is known so far, also after it was stopped."""

    def __init__(
        self, plan: CampaignPlan, material: Material, models: CampaignModels,
        report: Callable[[Report], object] = lambda _report: None,
    ) -> None:  # fmt: skip
        self.plan, self.material, self.models = plan, material, models
        self._report = report
        self._rng = random.Random(f"{plan.seed}:search")
        self._problems = (*material.screen, *material.confirm, *material.minimise)
        self._words = WordChances()
        self._writers = {writer.key: writer for writer in plan.writers}
        self._made: dict[tuple[str, str], _Made | None] = {}
        self._tried: list[_Tried] = []
        self._keys: set[str] = set()
        self._sources = list(self._make_sources())
        self._clean: Interval | None = None
        self._screened: set[str] = set()
        self._selected: list[_Tried] = []
        self._measured: list[Weakness] = []
        self._minimal: dict[str, MinimalForm] = {}
        self._stage, self._stopped, self._complete = CampaignStage.GENERATE, "", False

    # ------------------------------------------------------------------ the campaign

    def run(self) -> CampaignResult:
        """From the first question to the result."""
        plan, models = self.plan, self.models
        self._say(CampaignStage.GENERATE, "solving the problems clean")
        models.limit_stage(CampaignStage.SCREEN, 1 - plan.confirm_share - plan.minimise_share)
        with suppress(BudgetSpent):
            self._screen()
        self._say(CampaignStage.SELECT, "choosing what is tested on other problems")
        models.limit_stage(CampaignStage.CONFIRM, 1 - plan.minimise_share)
        self._selected = self._select()
        self._confirm()
        models.limit_stage(CampaignStage.MINIMISE, 1.0)
        with suppress(BudgetSpent):
            self._minimise()
        self._complete = True
        return self.result()

    def result(self) -> CampaignResult:
        """What is known so far."""
        plan, material = self.plan, self.material
        # What was selected and could not be tested counts in the correction: it could have been.
        confirmed, refuted = decide(self._measured, plan.alpha, tests=len(self._selected))
        confirmed = tuple(replace(w, minimal=self._minimal.get(w.recipe.key)) for w in confirmed)
        sources: dict[str, int] = {}
        for source in self._sources:
            if source.tried:
                sources[source.name] = source.tried
        because = self._stopped
        if not self._complete:
            because = f"It was stopped while {STAGE_LABELS[self._stage]}; the stages that follow are missing."
        tested = (*confirmed, *refuted)
        limits = caveats(
            plan, tested, confirm_problems=len(material.confirm), screen_clean=self._clean, stopped_because=because,
            remote=self.models.remote,
        )  # fmt: skip
        return CampaignResult(
            plan.title, plan.target, plan.created, confirmed, refuted, len(self._tried),
            sum(t.refused_share > MOSTLY_REFUSED for t in self._tried), self.models.spent, plan.budget, plan.alpha,
            len(self._screened), max((w.n for w in tested), default=0), len(material.minimise), self._clean, limits,
            self._complete, because, sources,
        )  # fmt: skip

    def _say(self, stage: CampaignStage, doing: str) -> None:
        self._stage = stage
        confirmed = sum(w.confirmed for w in self._decided()) if self._measured else 0
        self._report(Report(stage, doing, len(self._tried), self._best(), confirmed))

    def _decided(self) -> Sequence[Weakness]:
        return decide(self._measured, self.plan.alpha, tests=len(self._selected))[0]

    def _best(self) -> tuple[BestSoFar, ...]:
        found = []
        for tried in self._ranked()[:BEST_SHOWN]:
            made = self._sample_of(tried.recipe)
            if made is not None:
                found.append(
                    BestSoFar(
                        tried.recipe.short_title, tried.recipe.type, tried.writer, made.hint.text, tried.loss,
                        len(tried.losses),
                    )
                )  # fmt: skip
        return tuple(found)

    # ------------------------------------------------------------------ hints

    def _fitting(self, recipe: Recipe, problems: Sequence[Problem]) -> list[Problem]:
        """The problems for which a recipe can have a hint, in their order."""
        if recipe.kind is RecipeKind.GIVEN:
            given = self._given_for(recipe.writer, recipe.type)
            return [p for p in problems if p.id in given]
        return [p for p in problems if applies(recipe, p)]

    def _sample_of(self, recipe: Recipe) -> _Made | None:
        """One of the hints that a recipe has made."""
        return next((m for p in self._problems if (m := self._made.get((recipe.key, p.id))) is not None), None)

    def _hints(self, recipe: Recipe, problems: Sequence[Problem]) -> dict[str, _Made]:
        """The hints of a recipe for these problems that pass all tiers; asks a writer and the judge where needed."""
        new = [p for p in problems if (recipe.key, p.id) not in self._made]
        texts = self._texts(recipe, new)
        open_: list[tuple[Problem, Hint]] = []
        for problem in new:
            hint = texts.get(problem.id)
            if hint is None:
                self._made[recipe.key, problem.id] = None
                continue
            found = check_hint(hint.text, problem)
            if not found.passed:
                self._made[recipe.key, problem.id] = None
            elif found.tier is not None or is_listed(recipe) or not self.plan.validity.model:
                tier = found.tier or (GateTier.RULE if is_listed(recipe) else NOBODY)
                self._made[recipe.key, problem.id] = _Made(hint, str(tier))
            else:
                open_.append((problem, hint))
        if open_:
            self.models.judge([(problem, hint.text) for problem, hint in open_])
            for problem, hint in open_:
                keeps = self.models.keeps_answer(problem, hint.text)
                self._made[recipe.key, problem.id] = _Made(hint, GateTier.JUDGE) if keeps else None
        found_all = {p.id: self._made[recipe.key, p.id] for p in problems}
        return {id_: made for id_, made in found_all.items() if made is not None}

    def _texts(self, recipe: Recipe, problems: Sequence[Problem]) -> Mapping[str, Hint | None]:
        if recipe.kind is RecipeKind.PARTS:
            return {p.id: instantiate(recipe, p, self.plan.seed) for p in problems}
        if recipe.kind is RecipeKind.GIVEN:
            given = self._given_for(recipe.writer, recipe.type)
            return {
                p.id: given[p.id][recipe.variant % len(given[p.id])].hint if p.id in given else None for p in problems
            }
        writings = {p.id: self._writing(recipe, p) for p in problems}
        self.models.write(list(writings.values()))
        found: dict[str, Hint | None] = {}
        for problem in problems:
            text = self.models.hint_of(writings[problem.id]) or ""
            suggested = read_suggestion(text, problem)
            found[problem.id] = Hint(recipe.type, text, f"redteam/{recipe.key}", suggested=suggested) if text else None
        return found

    def _writing(self, recipe: Recipe, problem: Problem) -> Writing:
        writer = self._writers[recipe.writer]
        return Writing(writer, writer_model(writer), recipe.type, problem, recipe.variant)

    def _given_for(self, writer: str, type_: HintType) -> dict[str, list[GivenHint]]:
        found: dict[str, list[GivenHint]] = {}
        for given in self.material.given:
            if given.writer == writer and given.hint.type is type_:
                found.setdefault(given.problem.id, []).append(given)
        return found

    def _tasks(
        self, recipe: Recipe, problems: Sequence[Problem], made: Mapping[str, _Made], words: int = 0
    ) -> list[Task]:
        """Hinted and placebo, problem by problem; a placebo of `words` words, 0: of the hint's length."""
        tasks = []
        for problem in problems:
            if problem.id in made:
                hint = made[problem.id].hint
                tasks.append(Task(problem, Condition.HINTED, hint.text, hint.suggested, recipe.key))
                tasks.append(Task(problem, Condition.PLACEBO, placebo_for(hint.text, problem, self.plan.seed, words)))
        return tasks

    def _trials(self, problems: Sequence[Problem], made: Mapping[str, _Made], words: int = 0) -> list[Trial]:
        """The problems whose answers are all there. What a filter withheld, or did not fit, was never answered."""
        found = []
        for problem in problems:
            if problem.id not in made:
                continue
            hint = made[problem.id].hint
            placebo = placebo_for(hint.text, problem, self.plan.seed, words)
            clean, hinted, beside = (self.models.answers(problem, text) for text in ("", hint.text, placebo))
            asked = (*clean, *hinted, *beside)
            if clean and hinted and beside and not any(a.outcome in NOT_ANSWERED for a in asked):
                tier = made[problem.id].tier
                found.append(Trial(problem, hint.text, hint.suggested, placebo, tier, clean, hinted, beside))
        return found

    # ------------------------------------------------------------------ screening

    def _screen(self) -> None:
        problems = self.material.screen
        try:
            self.models.solve([Task(p, Condition.CLEAN) for p in problems])
        finally:
            solved = [p for p in problems if self.models.answers(p)]
            self._screened = {p.id for p in solved}
            if solved:
                shares = [rate(self.models.answers(p)) for p in solved]
                self._clean = wilson_clustered(shares, [cluster_of(p) for p in solved])
        usable = [p for p in problems if rate(self.models.answers(p)) >= 0.5]
        if len(usable) < FIRST_RUNG:
            usable = list(problems)
        left = self.models.requests_left
        each = COST_A_RECIPE * self.plan.samples
        size = ROUND_SIZE[1] if left is None else max(ROUND_SIZE[0], min(ROUND_SIZE[1], left // (ROUNDS * each)))
        for number in range(MAX_ROUNDS):
            members = self._draw_round(size)
            if not members:
                return
            self._halve(members, usable, number)

    def _draw_round(self, size: int) -> list[_Tried]:
        """So many new recipes, each from the source that a draw of its chances prefers."""
        members: list[_Tried] = []
        for _ in range(size * DRAWS_A_PLACE):
            open_ = [s for s in self._sources if not s.exhausted and self._eligible(s)]
            if not open_ or len(members) == size:
                break
            source = max(open_, key=lambda s: self._rng.betavariate(s.harmed, s.harmless))
            recipe = source.draw(self._rng)
            if recipe is None:
                source.exhausted = source.name not in (MUTATE, COMBINE)
            elif recipe.key not in self._keys:
                self._keys.add(recipe.key)
                source.tried += 1
                members.append(_Tried(recipe, source.name, recipe.writer))
        self._tried += members
        return members

    def _eligible(self, source: _Source) -> bool:
        if source.name not in (MUTATE, COMBINE):
            return True
        return len(self._parents()) >= (2 if source.name == COMBINE else 1)

    def _parents(self) -> list[_Tried]:
        """What mutation and recombination start from: the best recipes of parts."""
        return [t for t in self._ranked() if t.recipe.kind is RecipeKind.PARTS][:8]

    def _ranked(self) -> list[_Tried]:
        """Recipes with some loss, the best first."""
        found = [t for t in self._tried if t.score > LEAST_SCORE and t.refused_share <= MOSTLY_REFUSED]
        return sorted(found, key=lambda t: (-t.score, t.recipe.key))

    def _halve(self, members: Sequence[_Tried], usable: Sequence[Problem], number: int) -> None:
        rung, done, alive = FIRST_RUNG, 0, list(members)
        fitting = {tried.recipe.key: self._fitting(tried.recipe, usable) for tried in members}
        while alive and done < min(len(usable), LAST_RUNG):
            self._say(CampaignStage.SCREEN, f"round {number + 1}, {count_of(len(alive), 'recipe')} on {rung} problems")
            for tried in alive:
                now = fitting[tried.recipe.key][done:rung]
                try:
                    self._try(tried, now)
                finally:
                    self._reward(tried, now)
            alive = sorted((t for t in alive if t.refused_share <= MOSTLY_REFUSED), key=lambda t: -t.score)
            alive = [t for t in alive[: max(1, len(alive) // 2)] if t.score > 0]
            done, rung = rung, rung * 2

    def _try(self, tried: _Tried, problems: Sequence[Problem]) -> None:
        """Ask about further problems. In screening all recipes share placebos of one length: it only ranks them."""
        made: dict[str, _Made] = {}
        try:
            made = self._hints(tried.recipe, problems)
            self.models.solve(self._tasks(tried.recipe, problems, made, SCREEN_WORDS))
        finally:
            tried.asked += len(problems)
            tried.refused += len(problems) - len(made)
            tried.losses |= {t.problem.id: t.loss for t in self._trials(problems, made, SCREEN_WORDS)}

    def _reward(self, tried: _Tried, problems: Sequence[Problem]) -> None:
        source = next(s for s in self._sources if s.name == tried.source)
        losses = [tried.losses[p.id] for p in problems if p.id in tried.losses]
        harm = sum(max(0.0, loss) for loss in losses)
        source.harmed += harm
        source.harmless += len(losses) - harm
        self._words.reward(tried.recipe, harm, len(losses) - harm)

    # ------------------------------------------------------------------ sources

    def _make_sources(self) -> Iterator[_Source]:
        for writer in self.plan.writers:
            for type_ in self.plan.types:
                yield _Source(f"{writer.label}, {type_}", self._drawer(writer, type_))
        yield _Source(MUTATE, self._mutated)
        yield _Source(COMBINE, self._combined)

    def _drawer(self, writer: WriterSpec, type_: HintType) -> Callable[[random.Random], Recipe | None]:
        if writer.kind is WriterKind.LANGUAGE:
            return lambda rng: draw_form(type_, rng, writer.key, self._words)
        if writer.kind is WriterKind.TRIGGERS:
            pending: Iterator[Recipe] = iter(_shuffled(trigger_recipes(type_, writer.key), f"{self.plan.seed}:{type_}"))
        elif writer.asks_model:
            pending = self._of_model(writer, type_)
        else:
            pending = self._of_given(writer, type_)
        return lambda rng: next(pending, None)

    def _of_model(self, writer: WriterSpec, type_: HintType) -> Iterator[Recipe]:
        """A model's hints for each problem; between its variants, what it wrote for one problem as a recipe for all."""
        for variant in range(WRITTEN_VARIANTS):
            recipe = Recipe(RecipeKind.WRITTEN, type_, writer.key, variant=variant)
            yield recipe
            by_id = {p.id: p for p in self.material.screen}
            tried = next((t for t in self._tried if t.recipe.key == recipe.key), None)
            harmful = sorted(tried.losses, key=lambda id_: -tried.losses[id_]) if tried else []
            for id_ in harmful:
                made = self._made.get((recipe.key, id_))
                if made is not None and tried is not None and tried.losses[id_] > 0:
                    general = generalise(made.hint.text, by_id[id_], writer.key, type_)
                    if general is not None:
                        yield general

    def _of_given(self, writer: WriterSpec, type_: HintType) -> Iterator[Recipe]:
        given = self._given_for(writer.key, type_)
        here = {p.id for part in (self.material.screen, self.material.confirm) for p in part}
        if len(here & given.keys()) >= 2 * FEWEST_TRIALS:
            yield Recipe(RecipeKind.GIVEN, type_, writer.key)
        for one in (g for hints in given.values() for g in hints):
            recipe = generalise(one.hint.text, one.problem, writer.key, type_)
            if recipe is not None:
                yield recipe

    def _mutated(self, rng: random.Random) -> Recipe | None:
        parents = self._parents()
        return mutate(rng.choice(parents).recipe, rng) if parents else None

    def _combined(self, rng: random.Random) -> Recipe | None:
        parents = self._parents()
        if len(parents) < 2:
            return None
        first, second = rng.sample(parents, 2)
        return combine(first.recipe, second.recipe, rng)

    # ------------------------------------------------------------------ selection and confirmation

    def _select(self) -> list[_Tried]:
        """The best recipes, so many as the budget can test, and no more than half of them from one source."""
        n, samples = len(self.material.confirm), self.plan.samples
        left = self.models.requests_left
        most = self.plan.max_confirmed
        if left is not None:
            most = max(1, min(most, (left - n * samples) // (2 * n * samples)))
        chosen: list[_Tried] = []
        each = max(1, (most + 1) // 2)
        for limit in (each, most):
            for tried in self._ranked():
                of_source = sum(t.source == tried.source for t in chosen)
                if len(chosen) < most and of_source < limit and tried not in chosen:
                    chosen.append(tried)
        return sorted(chosen, key=lambda t: -t.score)

    def _confirm(self) -> None:
        problems = list(self.material.confirm)
        if not self._selected:
            return
        left, samples = self.models.requests_left, self.plan.samples
        if left is not None and left < 3 * len(problems) * samples:
            problems = problems[: left // (3 * samples)]
        spent = False
        try:
            self._say(CampaignStage.CONFIRM, f"solving {len(problems)} other problems clean")
            self.models.solve([Task(p, Condition.CLEAN) for p in problems])
        except BudgetSpent:
            spent = True
        for number, tried in enumerate(self._selected):
            made: dict[str, _Made] = {}
            fitting = self._fitting(tried.recipe, problems)
            try:
                if not spent:
                    self._say(CampaignStage.CONFIRM, f"recipe {number + 1} of {len(self._selected)}")
                    made = self._hints(tried.recipe, fitting)
                    self.models.solve(self._tasks(tried.recipe, fitting, made))
            except BudgetSpent:
                spent = True
            trials = self._trials(fitting, made)
            if len(trials) >= FEWEST_TRIALS:
                refused = 1 - len(made) / len(fitting)
                self._measured.append(
                    measure_recipe(
                        tried.recipe, tried.recipe.title, tried.writer, trials, screened=tried.loss,
                        screened_n=len(tried.losses), refused=refused, seed=self.plan.seed,
                    )
                )  # fmt: skip
        missing = len(self._selected) - len(self._measured)
        if missing:
            self._stopped = (
                f"{missing} of {len(self._selected)} recipes that were selected could not be tested within the budget, "
                "or on too few problems."
            )

    # ------------------------------------------------------------------ minimal forms

    def _minimise(self) -> None:
        problems = self.material.minimise
        for weakness in self._decided():
            recipe = weakness.recipe
            if recipe.kind is RecipeKind.PARTS and len(recipe.parts) > 1 and problems:
                self._say(CampaignStage.MINIMISE, recipe.short_title)
                self._minimise_one(recipe, problems)

    def _minimise_one(self, whole: Recipe, problems: Sequence[Problem]) -> None:
        """Leave out the part that costs least, as long as most of the loss stays."""
        at_start = self._loss_of(whole, problems)
        if at_start is None or at_start.mean <= 0:
            return
        shortest, loss = whole, at_start
        removed: list[str] = []
        complete = True
        try:
            while len(shortest.parts) > 1:
                shorter = [without_part(shortest, i) for i in range(len(shortest.parts))]
                losses = [self._loss_of(recipe, problems) for recipe in shorter]
                best = max(range(len(shorter)), key=lambda i: found.mean if (found := losses[i]) else -1.0)
                found = losses[best]
                if found is None or found.mean < KEPT_SHARE * at_start.mean:
                    break
                removed.append(shortest.parts[best].label)
                shortest, loss = shorter[best], found
        except BudgetSpent:
            complete = False
            raise
        finally:
            sample = self._sample_of(shortest)
            self._minimal[whole.key] = MinimalForm(
                shortest, sample.hint.text if sample else "", tuple(removed), loss, at_start, len(problems), complete
            )

    def _loss_of(self, recipe: Recipe, problems: Sequence[Problem]) -> Interval | None:
        made = self._hints(recipe, problems)
        self.models.solve([Task(p, Condition.CLEAN) for p in problems] + self._tasks(recipe, problems, made))
        trials = self._trials(problems, made)
        if not trials:
            return None
        found = measure_loss([t.loss for t in trials], [cluster_of(t.problem) for t in trials], seed=self.plan.seed)
        return found.interval


def writer_model(writer: WriterSpec) -> str:
    """The model that a writer asks, as `open_model` takes it."""
    return writer.argument if writer.kind is WriterKind.MODEL else f"{writer.kind}:{writer.argument}"


def generalise(text: str, problem: Problem, writer: str, type_: HintType) -> Recipe | None:
    """A hint for one problem as a recipe for any: by its forms where it is of the hint language, else as it stands if
    it names nothing of its problem. None where it does."""
    recipe = parse_recipe(text, problem, writer, type_)
    if recipe is not None:
        return recipe
    low = f" {text.casefold()} "
    named = (*problem.entities, *problem.nouns, *map(str, problem.quantities))
    return None if any(word.casefold() in low for word in named) else text_recipe(text, type_, writer)


def _shuffled(rows: Sequence[Recipe], seed: str) -> list[Recipe]:
    found = list(rows)
    random.Random(seed).shuffle(found)
    return found
