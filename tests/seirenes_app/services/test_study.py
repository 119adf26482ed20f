import json
import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.studies import DEFINITION, SERVED, SKILL, define, measured_study

from seirenes_app.services.evaluations import open_rows
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.services.study.definition import (
    START,
    BestResponse,
    PartKind,
    Variant,
    base_config,
    bundled_definitions,
    find_study,
    list_studies,
    new_study,
    parts_of,
    read_definition,
    read_study,
    response_config,
    run_config,
)
from seirenes_app.services.study.execution import (
    PartState,
    PartStatus,
    StudyProcess,
    StudyRepository,
    StudyState,
    StudyWatch,
    expected_times,
    extend_study,
    measures_plan,
    parts_left,
    played_seconds,
    read_summary,
    reduce,
    run_folder,
    run_study,
    step_within,
    sum_seconds,
)
from seirenes_app.services.study.results import (
    Basis,
    Difference,
    Goal,
    GoalKind,
    GoalStatus,
    Measure,
    all_figures,
    conclusions,
    differences_table,
    goal_sentence,
    lengths_table,
    main_table,
    read_results,
    seeds_table,
)
from training.core.statistics import Interval, SeedMean
from training.core.types import Role
from training.engine.models import bundled_starter
from training.errors import UserError
from training.evaluation.eval_dir import EvalDir
from training.evaluation.outcome_arrays import right_rates
from training.runs.config import Mode, trained_roles, with_overrides
from training.runs.control import ProcessControl
from training.runs.events import Event, EventKind, EventLog, EventTail
from training.runs.lock import RunLock
from training.runs.paths import new_run
from training.runs.status import History, RunState, RunStatus


def with_responses(study, rollouts=100):
    return replace(study, response=BestResponse(rollouts))


# ---------------------------------------------------------------------- definition and parts


def test_every_variant_and_seed_is_a_run_and_the_measures_come_last(tmp_path):
    study = define(tmp_path)
    parts = parts_of(study)
    assert [p.kind for p in parts] == [PartKind.RUN] * 9 + [PartKind.MEASURES]
    assert [(p.variant, p.seed) for p in parts[:3]] == [("seirenes", 0), ("static", 0), ("random", 0)]
    assert len({p.id for p in parts}) == len(parts)


def test_a_best_response_waits_for_its_run_and_is_made_to_the_start_too(tmp_path):
    parts = parts_of(with_responses(define(tmp_path)))
    responses = [p for p in parts if p.kind is PartKind.RESPONSE]
    assert [(p.variant, p.seed) for p in responses if p.variant == START] == [(START, 0)]
    assert len(responses) == 10
    known = set()
    for part in parts:
        assert set(part.needs) <= known
        known.add(part.id)


def test_all_runs_of_a_study_have_the_same_rollouts_and_differ_by_mode_and_seed(tmp_path):
    study = define(tmp_path)
    configs = {(v.name, s): run_config(study, v.name, s) for v in study.variants for s in study.seeds}
    assert {c.max_rollouts for c in configs.values()} == {400}
    assert {c.data.seed for c in configs.values()} == {0, 1, 2}
    assert {c.mode for c in configs.values()} == {Mode.SEIRENES, Mode.STATIC, Mode.RANDOM}
    assert {c.rollout.questions for c in configs.values()} == {4}
    # Steps never end a run before its rollouts do, even if every hint is refused.
    assert all(c.steps * c.rollout.questions * c.rollout.clean >= 400 for c in configs.values())


def test_a_definition_is_kept_whole_so_that_a_changed_preset_changes_no_study(tmp_path):
    study = define(tmp_path)
    paths = new_study(study, tmp_path / "studies")
    assert read_study(paths) == study
    assert base_config(read_study(paths)).evaluation.problems == 60
    assert find_study("made", tmp_path / "studies").root == paths.root
    assert new_study(study, tmp_path / "studies").run_id == "made-2"
    assert len(list_studies(tmp_path / "studies")) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('rollouts = 400', 'rollouts = 0'), "rollouts is 0"),
        (('modes = ["seirenes", "static", "random"]', 'modes = []'), "no variant"),
        (('"static"', '"seirenes"'), "two variants are called 'seirenes'"),
        (('seeds = [0, 1, 2]', 'seeds = [0, 0]'), "a seed is named twice"),
        (('problems = 12', 'problem = 12'), "problem"),
        (('rollouts = 400', ''), "rollouts"),
        (('"data.pool=16"', '"data.pol=16"'), "data.pool"),
        (('config = "quick"', 'config = "nosuch"'), "nosuch"),
        (('[0, 1, 2]', '[0, 1'), "not a readable study definition"),
    ],
)  # fmt: skip
def test_a_definition_with_a_mistake_says_which(tmp_path, change, said):
    with pytest.raises(UserError, match=said):
        define(tmp_path, DEFINITION.replace(*change))


def test_a_variant_is_a_group_of_settings(tmp_path):
    study = define(tmp_path, DEFINITION + '[[variants]]\nname = "no archive"\nset = ["curriculum.replay_share=0"]\n')
    assert study.variants[-1] == Variant("no archive", Mode.SEIRENES, ("curriculum.replay_share=0",))
    assert run_config(study, "no archive", 1).curriculum.replay_share == 0
    with pytest.raises(UserError, match="no archive"):
        define(tmp_path, DEFINITION + '[[variants]]\nname = "no archive"\nset = ["curriculum.replay=0"]\n')


def test_an_adversary_with_a_model_of_its_own_writes_the_hints_of_its_run(tmp_path):
    study = define(tmp_path)
    runs = {}
    for variant, settings in (("seirenes", ()), ("own", ("adversary.model=starter",))):
        config = with_overrides(run_config(study, "seirenes", 0), settings, "a test")
        run = runs[variant, 0] = new_run(tmp_path / "runs", config, variant)
        for folder in ("step_000005", "step_000005/adversary") if settings else ("step_000005",):
            shutil.copytree(bundled_starter(), run.checkpoints / folder, dirs_exist_ok=True)
    plan = measures_plan(study, runs, "measures")
    (writer,) = plan.writers
    assert writer.path == str((runs["own", 0].checkpoints / "step_000005" / "adversary").resolve())
    assert [suite.writer for suite in plan.suites] == ["", "seirenes, seed 0", writer.name]
    assert [target.name for target in plan.targets] == [START, "seirenes, seed 0", "own, seed 0"]
    alone = measures_plan(replace(study, pool=False), runs, "measures")
    assert [suite.writer for suite in alone.suites] == [""]
    assert (alone.writers, alone.targets) == ((), plan.targets)


def test_a_study_keeps_absolute_paths_of_files_beside_its_definition(tmp_path, monkeypatch):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    for folder in (here, elsewhere):
        folder.mkdir()
        (folder / "p.jsonl").touch()
    (elsewhere / "hints.jsonl").touch()
    (here / "s.toml").write_text(
        'config = "demo"\nseeds = [0]\nrollouts = 100\nset = ["data.problems=p.jsonl"]\n'
        '[[variants]]\nname = "a"\nset = ["curriculum.archive=hints.jsonl"]\n'
    )
    monkeypatch.chdir(elsewhere)
    config = run_config(read_definition(here / "s.toml"), "a", 0)
    assert config.data.problems == str(here / "p.jsonl")
    assert config.curriculum.archive == str(elsewhere / "hints.jsonl")
    again = read_definition(here / "s.toml", overrides=["data.problems=p.jsonl"])
    assert run_config(again, "a", 0).data.problems == str(elsewhere / "p.jsonl")


def test_what_ships_can_be_read():
    found = {name: read_definition(path) for name, path in bundled_definitions().items()}
    assert [v.name for v in found["comparison"].variants] == ["seirenes", "static", "random"]
    assert {"no archive", "no quota", "no clean anchor"} <= {v.name for v in found["ablations"].variants}
    assert all(study.response.rollouts for study in found.values())


def test_the_best_response_trains_a_new_adversary_alone(tmp_path):
    study = with_responses(define(tmp_path), 500)
    config = response_config(study, "/runs/r/checkpoints/step_000004", run_config(study, "static", 1), 1)
    assert trained_roles(config) == {Role.ADVERSARY}
    assert (config.model.path, config.adversary.model) == ("/runs/r/checkpoints/step_000004", "starter")
    assert (config.max_rollouts, config.data.seed, config.curriculum.replay_share) == (500, 1, 0)


def test_the_time_of_every_part_is_estimated(tmp_path):
    study = define(tmp_path)
    expected = expected_times(study, RunRepository(tmp_path / "runs"), StudyState())
    assert set(expected) == {p.id for p in parts_of(study)}
    assert all(e.seconds > 0 for e in expected.values())
    assert sum_seconds(expected.values()) == sum(e.seconds for e in expected.values())


def test_of_a_server_no_time_is_guessed_and_the_parts_are_still_weighed(tmp_path):
    library = RunRepository(tmp_path / "runs")
    here, there = (
        expected_times(study, library, StudyState()) for study in (define(tmp_path), define(tmp_path, SERVED))
    )
    assert there["run/static/0"].seconds is None
    assert there["run/static/0"].weight == here["run/static/0"].seconds
    assert there["measures"].seconds == there["measures"].weight > 0
    assert sum_seconds(there.values()) is None


def test_a_study_on_a_server_says_what_is_left_once_a_part_has_been_trained_there(tmp_path):
    paths = new_study(define(tmp_path, SERVED), tmp_path / "studies")
    events = EventTail(paths.events)
    with closing(EventLog(paths.events)) as log:
        process = StudyProcess(
            paths, log, ProcessControl(paths.commands, log, None, None), RunRepository(tmp_path / "runs")
        )
        first = process.parts[0]
        process._report(first, 0.01, RunState(active_s=5.0))
        process._reported = 0.0
        process._report(first, 0.5, RunState(active_s=100.0))
    early, later = (e.data for e in events.poll() if e.kind == EventKind.STAGE)
    assert early["eta_s"] is None
    assert early["share"] >= 0
    assert later["eta_s"] > 100


# ---------------------------------------------------------------------- state


def event(kind, **data):
    return Event(1, 100.0, kind, data)


def test_a_part_keeps_the_last_that_was_recorded_of_it():
    state = StudyState()
    for status in ("running", "finished"):
        state = reduce(state, event("part", part="run/a/0", status=status, folder="/r", seconds=3))
    state = reduce(state, event("part", part="run/a/0", status="of a later version"))
    assert state.of("run/a/0") == PartState(PartStatus.FINISHED, "/r", "", 3.0)
    assert state.of("run/b/0").status is PartStatus.WAITING
    assert reduce(state, event("launch", pid=2)).of("run/a/0").status is PartStatus.FINISHED


def test_the_folder_of_a_run_is_decided_by_study_and_part(tmp_path):
    paths, library = new_study(define(tmp_path), tmp_path / "studies"), RunRepository(tmp_path / "runs")
    parts = [p for p in parts_of(with_responses(define(tmp_path))) if p.kind in (PartKind.RUN, PartKind.RESPONSE)]
    assert len({run_folder(paths, library, p).run_id for p in parts}) == len(parts)
    assert run_folder(paths, library, parts_of(define(tmp_path))[0]).run_id == "made-seirenes-0"


def test_equal_time_takes_the_newest_checkpoint_within_it():
    history = History()
    for step in (1, 2, 3, 4):
        history = history.append(step, {"seconds": 10.0})
    state = RunState(history=history)
    assert step_within(state, (0, 2, 4), 25.0) == 2
    assert step_within(state, (0, 2, 4), 40.0) == 4
    assert step_within(state, (2, 4), 5.0) == 2


def test_time_is_that_of_the_processor_where_every_step_has_it():
    whole, part = History(), History()
    for step in (1, 2):
        whole = whole.append(step, {"seconds": 10.0, "cpu_seconds": 2.0})
        part = part.append(step, {"seconds": 10.0} | ({"cpu_seconds": 2.0} if step == 2 else {}))
    assert played_seconds(RunState(history=whole)) == 4.0
    assert step_within(RunState(history=whole), (0, 1, 2), 2.0) == 1
    assert played_seconds(RunState(history=part)) == 20.0


# ---------------------------------------------------------------------- results


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    study = with_responses(define(folder))
    return read_results(measured_study(folder, study))


def test_a_figure_is_the_mean_over_seeds_and_problems(results):
    figure = results.figure("seirenes", Measure.POOL)
    assert figure.mean.seeds == 3
    assert figure.mean.problems == 12
    assert figure.mean.interval.mean == pytest.approx(np.mean([i.mean for _, i in figure.by_seed]))
    assert abs(figure.mean.interval.mean - SKILL["seirenes"]) < 0.08
    assert results.figure(START, Measure.EXPLOITABILITY).mean.seeds == 1


def test_all_measures_are_there_and_exploitability_is_of_equal_rollouts_only(results):
    assert set(results.measures()) == set(Measure) - {Measure.HELD_OUT_TYPES}
    assert Measure.EXPLOITABILITY not in results.measures(Basis.TIME)
    assert results.rows() == (START, "seirenes", "static", "random")
    # The quickest run was measured once; it stands in both tables.
    assert results.figure("random", Measure.POOL) == results.figure("random", Measure.POOL, Basis.TIME)


def test_goals_are_typed_and_met_only_with_an_interval_above_zero(results):
    found = {(g.measure, g.second): g.status for g in results.goals}
    assert found[Measure.EXPLOITABILITY, "static"] is GoalStatus.MET
    assert found[Measure.POOL, "random"] is GoalStatus.MET
    assert {g.measure for g in results.goals if g.kind is GoalKind.KEPT} == {
        Measure.CLEAN, Measure.PLACEBO, Measure.NEEDED
    }  # fmt: skip
    assert all(goal_sentence(g) for g in results.goals)


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ((0.0, -0.01, 0.01), GoalStatus.MET),
        ((0.0, -0.16, 0.16), GoalStatus.UNDECIDED),
        ((-0.04, -0.17, 0.09), GoalStatus.UNDECIDED),
        ((-0.04, -0.07, -0.01), GoalStatus.NOT_MET),
    ],
)
def test_a_loss_is_called_one_only_where_it_is_clear(limits, status):
    difference = Difference("seirenes", START, Measure.NEEDED, SeedMean(Interval(*limits), 3, 200))
    goal = Goal(GoalKind.KEPT, Measure.NEEDED, "seirenes", START, 0.02, difference)
    assert goal.status is status
    alone = replace(goal, difference=replace(difference, mean=SeedMean(Interval(*limits), 1, 200)))
    assert alone.status is not GoalStatus.MET
    assert ("larger loss is not excluded" in goal_sentence(goal)) is (status is GoalStatus.UNDECIDED)


def test_the_words_say_what_was_shown_and_what_was_not(results):
    text = " ".join(conclusions(results))
    assert "seirenes is ahead of static" in text
    assert "3 seeds of 3" in text
    assert "At equal time" in text


def test_one_seed_shows_no_difference_however_large(tmp_path):
    study = with_responses(define(tmp_path))
    found = read_results(measured_study(tmp_path, study, seeds=(0,)))
    assert not any(d.shown for d in found.differences[Basis.ROLLOUTS])
    assert {g.status for g in found.goals if g.kind is GoalKind.AHEAD} == {GoalStatus.NOT_MET}
    assert "One seed says nothing of other seeds" in conclusions(found)[0]


def test_without_a_best_response_exploitability_is_said_not_to_be_measured(tmp_path):
    found = read_results(measured_study(tmp_path, define(tmp_path), seeds=(0,), exploits=False))
    assert Measure.EXPLOITABILITY not in found.measures()
    assert {g.status for g in found.goals if g.measure is Measure.EXPLOITABILITY} == {GoalStatus.OPEN}
    assert "not measured, as the study has no best response" in " ".join(conclusions(found))


def test_a_study_can_leave_out_the_pool(tmp_path):
    study = define(tmp_path, "pool = false\n" + DEFINITION)
    whole, without = (expected_times(s, RunRepository(tmp_path), StudyState()) for s in (define(tmp_path), study))
    assert without["measures"].seconds < whole["measures"].seconds / 2
    assert without["run/static/0"] == whole["run/static/0"]
    found = read_results(measured_study(tmp_path, study, exploits=False))
    assert Measure.POOL not in found.measures()
    assert Measure.CLEAN in found.measures()
    assert not any(g.measure is Measure.POOL for g in found.goals)
    assert "pool" not in " ".join(conclusions(found))


def test_equal_variants_are_not_called_different(tmp_path):
    same = dict.fromkeys(SKILL, 0.7)
    found = read_results(measured_study(tmp_path, with_responses(define(tmp_path, seeds=(0, 1))), same))
    assert not any(d.shown for d in found.differences[Basis.ROLLOUTS] if d.measure is Measure.EXPLOITABILITY)
    assert "no difference between seirenes and static is shown" in " ".join(conclusions(found)).lower()


def test_a_study_without_measures_says_so(tmp_path):
    found = read_results(new_study(define(tmp_path), tmp_path / "studies"))
    assert conclusions(found) == ("Nothing is measured yet.",)
    assert main_table(found).rows == ()
    assert all(run.status is PartStatus.WAITING for run in found.runs)


def test_types_that_no_run_trains_with_are_a_measure_of_their_own(tmp_path):
    text = DEFINITION.replace('"data.pool=16"', '"data.pool=16", "adversary.types=information_overload"')
    found = read_results(measured_study(tmp_path, define(tmp_path, text), seeds=(0,), exploits=False))
    assert Measure.HELD_OUT_TYPES in found.measures()


def test_tables_have_a_row_a_variant_and_the_csv_every_figure(results):
    table = main_table(results)
    assert [row[0] for row in table.rows] == [START, "seirenes", "static", "random"]
    assert len(seeds_table(results).rows) == 9
    assert all(len(row) == len(differences_table(results).columns) for row in differences_table(results).rows)
    figures = all_figures(results)
    assert len(figures.csv().splitlines()) == len(figures.rows) + 1
    json.dumps([list(row) for row in figures.rows])


def test_answers_that_grow_are_counted_beside_the_clean_ones(results):
    # All answers of the test are equally short.
    assert results.figure("seirenes", Measure.LONGER_2).mean.interval.mean == 0


# ---------------------------------------------------------------------- the process


def test_a_part_that_cannot_be_done_is_recorded_with_its_reason_and_tried_again_the_next_time(tmp_path, monkeypatch):
    monkeypatch.setenv("SEIRENES_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SEIRENES_DATA", str(tmp_path))
    text = DEFINITION.replace('modes = ["seirenes", "static", "random"]', "").replace("[0, 1, 2]", "[0]")
    text += f'[[variants]]\nname = "lost"\nset = ["model.path={tmp_path}/nosuch"]\n'
    paths = new_study(define(tmp_path, text), tmp_path / "studies")
    for launch in (1, 2):
        assert run_study(paths.root, None) == "failed"
        state = StudyWatch(paths).poll()
        assert state.of("run/lost/0").status is PartStatus.FAILED
        assert "nosuch" in state.of("run/lost/0").message
        assert state.of("measures").message == "No run has finished, so there is nothing to measure."
        assert (state.status, "0 of 2 parts" in state.message) == ("failed", True)
        events = [e.kind for e in EventTail(paths.events).poll()]
        assert events.count("launch") == launch
    assert read_summary(paths).live is False


def test_seeds_are_added_to_a_finished_study_which_then_has_something_left_to_do(tmp_path):
    paths = measured_study(tmp_path, with_responses(define(tmp_path, seeds=(0, 1))))
    with closing(EventLog(paths.events)) as log:
        log.write(EventKind.DONE, outcome="finished", message="All parts are done.", error=None)
    before = read_results(paths)
    extend_study(paths, (5, 7))
    study, summary = read_study(paths), read_summary(paths)
    assert (study.seeds, study.added) == ((0, 1, 5, 7), (5, 7))
    assert (summary.state.status, summary.live) == (RunStatus.STOPPED, False)
    assert "2 seeds added: 5, 7" in summary.state.message
    waiting = [p for p in parts_of(study) if summary.state.of(p.id).status is PartStatus.WAITING]
    assert {p.seed for p in waiting if p.kind is PartKind.RUN} == {5, 7}
    after = read_results(paths)
    assert [f.mean for f in after.figures[Basis.ROLLOUTS]] == [f.mean for f in before.figures[Basis.ROLLOUTS]]
    said = conclusions(after)[0]
    assert "2 seeds of 4" in said
    assert "Seeds 5, 7 added after the study had begun" in said


def test_several_best_responses_have_seeds_of_their_own_and_their_mean_is_the_figure(tmp_path):
    study = define(tmp_path, seeds=(0, 1))
    study = replace(study, response=BestResponse(100, repeats=2))
    responses = [p for p in parts_of(study) if p.kind is PartKind.RESPONSE and p.variant == "static" and p.seed == 1]
    assert [p.id for p in responses] == ["response/static/1", "response/static/1/2"]
    trained = run_config(study, "static", 1)
    seeds = [response_config(study, "/r", trained, p.seed, p.number).data.seed for p in responses]
    assert seeds == [1, 1001]
    paths = measured_study(tmp_path, study)
    library = RunRepository(tmp_path / "runs")
    assert len({run_folder(paths, library, p).root for p in responses}) == 2
    state, each = StudyWatch(paths).poll(), []
    for number in ("", "/2"):
        with open_rows(EvalDir(Path(state.of(f"exploit/static/1{number}").folder))) as reader:
            each.append(right_rates(reader.cells()).mean())
    assert each[0] != each[1]
    figure = read_results(paths).figure("static", Measure.EXPLOITABILITY)
    assert dict(figure.by_seed)[1].mean == pytest.approx(sum(each) / 2)


def test_best_responses_are_added_and_never_taken_away(tmp_path):
    paths = new_study(with_responses(define(tmp_path, seeds=(0,))), tmp_path / "studies")
    before = {p.id for p in parts_of(read_study(paths))}
    assert extend_study(paths, responses=2).response.repeats == 2
    assert before < {p.id for p in parts_of(read_study(paths))}
    with pytest.raises(UserError, match="can only become more"):
        extend_study(paths, responses=1)
    plain = new_study(define(tmp_path, seeds=(0,), name="plain.toml"), tmp_path / "studies")
    with pytest.raises(UserError, match="it has none"):
        extend_study(plain, responses=2)


def test_runs_go_on_to_more_rollouts_and_what_was_measured_before_stays_beside_it(tmp_path):
    study = with_responses(define(tmp_path, seeds=(0, 1)))
    paths = measured_study(tmp_path, study)
    before, first = read_results(paths), StudyWatch(paths).poll()
    longer = extend_study(paths, rollouts=1600)
    assert (longer.rollouts, longer.shorter) == (1600, (400,))
    state, library = StudyWatch(paths).poll(), RunRepository(tmp_path / "runs")
    assert "1,600 rollouts a run" in state.message
    left = parts_left(longer, state)
    # The best response to the start stays: it is the same model.
    assert {p.variant for p in parts_of(longer) if p not in left} == {"start"}
    assert read_summary(paths).done == len(parts_of(longer)) - len(left)
    run, response = (
        next(p for p in left if p.kind is kind and p.variant == "seirenes")
        for kind in (PartKind.RUN, PartKind.RESPONSE)
    )
    assert (run.title, response.title) == (
        "training seirenes, seed 0 to 1,600 rollouts", "best response to seirenes, seed 0 after 1,600 rollouts",
    )  # fmt: skip
    assert run_folder(paths, library, run) == run_folder(paths, library, parts_of(study)[0])
    assert run_folder(paths, library, response).run_id.endswith("response-seirenes-0-after-1600")
    whole = expected_times(replace(longer, shorter=()), library, first)["run/seirenes/0"].seconds
    assert expected_times(longer, library, state)[run.id].seconds == pytest.approx(0.75 * whole)
    after = read_results(paths)
    assert [r.rollouts for r in after.earlier] == [400]
    assert after.earlier[0].figures == before.figures
    assert after.rows() == ("start",)
    assert {row[1] for row in lengths_table(after).rows} == {"400"}
    said = conclusions(after)
    assert said[0] == "Nothing is measured yet after 1,600 rollouts a run."
    assert any(text.startswith("After 400 rollouts. Under best response: seirenes is ahead of static") for text in said)
    assert {row[0] for row in all_figures(after).rows} == {400, 1600}


def test_seeds_that_come_with_more_rollouts_are_trained_whole_and_two_extensions_add_up(tmp_path):
    paths = measured_study(tmp_path, define(tmp_path, seeds=(0,)), exploits=False)
    extend_study(paths, (1,), rollouts=800)
    longer = extend_study(paths, rollouts=1600)
    assert longer.shorter == (400, 800)
    state, library = StudyWatch(paths).poll(), RunRepository(tmp_path / "runs")
    expected = expected_times(longer, library, state)
    assert expected["run/static/0@1600"].weight == pytest.approx(0.75 * expected["run/static/1@1600"].weight)
    # What was not reached has no figures.
    assert [r.rollouts for r in read_results(paths).earlier] == [400]


def test_the_dry_run_counts_the_measures_that_further_seeds_make_again(tmp_path):
    paths = measured_study(tmp_path, define(tmp_path, seeds=(0,)), exploits=False)
    assert parts_left(read_study(paths), StudyWatch(paths).poll()) == ()
    study = extend_study(paths, (1,))
    left = parts_left(study, StudyWatch(paths).poll())
    assert [p.kind for p in left] == [PartKind.RUN] * 3 + [PartKind.MEASURES]


def test_rollouts_only_become_more(tmp_path):
    paths = new_study(define(tmp_path, seeds=(0,)), tmp_path / "studies")
    with pytest.raises(UserError, match="can only become more"):
        extend_study(paths, rollouts=399)
    with pytest.raises(UserError, match="Nothing is added"):
        extend_study(paths, rollouts=400)
    # Nothing was measured at the shorter length.
    assert extend_study(paths, rollouts=500).shorter == ()


def test_seeds_that_are_added_before_a_study_begins_are_its_own(tmp_path):
    paths = new_study(define(tmp_path, seeds=(0,)), tmp_path / "studies")
    assert extend_study(paths, (1,)).seeds == (0, 1)
    assert read_study(paths).added == ()
    assert not read_summary(paths).started


@pytest.mark.parametrize(("seeds", "said"), [((1, 2), "has seed 2 already"), ((4, 4), "named twice"), ((-1,), "below 0"), ((), "Nothing is added")])  # fmt: skip
def test_seeds_that_cannot_be_added_leave_the_study_as_it_was(tmp_path, seeds, said):
    paths = measured_study(tmp_path, define(tmp_path, seeds=(0, 2)), exploits=False)
    files = paths.config.read_bytes(), paths.events.read_bytes()
    with pytest.raises(UserError, match=said):
        extend_study(paths, seeds)
    assert (paths.config.read_bytes(), paths.events.read_bytes()) == files


def test_a_study_that_runs_gets_no_seeds(tmp_path):
    paths = new_study(define(tmp_path, seeds=(0,)), tmp_path / "studies")
    held = RunLock(paths.lock)
    held.acquire()
    with pytest.raises(UserError, match="in use"):
        extend_study(paths, (1,))
    held.release()
    assert read_study(paths).seeds == (0,)


def test_a_broken_study_is_listed_with_its_problem(tmp_path):
    paths = new_study(define(tmp_path), tmp_path / "studies")
    paths.config.write_text("{}")
    (summary,) = StudyRepository(tmp_path / "studies").summaries()
    assert "damaged" in summary.problem
    assert (summary.parts, summary.done, summary.live) == ((), 0, False)
