"""Reckoning of self-play with models of 4B to 30B parameters: tokens, memory, time, money, and the limits on the way.

Nothing here is measured on a cluster. Every figure is a range [low, high] from published figures and named assumptions;
`resources/docs/scale.md` has the sources and shows what `tables` returns. No Qt, no I/O.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from seirenes_app.services.formatting import short_count
from training.errors import UserError
from training.memory import TOKEN_BYTES


class Span(NamedTuple):
    """A range of a quantity that is not negative."""

    low: float
    high: float

    def __add__(self, other: Span | float) -> Span:  # type: ignore[override]
        other = _span(other)
        return Span(self.low + other.low, self.high + other.high)

    def __mul__(self, other: Span | float) -> Span:  # type: ignore[override]
        other = _span(other)
        return Span(self.low * other.low, self.high * other.high)

    def __truediv__(self, other: Span | float) -> Span:
        """The widest range of the quotient."""
        other = _span(other)
        return Span(self.low / other.high, self.high / other.low)


def _span(value: Span | float) -> Span:
    return value if isinstance(value, Span) else Span(value, value)


_NUMBER = r"(\d+(?:\.\d+)?)"
_SPAN = re.compile(rf"{_NUMBER}(?:\s*[-–]\s*{_NUMBER})?")


def parse_span(text: str) -> Span:
    """The range in '8' or '64-128'. Raises a UserError where it is none, or has no quantity above 0."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise UserError(f"{text!r} is not a range. Write a number, or two as in 64-128.")
    low, high = float(found[1]), float(found[2] or found[1])
    if not 0 < low <= high:
        raise UserError(f"The range {text} must start above 0 and not end before it starts.")
    return Span(low, high)


# ---------------------------------------------------------------------- what is assumed


@dataclass(frozen=True)
class Prices:
    """Dollars for a million tokens of a hosted training API."""

    prefill: Span
    sample: Span
    train: Span


@dataclass(frozen=True)
class ScaleModel:
    """A model: its shape, the length of its solutions in tokens, and the speed of training it on one H100.

    `rate`: tokens of prompts and completions a second, of whole steps (sampling, learning, handing weights over).
    """

    name: str
    layers: int
    width: int
    query_width: int
    cache_width: int
    """Key-value heads times their width."""
    inner: int
    vocabulary: int
    tied: bool
    solution: Span
    rate: Span
    prices: Prices
    experts: int = 1

    @property
    def parameters(self) -> float:
        """Weights of the linear layers and of the embeddings."""
        layer = 2 * self.width * (self.query_width + self.cache_width)
        layer += 3 * self.width * self.inner * self.experts
        layer += self.width * self.experts if self.experts > 1 else 0
        return self.layers * layer + (1 if self.tied else 2) * self.vocabulary * self.width

    def adapter(self, rank: int) -> Span:
        """Weights of a LoRA adapter, which has rank × (inputs + outputs) for a linear layer: of attention alone, and of
        all linear layers with all experts."""
        attention = 2 * (self.width + self.query_width) + 2 * (self.width + self.cache_width)
        every = attention + 3 * (self.width + self.inner) * self.experts
        return Span(self.layers * rank * attention, self.layers * rank * every)

    @property
    def cache_bytes(self) -> float:
        """Bytes of keys and values of one token, in bfloat16."""
        return 2 * 2 * self.layers * self.cache_width


DENSE_8B = Span(1581, 2478)
"""Tokens a second on one H100: NeMo RL 0.5, Llama 3.1 8B, GRPO, all weights trained; on policy, one step off policy."""
MOE_30B = Span(1102, 1414)
"""The same of NeMo RL 0.6 and Qwen3-30B-A3B."""
TWO_WAVES = 0.5
"""Of the published on-policy speed, at the lower end: hinted solutions wait for the hints, so that a step has two waves
of sampling, and each ends with its longest text."""

MODELS = (
    ScaleModel(
        "4B", 36, 2560, 4096, 1024, 9728, 151_936, True, Span(1500, 5000),
        # Not published: the 8B's, at the upper end by the number of parameters.
        Span(TWO_WAVES * DENSE_8B.low, DENSE_8B.high * 8.03 / 4.02),
        Prices(Span(0.07, 0.33), Span(0.22, 1.005), Span(0.22, 0.737)),
    ),
    ScaleModel(
        "7B", 28, 3584, 3584, 512, 18_944, 152_064, False, Span(600, 1200),
        Span(TWO_WAVES * DENSE_8B.low, DENSE_8B.high),
        Prices(Span(0.13, 0.195), Span(0.40, 0.60), Span(0.40, 0.44)),
    ),
    ScaleModel(
        "30B-A3B", 48, 2048, 4096, 512, 768, 151_936, False, Span(2500, 5000),
        Span(TWO_WAVES * MOE_30B.low, MOE_30B.high),
        Prices(Span(0.12, 0.54), Span(0.30, 1.335), Span(0.36, 1.177)), experts=128,
    ),
)  # fmt: skip

DRIVER = ((70, 2.47), (230, 3.79), (718, 5.69))
"""Processor seconds of the loop for 1,000 rollouts of so many tokens, on one core: `tests/bench/bench_driver.py`."""
REQUEST_BYTES = 66.0
"""Of a token in the request of an update, as JSON: its number twice, weight, advantage and log-probability."""
REQUEST_LIMIT = 1e9
"""The largest row of SQLite, where SkyRL keeps a request (SQLITE_MAX_LENGTH, as built by default)."""
DATABASE_BYTES = Span(4, 35)
"""Of a token in `rollouts.db`: its characters alone; what the recorded run takes, whose texts are short."""
CARD_BYTES = 80e9
"""Of an H100."""
CARD_SHARE = 0.9
"""Of its memory, for weights and cache of the sampler."""


@dataclass(frozen=True)
class Plan:
    """A run. The defaults are assumed: the paper's batch is not in its abstract or its README."""

    questions: Span = Span(64, 128)
    clean: Span = Span(8, 8)
    hints: Span = Span(4, 4)
    hinted: Span = Span(4, 8)
    steps: Span = Span(200, 400)
    prompt_tokens: Span = Span(150, 300)
    hint_tokens: Span = Span(60, 200)
    trained: Span = Span(0.25, 1.0)
    """Of the rollouts: those whose group has a spread of rewards, so that they are learned from."""
    price: Span = Span(2.0, 5.0)
    """Dollars for an hour of an H100."""
    gpus: int = 32
    rank: int = 32
    solution_tokens: Span | None = None
    """Instead of the models' own."""


SPANS = tuple(f.name for f in fields(Plan) if isinstance(f.default, Span) or f.default is None)


# ---------------------------------------------------------------------- what follows


@dataclass(frozen=True)
class Reckoning:
    """A plan with one model. Tokens, bytes, hours and dollars; a step's unless it says a run's."""

    model: ScaleModel
    plan: Plan
    times: float = 1.0
    """So many times the plan's questions a step."""

    @property
    def questions(self) -> Span:
        return self.plan.questions * self.times

    @property
    def rollouts(self) -> Span:
        return self.questions * (self.plan.clean + self.plan.hints + self.plan.hints * self.plan.hinted)

    @property
    def sampled(self) -> Span:
        """Tokens of completions."""
        solutions = self.plan.clean + self.plan.hints * self.plan.hinted
        return self.questions * (solutions * self.solution + self.plan.hints * self.plan.hint_tokens)

    @property
    def prompts(self) -> Span:
        """Tokens of prompts, one for each rollout."""
        p = self.plan
        return self.questions * (
            (p.clean + p.hints) * p.prompt_tokens + p.hints * p.hinted * (p.prompt_tokens + p.hint_tokens)
        )

    @property
    def solution(self) -> Span:
        return self.plan.solution_tokens or self.model.solution

    @property
    def tokens(self) -> Span:
        """Prompts and completions, each rollout with its own prompt."""
        return self.sampled + self.prompts

    @property
    def run_tokens(self) -> Span:
        return self.tokens * self.plan.steps

    @property
    def gpu_hours(self) -> Span:
        """Of a run."""
        return self.run_tokens / self.model.rate / 3600

    @property
    def step_s(self) -> Span:
        return self.tokens / self.model.rate / self.plan.gpus

    @property
    def hosted(self) -> Span:
        """Dollars of a run by the token. At the lower end a prompt is read once for its group of completions."""
        p, prices = self.plan, self.model.prices
        read = Span(self.questions.low * (2 + p.hints.low) * p.prompt_tokens.low, self.prompts.high)
        step = read * prices.prefill + self.sampled * prices.sample + self.tokens * p.trained * prices.train
        return step * p.steps / 1e6

    @property
    def adapter_bytes(self) -> Span:
        """In training: weights, gradient and two moments in float32."""
        return self.model.adapter(self.plan.rank) * 16

    @property
    def state_bytes(self) -> Span:
        """Saved after each update: the adapter and two moments in float32."""
        return self.model.adapter(self.plan.rank) * 12

    @property
    def at_once(self) -> Span:
        """Rollouts in the cache of one H100 that samples, at their full length."""
        free = CARD_SHARE * CARD_BYTES - 2 * self.model.parameters
        return Span(max(0.0, free), max(0.0, free)) / (
            (self.solution + self.plan.prompt_tokens) * self.model.cache_bytes
        )

    @property
    def request_bytes(self) -> Span:
        """Of the one request of an update."""
        return self.tokens * self.plan.trained * REQUEST_BYTES

    @property
    def driver_s(self) -> Span:
        """Processor seconds of the loop."""
        rollout, token = driver_line()
        return (self.rollouts * rollout + self.sampled * token) / 1000

    @property
    def driver_rate(self) -> Span:
        """Tokens a second that one core of the driver takes in; the longer the texts, the more."""
        return Span(*sorted((self.tokens.low / self.driver_s.low, self.tokens.high / self.driver_s.high)))

    @property
    def driver_gpus(self) -> Span:
        """H100 that one core of the driver keeps busy."""
        return self.driver_rate / self.model.rate

    @property
    def driver_bytes(self) -> Span:
        """What the driver keeps of a step."""
        return self.sampled * TOKEN_BYTES

    @property
    def database_bytes(self) -> Span:
        """Of a run."""
        return self.sampled * self.plan.steps * DATABASE_BYTES


def driver_line() -> tuple[float, float]:
    """Milliseconds of the loop for a rollout and for a token of it: the straight line through the first and the last
    measured length."""
    (short, few), (long, many) = DRIVER[0], DRIVER[-1]
    token = (many - few) / (long - short)
    return few - token * short, token


# ---------------------------------------------------------------------- the tables


def _plain(value: float) -> str:
    """Two significant digits, as no figure here has more; whole numbers below 100 as they are."""
    if value >= 100:
        digits = 2 - len(f"{value:.0f}")
        return f"{round(value, digits):,.0f}"
    return f"{value:.2g}"


def _show(found: Span, text: Callable[[float], str] = _plain) -> str:
    low, high = text(found.low), text(found.high)
    return low if low == high else f"{low}–{high}"


def _count(value: float) -> str:
    return short_count(float(f"{value:.2g}"))


def _bytes(value: float) -> str:
    """In powers of 1000, as memory of cards and prices of disks are given."""
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if value >= size:
            return f"{_plain(value / size)} {unit}"
    return f"{_plain(value / 1e3)} kB"


def _dollars(value: float) -> str:
    return f"${_plain(value)}"


Row = tuple[str, Callable[[Reckoning], str]]

RUN_ROWS: tuple[Row, ...] = (
    ("Rollouts a step", lambda r: _show(r.rollouts, lambda v: f"{v:,.0f}")),
    ("Tokens of a solution, assumed", lambda r: _show(r.solution, lambda v: f"{v:,.0f}")),
    ("Tokens sampled a step", lambda r: _show(r.sampled, _count)),
    ("Tokens of a run, with prompts", lambda r: _show(r.run_tokens, _count)),
    ("Tokens a second on one H100, whole steps", lambda r: _show(r.model.rate)),
    ("H100 hours of a run", lambda r: _show(r.gpu_hours)),
    ("Hours of a run on {gpus} H100", lambda r: _show(r.gpu_hours / r.plan.gpus)),
    ("Money, H100 rented", lambda r: _show(r.gpu_hours * r.plan.price, _dollars)),
    ("Money, hosted by the token", lambda r: _show(r.hosted, _dollars)),
    ("Weights in bfloat16", lambda r: _bytes(2 * r.model.parameters)),
    ("Adapter of rank {rank}, with gradient and moments", lambda r: _show(r.adapter_bytes, _bytes)),
    ("All weights trained instead", lambda r: _bytes(16 * r.model.parameters)),
    ("Cache of one token", lambda r: _bytes(r.model.cache_bytes)),
    ("Rollouts at once on one H100", lambda r: _show(r.at_once)),
    ("H100 that one core of the driver keeps busy", lambda r: _show(r.driver_gpus)),
)
GROWTH_ROWS: tuple[Row, ...] = (
    ("Rollouts a step", lambda r: _show(r.rollouts, _count)),
    ("H100 for the step time of 1×", lambda r: _plain(r.plan.gpus * r.times)),
    ("Request of an update", lambda r: _show(r.request_bytes, _bytes)),
    ("… of what SQLite takes in one row", lambda r: _show(r.request_bytes / REQUEST_LIMIT * 100) + "%"),
    ("Memory of the driver for a step", lambda r: _show(r.driver_bytes, _bytes)),
    ("Cores of the driver at that step time", lambda r: _show(Span(1, 1) * (r.plan.gpus * r.times) / r.driver_gpus)),
    ("`rollouts.db` of a run", lambda r: _show(r.database_bytes, _bytes)),
    ("Questions of a run", lambda r: _show(r.questions * r.plan.steps, _count)),
    ("Money, H100 rented", lambda r: _show(r.gpu_hours * r.plan.price, _dollars)),
)


def run_table(models: Sequence[ScaleModel], plan: Plan) -> list[list[str]]:
    """A run with each model, the head first."""
    found = [Reckoning(m, plan) for m in models]
    return _table(["", *(m.name for m in models)], RUN_ROWS, found)


def growth_table(model: ScaleModel, plan: Plan, times: Sequence[float] = (1, 10, 100)) -> list[list[str]]:
    """What grows with the rollouts of a step, the head first."""
    return _table([model.name, *(f"{n:g}×" for n in times)], GROWTH_ROWS, [Reckoning(model, plan, n) for n in times])


def _table(head: list[str], rows: Sequence[Row], found: Sequence[Reckoning]) -> list[list[str]]:
    plan = found[0].plan
    return [head, *([name.format(gpus=plan.gpus, rank=plan.rank), *map(value, found)] for name, value in rows)]


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table of Markdown whose columns are aligned."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]

    def line(row: Sequence[str]) -> str:
        cells = (c.ljust(w) if not i else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        return f"| {' | '.join(cells)} |"

    rule = "|" + "|".join("-" * (w + 2) if not i else "-" * (w + 1) + ":" for i, w in enumerate(widths)) + "|"
    return "\n".join([line(table[0]), rule, *map(line, table[1:])])


def describe_driver() -> str:
    """What the loop itself costs, measured."""
    seconds = ", ".join(f"{s:g}" for _, s in DRIVER)
    lengths = ", ".join(f"{n}" for n, _ in DRIVER)
    feeds = ", ".join(f"{round(n / s * 1000, -3):,.0f}" for n, s in DRIVER)
    rollout, token = driver_line()
    return (
        f"The loop itself: {seconds} processor seconds for 1,000 rollouts of {lengths} tokens, or {feeds} tokens a "
        f"second on one core; as a line {rollout:.1f} ms a rollout and {1000 * token:.1f} µs a token."
    )


def tables(models: Sequence[ScaleModel] = MODELS, plan: Plan = Plan()) -> str:
    """What the page shows: a run with each model; what grows, with the last of them; what the loop costs."""
    return "\n\n".join((markdown(run_table(models, plan)), markdown(growth_table(models[-1], plan)), describe_driver()))
