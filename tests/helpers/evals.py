"""Small evaluations: plans, a solver without a model, stores filled by a rule, and what a store holds."""

import sqlite3
import time
from collections import defaultdict
from dataclasses import replace

from training.core.answers import AnswerGrader
from training.core.prompts import Placement, reasoner_messages
from training.core.types import Condition, Outcome
from training.evaluation.eval_dir import describe_suite, fingerprint, new_evaluation, open_suite, stored_item
from training.evaluation.evaluator import Sampled, grade_rows, prompts_of
from training.evaluation.metrics import summarise_target
from training.evaluation.outcome_arrays import NO_TYPE, TYPES
from training.evaluation.plan import EvalKey, EvalPlan, SuiteRef, Target, TargetKind, chunks
from training.evaluation.run_store import step_chunks
from training.evaluation.store import StoredRow, StoreWriter, pack_rows
from training.evaluation.store_reader import StoreReader
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import write_suite
from training.prompt_files import COMPACT, built_in
from training.runs.control import StopRequested


def small_plan(problems=6, targets=("a",), **options):
    """The first problems of the frozen suite on models that are not there."""
    return EvalPlan(
        targets=tuple(Target(name, f"/models/{name}") for name in targets),
        suites=(describe_suite("frozen:1", problems),),
        **{"chunk_items": 4, **options},
    )


def suite_with_a_long_problem(folder, problems=3):
    """A reference to a suite whose second problem has more tokens than the bundled model's context."""
    suite = frozen_suite(problems, 3)
    first, second, *others = suite.items
    long = replace(second.problem, question="There are 7 apples here. " * 200 + second.problem.question)
    items = (first, replace(second, problem=long), *others)
    return describe_suite(write_suite(folder, replace(suite, items=items)).folder)


def check_long_rows(paths, plan):
    """What an evaluation of that suite holds: the long problem counts, and is neither wrong nor unreadable."""
    (suite,), (target,) = plan.suites, plan.targets
    assert verify(paths.rows) == ()
    with StoreReader(paths.rows) as reader:
        rows = [t.row for t in reader.all_traces()]
        clean = summarise_target(reader.cells(), target.name, suite.name).accuracy(Condition.CLEAN)
    long = [row for row in rows if row.key.item == 1]
    assert len(long) == 10 * plan.samples
    assert {(r.outcome, r.answer, r.completion, r.truncated, r.tokens) for r in long} == {
        (Outcome.TOO_LONG, "", "", False, 0)
    }
    assert Outcome.TOO_LONG not in {row.outcome for row in rows if row.key.item != 1}
    assert clean.rows == suite.problems * plan.samples
    assert clean.too_long == 1 / suite.problems
    assert clean.unparsable + clean.truncated < 1


def fill(folder, plan, rule, truncated=lambda key: False):
    """An evaluation whose rows are what `rule(key, problem)` says: an answer's text, or None for none."""
    paths = new_evaluation(folder, plan, "test")
    store = StoreWriter(paths.rows, plan)
    suites = {ref.name: open_suite(paths, ref) for ref in plan.suites}
    for ref in plan.suites:
        store.add_suite(ref.name, suites[ref.name].digest, ref.placement, suites[ref.name].items)
    for chunk in chunks(plan):
        rows = []
        for place in range(chunk.start, chunk.stop):
            item = suites[chunk.suite].items[place]
            for text in item.texts[chunk.condition]:
                for sample in range(plan.samples):
                    key = EvalKey(chunk.target, chunk.suite, chunk.condition, place, text.index, sample)
                    rows.append(_row(key, item.problem, text, rule(key, item.problem), truncated(key)))
        store.commit(chunk, rows, 0.1)
    store.close()
    return paths


def _row(key, problem, text, answer, truncated):
    unread = Outcome.TRUNCATED if truncated else Outcome.UNPARSABLE
    outcome = unread if answer is None else Outcome.RIGHT if answer == problem.answer else Outcome.WRONG
    follows = None if text.suggested is None else answer == text.suggested
    completion = "no idea" if answer is None else f"#### {answer}"
    return StoredRow(key, outcome, answer or "", follows, truncated, 3, completion)


def greedy_rows(backend, suite, max_tokens, prompts=None):
    """A model's greedy rows on a whole suite, solved in one batch, each with its problem."""
    from training.engine.base import SamplingParams
    from training.evaluation.torch_evaluator import sample_texts

    ref = SuiteRef(suite.name, "suite", suite.digest(), len(suite.items))
    items = tuple(map(stored_item, suite.items))
    asked = [(chunk, prompts_of(items, chunk)) for chunk in step_chunks(0, ref)]
    chats = [
        reasoner_messages(p.shown(Placement.APPEND), prompts or built_in(COMPACT)) for _, shown in asked for p in shown
    ]
    solved = iter(sample_texts(backend, chats, 1, SamplingParams(max_tokens, 0.0)))
    rows = []
    for chunk, shown in asked:
        graded = grade_rows(chunk, shown, [next(solved) for _ in shown], AnswerGrader())
        rows += [(row, prompt.item.problem) for row, prompt in zip(graded, shown, strict=True)]
    return rows


class FakeEngine:
    """Answers with a number out of the seed and the question; may wait, fail to open, or ask for a stop by itself."""

    def __init__(self, model, *, broken=(), wait_s=0.0, on_solve=None):
        self.model, self.broken, self.wait_s, self.on_solve = model, broken, wait_s, on_solve
        self.opened, self.asked, self.closed = [], [], False

    special_texts = frozenset()
    remote = None

    def identify(self, target):
        return fingerprint(self.model)

    def open(self, target, plan, kept):
        if target.name in self.broken:
            raise self.broken[target.name]
        self.opened.append((target.name, dict(kept)))
        return {"threads": 3}

    def solve(self, chats, ask):
        self.asked.append((len(chats), ask.seed))
        if self.on_solve is not None:
            self.on_solve(len(self.asked))
        answers = []
        for place, chat in enumerate(chats):
            time.sleep(self.wait_s)
            if ask.cancelled():
                raise StopRequested
            text = chat[-1]["content"]
            answers.append([
                Sampled(f"#### {(len(text) + ask.seed + sample) % 7}", False, 2) for sample in range(ask.samples)
            ])  # fmt: skip
            ask.progress(place + 1, len(chats))
        return answers

    def close(self):
        self.closed = True


KINDS = (TargetKind.TORCH,)


def contents(rows_db):
    """Everything that makes two evaluations equal: rows in the order of their keys, and cells."""
    with sqlite3.connect(rows_db) as db:
        rows = db.execute(
            "SELECT target, suite, condition, item, idx, sample, outcome, answer, follows, truncated, tokens, "
            "completion FROM rows ORDER BY 1, 2, 3, 4, 5, 6"
        ).fetchall()
        cells = db.execute("SELECT target, suite, condition, start, data FROM cells ORDER BY 1, 2, 3, 4").fetchall()
    return rows, cells


def verify(path):
    """What is wrong with a store: cells that are not those of its rows, chunks whose rows are missing or too many."""
    with StoreReader(path) as reader:
        traces = list(reader.all_traces())
    with sqlite3.connect(path) as db:
        targets, suites = (dict(db.execute(f"SELECT name, id FROM {t}")) for t in ("targets", "suites"))
        chunk_rows = db.execute("SELECT target, suite, condition, start, stop, rows FROM chunks").fetchall()
        cells = {tuple(row[:4]): row[4] for row in db.execute("SELECT * FROM cells")}
    of_block = defaultdict(list)
    for t in traces:
        of_block[targets[t.row.key.target], suites[t.row.key.suite], t.row.key.condition].append(t)
    faults = [] if sum(c[-1] for c in chunk_rows) == len(traces) else ["the chunks count other rows"]
    for target, suite, condition, start, stop, counted in chunk_rows:
        mine = [t for t in of_block[target, suite, condition] if start <= t.row.key.item < stop]
        kinds = {t.row.key.item: t.problem.kind for t in mine}
        types = {
            (t.row.key.item, t.row.key.index): TYPES.index(t.prompt.hint_type) if t.prompt.hint_type else NO_TYPE
            for t in mine
        }
        packed = pack_rows(sorted((t.row for t in mine), key=lambda row: row.key), kinds, types).tobytes()
        if len(mine) != counted or cells.get((target, suite, condition, start)) != packed:
            faults.append(f"{target} {suite} {condition} {start}")
    return tuple(faults)
