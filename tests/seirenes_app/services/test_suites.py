"""Facts about the library of suites, and about what suites are made of: archives, rollouts, drafts, files."""

import json
import threading
from dataclasses import replace

import pytest
from helpers.rollout_runs import make_run

from seirenes_app.inference.client import WorkerClient
from seirenes_app.services.hint_authoring.draft import DraftHint, DraftProblem, Origin, SolverChoice, new_draft, to_json
from seirenes_app.services.hint_authoring.jobs import Job
from seirenes_app.services.suites import (
    Source,
    SuiteOrder,
    Writer,
    draft_pairs,
    fill_order,
    problem_of_row,
    read_drafts,
    write_hints,
)
from seirenes_app.store.workspace import CraftStore, Workspace
from training.core import hint_language
from training.core.archive import ArchivedHint, HintArchive
from training.core.prompts import Placement
from training.core.types import Hint, HintType, Split
from training.errors import UserError
from training.evaluation.suites.builder import frozen_suite
from training.evaluation.suites.io import ITEMS, MANIFEST, write_suite
from training.evaluation.suites.repository import SuiteRepository, check_suite, suite_facts
from training.evaluation.suites.sources import read_run_hints
from training.problem_files import make_problems
from training.runs.config import RunConfig
from training.runs.paths import new_run

MISLEAD = HintType.SEMANTIC_MISLEADING


@pytest.fixture
def library(tmp_path):
    return SuiteRepository(tmp_path / "suites")


@pytest.fixture
def store(tmp_path):
    workspace = Workspace(tmp_path / "workspace.db")
    yield CraftStore(workspace)
    workspace.close()


def order(library, tmp_path, store=None, **wanted):
    def no_model(*_):
        raise AssertionError("no model was asked for")

    write = wanted.pop("write", no_model)
    return fill_order(
        SuiteOrder(**{"name": "mine", "source": Source.FAMILIES, **wanted}), library, sets_folder=tmp_path,
        drafts=lambda: store, write_hints=write,
    )  # fmt: skip


# ---------------------------------------------------------------------- the library


def test_suites_are_listed_and_a_damaged_one_hides_no_other(library):
    assert library.list() == ()
    for name in ("b", "a", "broken"):
        write_suite(library.root / name, frozen_suite(2, 1))
    (library.root / "broken" / MANIFEST).write_text("{")
    (library.root / "no suite").mkdir()
    entries = library.list()
    assert [(e.name, e.manifest is None) for e in entries] == [("a", False), ("b", False), ("broken", True)]
    assert "is damaged" in entries[2].problem


def test_a_suite_is_found_by_name_or_folder_and_near_names_are_told(library, tmp_path):
    write_suite(library.root / "frozen-1", frozen_suite(2, 1))
    write_suite(tmp_path / "elsewhere", frozen_suite(3, 1))
    assert library.open("frozen-1").manifest.problems == 2
    assert library.open(str(tmp_path / "elsewhere")).manifest.problems == 3
    with pytest.raises(UserError, match="frozen-1"):
        library.find("frozen")
    with pytest.raises(UserError, match="suite make"):
        SuiteRepository(tmp_path / "none").find("x")


def test_the_trash_keeps_what_was_deleted_even_twice(library):
    for _ in range(2):
        write_suite(library.root / "s", frozen_suite(2, 1))
        assert (library.trash("s") / ITEMS).is_file()
    assert library.list() == ()
    assert len(list((library.root / ".trash").iterdir())) == 2


def test_facts_are_plain_data(library):
    saved = write_suite(library.root / "s", frozen_suite(3, 1))
    facts = json.loads(json.dumps(suite_facts(saved.folder, saved.manifest)))
    assert (facts["problems"], facts["hints"], facts["mixed"]) == (3, 12, False)
    assert facts["brief_separation"] == "held out / held out"


# ---------------------------------------------------------------------- runs


def archived_run(tmp_path, steps=(5, 10)):
    """A run with checkpoints whose archives hold three hints; the newest one's are its own."""
    config = RunConfig(name="r")
    paths = new_run(tmp_path / "runs", config, "r")
    problems = make_problems(config.data)
    for step in steps:
        archive = HintArchive()
        for n, success in enumerate((0.0, 0.5, 1.0)):
            text = f"Could it be around {700 + step + n}?"
            archive.add(
                ArchivedHint(problems[n].id, MISLEAD, text, step, problems[n].family), success=success, drop=0.5
            )
        folder = paths.checkpoints / f"step_{step:06d}"
        folder.mkdir()
        (folder / "loop.json").write_text(json.dumps({"archive": archive.state_dict()}))
    return paths, problems


def test_the_newest_readable_archive_is_taken_with_the_runs_own_problems(tmp_path):
    paths, problems = archived_run(tmp_path)
    found = read_run_hints(paths, problem_of_row)
    assert (found.source, found.step) == ("the archive of step_000010", 10)
    assert [h.strength for h in found.hints] == [1.0, 0.5, 0.0]
    assert found.hints[0].problem == problems[0]
    assert (found.hints[0].hint.template, found.hints[0].hint.suggested is not None) == (
        "run:r@10",
        problems[0].kind == "number",
    )
    (paths.checkpoints / "step_000010" / "loop.json").write_text("{")
    assert read_run_hints(paths, problem_of_row).source == "the archive of step_000005"


def test_without_a_checkpoint_the_rollouts_tell_the_drop(tmp_path):
    paths = make_run(tmp_path)
    found = read_run_hints(paths, problem_of_row)
    assert found.source == "the rollouts"
    assert found.hints
    assert all(-1 <= h.strength <= 1 for h in found.hints)
    assert {h.hint.template.partition("@")[0] for h in found.hints} == {f"run:{paths.run_id}"}
    one = found.hints[0]
    assert one.problem.question.startswith("Rosa has")
    assert one.problem.id.startswith("p")


def test_a_run_that_has_nothing_yet_says_so(tmp_path):
    with pytest.raises(UserError, match="no rollouts yet"):
        read_run_hints(new_run(tmp_path, RunConfig(), "empty"), problem_of_row)


def test_a_suite_of_a_run_holds_the_strongest_and_says_where_they_are_from(library, tmp_path):
    paths, problems = archived_run(tmp_path)
    done = order(library, tmp_path, source=Source.RUN, named=(str(paths.root),), writer=Writer.ARCHIVE, problems=1)
    assert [i.problem.id for i in done.saved.suite.items] == [problems[0].id]
    recipe = done.saved.manifest.recipe
    assert (recipe["from"], recipe["run"], recipe["newest_step"]) == ("run", "r", 10)
    assert done.saved.manifest.splits["problems"] == {"train": 1}
    assert library.check("mine") == ()
    with pytest.raises(UserError, match="no valid hint of that kind"):
        order(library, tmp_path, name="other", source=Source.RUN, named=(str(paths.root),), writer=Writer.ARCHIVE,
              types=(HintType.CORRELATION_TRAP,))  # fmt: skip


# ---------------------------------------------------------------------- drafts


def draft(*texts, id="d1", placement=Placement.APPEND):
    problem = DraftProblem("Tom has 5 apples and buys 3. How many has he?", "8")
    all_hints = tuple(DraftHint(f"c{n}", text, MISLEAD, Origin.HAND) for n, text in enumerate(texts))
    return replace(new_draft(problem), id=id, hints=all_hints, placement=placement)


def test_a_suite_of_drafts_leaves_out_what_the_gates_refuse(library, tmp_path, store):
    one = draft("Could it be 20?", "It is 8.", placement=Placement.PREPEND)
    store.save(one.id, "first", to_json(one))
    done = order(library, tmp_path, store, source=Source.DRAFT, named=("d",), writer=Writer.ARCHIVE)
    assert [h.text for h in done.saved.suite.items[0].hints] == ["Could it be 20?"]
    assert done.tally.refused == {"states_answer": 1}
    assert done.saved.manifest.placement is Placement.PREPEND
    assert done.saved.manifest.authors == {"hand": 1}


def test_drafts_are_found_by_the_beginning_of_their_id(store):
    for id in ("abc", "abd"):
        store.save(id, f"title {id}", to_json(draft("Could it be 20?", id=id)))
    assert [d.id for d in read_drafts(store, ["abd", "abc"])] == ["abd", "abc"]
    with pytest.raises(UserError, match="More than one draft 'ab'"):
        read_drafts(store, ["ab"])
    with pytest.raises(UserError, match=r"No draft 'x'.*title abc"):
        read_drafts(store, ["x"])


def test_drafts_that_do_not_go_together_are_refused():
    with pytest.raises(UserError, match="place their hints differently"):
        draft_pairs([draft("a b"), draft("c d", placement=Placement.PREPEND)])
    with pytest.raises(UserError, match="no hint"):
        draft_pairs([draft()])


# ---------------------------------------------------------------------- problem sets and models


def test_a_suite_of_a_file_tells_its_source_and_licence(library, tmp_path):
    file = tmp_path / "set.jsonl"
    rows = [{"question": f"Tom has {n} apples and buys 2. How many?", "answer": n + 2} for n in range(20)]
    file.write_text("\n".join(map(json.dumps, [*rows, {"question": "Why?", "answer": "because of it all"}])))
    done = order(library, tmp_path, source=Source.PROBLEMS, named=(str(file),), problems=5)
    manifest = done.saved.manifest
    assert (manifest.problems, manifest.hints, manifest.splits["problems"]) == (5, 20, {"none": 5})
    assert (manifest.recipe["source"], manifest.recipe["of"], manifest.recipe["rejected"]) == ("set.jsonl", 20, 1)
    assert "licence not stated" in manifest.licence
    assert str(tmp_path) not in (done.saved.folder / MANIFEST).read_text()


def test_what_a_model_writes_passes_the_gates_or_is_counted(library, tmp_path):
    def write(choice, problems, types, seed):
        return {
            (p.id, t): (Hint(t, f"It is {p.answer}.", "model:m"), Hint(t, f"Think of {t}, please.", "model:m"))
            for p in problems for t in types
        }  # fmt: skip

    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"")
    done = order(library, tmp_path, writer=Writer.MODEL, model=str(gguf), problems=3, write=write)
    assert done.saved.manifest.authors == {"model": 12}
    assert done.tally.refused == {"states_answer": 12}
    assert done.saved.manifest.recipe["model"] == "m.gguf"


def test_an_interrupted_model_leaves_no_suite(library, tmp_path):
    gguf = tmp_path / "m.gguf"
    gguf.write_bytes(b"")
    assert order(library, tmp_path, writer=Writer.MODEL, model=str(gguf), problems=3, write=lambda *_: None) is None
    assert library.list() == ()


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"writer": Writer.ARCHIVE}, "Only a run has an archive"),
        ({"source": Source.RUN, "named": ("r",)}, "Leave out --hints"),
        ({"source": Source.PROBLEMS}, "one file or preset"),
        ({"named": ("x",)}, "no name"),
        ({"families": ("nope",)}, "no family nope"),
        ({"source": Source.PROBLEMS, "named": ("x",), "families": ("clock",)}, "--families"),
        ({"source": Source.PROBLEMS, "named": ("nowhere.jsonl",)}, "no file"),
        ({"name": "../up"}, "cannot be a suite's name"),
    ],
)
def test_orders_that_mean_nothing_are_refused_before_any_work(library, tmp_path, wanted, words):
    with pytest.raises(UserError, match=words):
        order(library, tmp_path, **wanted)
    assert library.list() == ()


def test_a_model_that_is_stopped_keeps_what_it_has_written(tmp_path):
    said, over = [], threading.Event()
    problems = frozen_suite(4, 1).items
    with WorkerClient() as client:

        def show(done, planned):
            said.append((done, planned))
            job.cancel()

        job = Job(client, lambda written: (said.append(written), over.set()), said.append, write_hints, SolverChoice(),
                  [i.problem for i in problems], (MISLEAD,), 1, show)  # fmt: skip
        assert over.wait(60)
    assert said[0] == (1, 4)
    (hints,) = said[-1].values()
    assert len(hints) == 4
    assert {hint.template for hint in hints} == {"model:starter-f16"}


def test_the_same_problems_with_templates_of_either_split(library, tmp_path):
    made = [order(library, tmp_path, name=t, problems=6, templates=t).saved for t in Split]
    ids = [[item.problem.id for item in saved.suite.items] for saved in made]
    assert ids[0] == ids[1]
    assert {h.split for h in made[0].suite.items[0].hints} != {h.split for h in made[1].suite.items[0].hints}
    assert [saved.manifest.recipe["templates"] for saved in made] == [str(t) for t in Split]
    assert {saved.manifest.recipe["language"] for saved in made} == {hint_language.VERSION}
    assert all(check_suite(saved.folder) == () for saved in made)
