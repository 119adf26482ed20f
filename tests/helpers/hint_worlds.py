"""Hints of runs that never were: what they say and how often they succeed is known."""

import random

import numpy as np

from training.core.problems import NAMES, THINGS
from training.core.types import HintType
from training.rollouts.reader import HintOutcomes, HintTables, WrittenHint

SOLUTIONS = 4


def problem(i):
    """A question with a person, a thing and two numbers of its own, and its answer."""
    name, thing = NAMES[i % 20], THINGS[i % 10].many
    a, b = 20 + i % 30, 5 + i % 10
    return (
        "transfer",
        f"{name} has {a} {thing}. {name} loses {b} {thing}. How many {thing} does {name} have?",
        str(a - b),
    )


def sentence(rng, question, *, own_thing):
    """A plain remark with random words; `own_thing` names the problem's thing."""
    things = [t.many for t in THINGS]
    asked = next(t for t in things if t in question)
    others = [t for t in things if t not in question]
    thing = asked if own_thing else rng.choice(others)
    name = rng.choice([n for n in NAMES[25:] if n not in question])
    verb = rng.choice(["sees", "likes", "paints", "moves"])
    cue = rng.choice(["", " Note that it is often so.", " Maybe it is usual."])
    return f"In {rng.choice(['another', 'a different'])} story {name} {verb} {rng.randrange(100, 900)} {thing}.{cue}"


def make_tables(
    seed, *, problems=80, steps=24, per_step=24, effect=1.5, trend=0.0, form_trend=0.0, replays=0, spread=0.8, base=-1.2
):
    """Hints of which those with the problem's own thing raise the log-odds of a wrong solution by `effect`.

    `trend` is added to all log-odds from the first step to the last; `form_trend` moves the share of own things from
    0.5 − form_trend to 0.5 + form_trend. `replays` hints a step are drawn from what was played, by (1 − success)².
    """
    rng, draw = random.Random(seed), np.random.default_rng(seed)
    asked = {f"p{i}": problem(i) for i in range(problems)}
    hard = {id_: draw.normal(0, spread) for id_ in asked}
    written, played, archive = [], [], []

    def odds(id_, own, step):
        return base + hard[id_] + effect * own + trend * (step - 1) / max(1, steps - 1)

    def outcomes(step, hint_id, id_, text, own, *, archived):
        wrong = int(draw.binomial(SOLUTIONS, 1 / (1 + np.exp(-odds(id_, own, step)))))
        clean = float(draw.binomial(8, 1 / (1 + np.exp(hard[id_] - 2.5))) / 8)
        played.append(HintOutcomes(
            step, hint_id, id_, HintType.INFORMATION_OVERLOAD, text, archived, SOLUTIONS, SOLUTIONS - wrong, 0, 0, clean, "",
        ))  # fmt: skip
        return wrong / SOLUTIONS

    for step in range(1, steps + 1):
        again = []
        if archive and replays:
            weights = np.array([w**2 + 0.02 for *_, w in archive])
            picked = draw.choice(
                len(archive), size=min(replays, len(archive)), replace=False, p=weights / weights.sum()
            )
            again = [archive[i] for i in picked]
        for k in range(per_step):
            id_ = rng.choice(list(asked))
            share = 0.5 + form_trend * (2 * (step - 1) / max(1, steps - 1) - 1)
            own = rng.random() < share
            text = sentence(rng, asked[id_][1], own_thing=own)
            hint_id = f"{id_}#{step}-{k}"
            written.append(WrittenHint(step, hint_id, id_, HintType.INFORMATION_OVERLOAD, text, ""))
            wrong = outcomes(step, hint_id, id_, text, own, archived=False)
            archive.append((id_, text, own, wrong))
        for j, (id_, text, own, _w) in enumerate(again):
            outcomes(step, f"archive:{step}-{j}", id_, text, own, archived=True)
    return HintTables(tuple(written), tuple(played), asked)
