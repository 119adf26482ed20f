"""Facts about the families of reasoning-gym. They run with the package itself, and are skipped where it is missing."""

import dataclasses
import itertools
import json
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from training.core import gym, gym_worker
from training.core.answers import AnswerGrader, choices
from training.core.gates import check_hint
from training.core.gym import DOMAINS, GymFamily, scoring_record
from training.core.hint_templates import write_hint, write_placebo
from training.core.problems import FAMILIES, find_family, problem_stream, require_families
from training.core.question_parser import move_question
from training.core.types import AnswerKind, HintType, Outcome, Problem, Split
from training.errors import UserError

needs_gym = pytest.mark.skipif(not gym.installed(), reason="reasoning-gym is not installed")
TRIED = ("gym:knights_knaves", "gym:syllogism", "gym:spell_backward", "gym:letter_counting", "gym:countdown")


def draw(*families, count=6, seed=1, split=Split.TRAIN):
    return list(itertools.islice(problem_stream(seed, split, families), count))


def grade(answer, problem):
    return AnswerGrader().grade(f"So it is.\n#### {answer}", problem).outcome


@needs_gym
@pytest.mark.parametrize("family", TRIED)
def test_a_gold_answer_is_right_and_another_one_wrong(family):
    problems = draw(family)
    for problem in problems:
        assert grade(problem.answer, problem) is Outcome.RIGHT
    for problem in problems:
        other = next(
            (p.answer for p in problems if p.answer != problem.answer), next(iter({"Yes", "No"} - {problem.answer}))
        )
        assert grade(other, problem) is Outcome.WRONG


@needs_gym
def test_names_in_another_order_are_the_same_answer_to_knights_and_knaves():
    (problem,) = draw("gym:knights_knaves", count=1)
    first, second = problem.answer.rstrip(".").split(", and ")
    assert grade(f"{second}, and {first}.", problem) is Outcome.RIGHT


@needs_gym
def test_the_splits_share_no_question_although_a_domain_is_small():
    train, held_out = ({p.question for p in draw("gym:lcm", count=150, split=split)} for split in Split)
    assert len(train) == len(held_out) == 150
    assert not train & held_out


@needs_gym
def test_the_same_seed_makes_the_same_problems_in_another_process():
    code = (
        "import itertools; from training.core.problems import problem_stream; from training.core.types import Split;"
        "print([p.id for p in itertools.islice(problem_stream(7, Split.TRAIN, ['gym:knights_knaves', 'change']), 8)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([p.id for p in draw("gym:knights_knaves", "change", count=8, seed=7)])


@needs_gym
def test_a_family_that_runs_out_of_problems_says_so(monkeypatch):
    two = draw("gym:syllogism", count=2)

    class Two(GymFamily):
        def generate(self, rng, split, difficulty):
            return rng.choice(two)

    monkeypatch.setitem(FAMILIES, "two", Two("two", DOMAINS["gym:syllogism"]))
    with pytest.raises(UserError, match="after 2 different problems"):
        draw("two", count=3)


@needs_gym
@pytest.mark.parametrize("family", TRIED)
def test_rule_gates_templates_and_placebos_work_on_any_domain(family):
    rng = random.Random(3)
    for problem in draw(family, count=3):
        for type_ in HintType:
            hint = write_hint(problem, type_, rng, Split.TRAIN)
            found = check_hint(hint.text, problem)
            assert found.passed or found.reason
            assert write_placebo(len(hint.text.split()), rng)
        leak = f"I am sure that the answer is {problem.answer}"
        assert not check_hint(leak, problem).passed


@needs_gym
def test_needed_text_can_be_formed_of_no_domain():
    made = [problem for domain in DOMAINS for problem in draw(domain, count=1)]
    assert len(made) == len(DOMAINS)
    assert [p.family for p in made if move_question(p.question)] == []


def test_a_choice_among_given_words_is_read_without_looking_in_the_question():
    problem = Problem("p", "gym:syllogism", "Does it follow?", "Yes", AnswerKind.CHOICE, "", options=("Yes", "No"))
    assert choices(problem) == ("Yes", "No")
    grader = AnswerGrader()
    assert grader.grade("The answer is no.", problem).outcome is Outcome.WRONG
    assert grader.grade("All birds fly, so yes.\n#### yes", problem).outcome is Outcome.RIGHT


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("#### ['red', 'Green']", Outcome.RIGHT), ("The answer is: red,green.", Outcome.RIGHT),
        ("#### green, red", Outcome.WRONG), ("#### red green", Outcome.WRONG), ("red, green", Outcome.RIGHT),
        ("We sort them.\nThen we have them.", Outcome.UNPARSABLE), (r"So \boxed{red, green}", Outcome.RIGHT),
    ],
)  # fmt: skip
def test_lists_are_compared_without_their_punctuation(answer, outcome):
    problem = Problem("p", "words", "Sort green, red.", "red, green", AnswerKind.TEXT, "")
    assert AnswerGrader().grade(answer, problem).outcome is outcome


# ---------------------------------------------------------------------- scoring


def countdown(answer="10 + 5", numbers=(10, 5), target=15):
    question = "Make 15 of 10 and 5."
    record = {
        "question": gym.question_hash(question), "answer": answer, "settings": {},
        "metadata": {"numbers": list(numbers), "target": target},
    }  # fmt: skip
    return Problem(
        "c", "gym:countdown", question, answer, AnswerKind.SCORED, "", scoring=json.dumps(record)
    )  # fmt: skip


@needs_gym
def test_the_scorer_takes_any_right_answer():
    assert grade("5 + 10", countdown()) is Outcome.RIGHT
    assert grade("5 * 10", countdown()) is Outcome.WRONG


@needs_gym
@pytest.mark.parametrize(
    "answer",
    [
        "__import__('os').system('touch /tmp/x')",
        "9**9**9",
        "(lambda: 15)()",
        "10 + 5 = 15",
        "[].__class__",
        "15 #" * 99,
    ],
)
def test_text_that_is_no_expression_never_reaches_a_scorer_that_evaluates(answer):
    asked = []
    child = gym.Gym()
    child._child = type("Child", (), {"ask": lambda self, *a: asked.append(a), "close": lambda self: None})()
    assert child.score("countdown", answer, countdown()) is Outcome.WRONG
    assert not asked


@needs_gym
def test_a_gold_answer_of_a_file_that_would_be_evaluated_is_refused():
    bad = countdown("__import__('os').getcwd()")
    with pytest.raises(UserError, match="form"):
        grade("10 + 5", bad)


@needs_gym
def test_a_gym_keeps_a_bounded_number_of_outcomes_although_threads_score_at_once(monkeypatch):
    monkeypatch.setattr(gym, "MAX_KNOWN", 3, raising=False)
    (problem,) = draw("gym:countdown", count=1)
    scorer = gym._gym()
    monkeypatch.setattr(scorer, "_known", {})
    answers = [problem.answer, *("1 + 1" + " + 1" * extra for extra in range(5))] * 2
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda answer: scorer.score("countdown", answer, problem), answers))
    assert [answer for answer, outcome in zip(answers, outcomes, strict=True) if outcome is Outcome.RIGHT] == [
        problem.answer,
        problem.answer,
    ]
    assert len(scorer._known) == 3


@needs_gym
def test_a_scorer_without_end_times_out_and_the_next_one_works():
    child = gym.Gym(score_s=2.0)
    try:
        child.make("countdown", {}, 1)
        endless = dataclasses.replace(countdown(), family="gym:polynomial_multiplication")
        record = json.loads(endless.scoring) | {"answer": "x", "metadata": {"variables": ["x"]}}
        endless = dataclasses.replace(endless, answer="x", scoring=json.dumps(record))
        started = time.monotonic()
        assert child.score("polynomial_multiplication", "9**9**9**9 + x", endless) is Outcome.TIMED_OUT
        assert time.monotonic() - started < 60
        child._score_s = 60.0
        assert child.score("countdown", "5 + 10", countdown()) is Outcome.RIGHT
    finally:
        before = set(psutil.Process().children())
        child.close()
        assert len(set(psutil.Process().children())) == len(before) - 1


def test_the_child_may_neither_write_nor_start_nor_connect(tmp_path):
    code = (
        "import sys; from training.core.gym_worker import refuse; sys.addaudithook(refuse)\n"
        "import os, socket, subprocess\n"
        "def tried(f, *a):\n"
        "    try: f(*a)\n"
        "    except PermissionError: return True\n"
        "    return False\n"
        f"print(tried(open, {str(tmp_path / 'x')!r}, 'w'), tried(os.system, 'true'), tried(subprocess.run, ['true']),\n"
        f"      tried(lambda: socket.create_connection(('127.0.0.1', 9))), tried(os.mkdir, {str(tmp_path / 'd')!r}),\n"
        "      bool(open(os.__file__).read(1)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 6
    assert not list(tmp_path.iterdir())
    assert gym_worker.refuse("import", ()) is None


def test_a_scored_problem_whose_question_was_changed_cannot_be_scored():
    with pytest.raises(UserError, match="changed"):
        scoring_record(dataclasses.replace(countdown(), question="Make 16."))
    with pytest.raises(UserError, match="missing"):
        scoring_record(dataclasses.replace(countdown(), scoring=""))


# ---------------------------------------------------------------------- without the package


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setattr(gym, "installed", lambda: False)
    monkeypatch.setattr("training.core.problems.installed", lambda: False)


def test_without_the_package_a_gym_family_says_how_to_install_it(missing):
    with pytest.raises(UserError, match=r"pip install 'seirenes\[gym\]'"):
        require_families(["gym:syllogism"])
    with pytest.raises(UserError, match="not installed"):
        find_family("gym:syllogism").generate(random.Random(1), Split.TRAIN, 1)


def test_without_the_package_all_but_scored_answers_are_still_graded(missing):
    problem = Problem("p", "gym:syllogism", "Does it follow?", "Yes", AnswerKind.CHOICE, "", options=("Yes", "No"))
    assert grade("Yes", problem) is Outcome.RIGHT
    with pytest.raises(UserError, match="not installed"):
        gym.Gym().score("countdown", "5 + 10", countdown())


def test_an_unknown_family_is_named_with_those_that_there_are():
    with pytest.raises(UserError, match=r"no family gym:chess\. There are: change, .*gym:syllogism"):
        require_families(["change", "gym:chess"])


# ---------------------------------------------------------------------- from end to end


@needs_gym
def test_problems_survive_a_file_and_a_suite_with_what_grading_needs(tmp_path, capsys):
    from seirenes_app.cli.main import main
    from training.evaluation.suites.builder import make_suite, template_offers
    from training.evaluation.suites.io import read_suite, write_suite
    from training.problem_files import load_problems

    file = tmp_path / "mixed.jsonl"
    families = ["gym:knights_knaves", "gym:syllogism", "gym:word_sorting"]
    assert main(["problems", "make", *families, "-o", str(file), "--problems", "6", "--json"]) == 0
    made = draw(*families, count=6, seed=0, split=Split.HELD_OUT)
    read = load_problems(file)
    shared = ("id", "family", "question", "answer", "kind", "options", "scoring")
    assert [[getattr(p, name) for name in shared] for p in read] == [
        [getattr(p, name) for name in shared] for p in made
    ]
    suite = make_suite("mixed", made, template_offers(1, Split.HELD_OUT), 1).suite
    assert read_suite(write_suite(tmp_path / "suite", suite).folder).suite == suite
    assert all(grade(item.problem.answer, item.problem) is Outcome.RIGHT for item in suite.items)


def test_a_run_may_name_gym_families_and_a_form_says_where_the_package_is_missing(missing, monkeypatch):
    from training.runs import config

    option = next(o for o in config.describe_options() if o.key == "data.families")
    assert config.find_unknown(option, "change,gym:chess").startswith("data.families: 'gym:chess' is none of")
    monkeypatch.setattr(config, "installed", lambda: True)
    assert config.find_unknown(option, "change,gym:syllogism") == ""
    monkeypatch.setattr(config, "installed", lambda: False)
    assert "pip install" in config.find_unknown(option, "gym:syllogism")


def test_a_suite_of_bundled_families_has_the_hash_that_it_had_before_there_were_other_kinds():
    from training.evaluation.suites.builder import Suite, SuiteItem

    problem = Problem("p", "change", "How many?", "3", AnswerKind.NUMBER, "#### 3")
    assert Suite("s", (SuiteItem(problem, (), ()),)).digest() == "1294526ffe91ee0e"
    assert Suite("s", (SuiteItem(dataclasses.replace(problem, options=("a",)), (), ()),)).digest() != "1294526ffe91ee0e"
