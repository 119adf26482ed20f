"""lm-evaluation-harness, a program that is not ours, agrees with our greedy accuracy item by item.

It runs where `lm_eval` can be imported, or where SEIRENES_LM_EVAL names its executable (in an environment of its own);
SEIRENES_LM_EVAL_PROBLEMS sets how many problems (default: 12).
"""

import importlib.util
import json
import os
import subprocess
import sys

import pytest
from helpers.evals import greedy_rows

from training.core.prompts import Placement, join_hint
from training.core.types import AnswerKind, Outcome, Problem
from training.evaluation.lm_eval_export import export_tasks, suite_rows
from training.evaluation.suites.builder import Suite, frozen_suite, make_suite, template_offers
from training.prompt_files import COMPACT, NEUTRAL, built_in

EXECUTABLE = os.environ.get("SEIRENES_LM_EVAL", "")
PROBLEMS = int(os.environ.get("SEIRENES_LM_EVAL_PROBLEMS", "12"))

pytestmark = pytest.mark.skipif(
    not EXECUTABLE and importlib.util.find_spec("lm_eval") is None,
    reason="lm_eval is not installed here; SEIRENES_LM_EVAL may name its executable in another environment",
)


def run_lm_eval(made, model, results):
    start = [EXECUTABLE] if EXECUTABLE else [sys.executable, "-m", "lm_eval"]
    command = [
        *start, "--model", "hf", "--model_args", f"pretrained={model},dtype=float32", "--device", "cpu",
        "--apply_chat_template", "--include_path", ".", "--tasks", made.group, "--batch_size", "16", "--log_samples",
        "--output_path", str(results),
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV"))}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(results / "hf")}
    done = subprocess.run(command, cwd=made.folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    samples = {}
    for file in results.rglob("samples_*.jsonl"):
        for line in file.read_text(encoding="utf-8").splitlines():
            sample = json.loads(line)
            samples.setdefault(sample["filter"], {})[sample["doc"]["id"]] = sample
    return samples


def solve_ourselves(suite, prompts):
    """Our greedy rows by the id that the export gives them."""
    from training.engine.models import resolve_model
    from training.engine.torch_local import LocalTorchBackend

    backend = LocalTorchBackend(resolve_model("starter"), device="cpu", threads=1)
    rows = greedy_rows(backend, suite, 128, prompts)
    return {f"{p.id}/{r.key.condition}" + (f"/{r.key.index}" if r.key.index >= 0 else ""): r for r, p in rows}


def outside_suite():
    """Questions in digits and words that are not the families', with golds in awkward spellings."""
    asked = [
        ("A farmer has 12 hens and buys 1,200 more. How many hens has he now?", "1212"),
        ("Rosa has 7 pears. She eats half of one. How many are left?", "6.5"),
        ("Tom owes 3 coins and has none. What is his balance?", "-3"),
        ("{{ question }} asks: what is 2 plus 3?", "5"),
    ]
    problems = [Problem(f"o{n}", "outside", q, a, AnswerKind.NUMBER, "") for n, (q, a) in enumerate(asked)]
    return make_suite("outside", problems, template_offers(1, split=frozen_suite(1, 1).items[0].problem.split), 1).suite


@pytest.mark.parametrize("prompts", [built_in(COMPACT), built_in(NEUTRAL)], ids=lambda p: p.name)
def test_every_outcome_and_every_text_is_the_same(tmp_path, prompts):
    from training.engine.models import bundled_starter

    frozen = frozen_suite(PROBLEMS, 2605)
    suite = Suite("mine", (*frozen.items, *outside_suite().items))
    made = export_tasks(suite, tmp_path / "tasks", prompts=prompts)
    theirs = run_lm_eval(made, bundled_starter(), tmp_path / "results")
    ours = solve_ourselves(suite, prompts)
    rows = [row for found in suite_rows(suite, Placement.APPEND).values() for row in found]
    assert set(theirs["seirenes"]) == set(ours) == {row["id"] for row in rows}
    differ = [i for i, s in theirs["seirenes"].items() if (s["exact_match"] == 1) != (ours[i].outcome is Outcome.RIGHT)]
    texts = [i for i, s in theirs["seirenes"].items() if s["resps"][0][0] != ours[i].completion]
    print(
        f"lm_eval, {prompts.name}: {len(ours) - len(differ)} of {len(ours)} outcomes and {len(ours) - len(texts)} texts agree"
    )
    assert not differ
    assert not texts
    # The plain filter may miss a right answer in another spelling; it never counts a wrong one.
    marker = theirs["marker"]
    assert not [i for i, s in marker.items() if s["exact_match"] == 1 and ours[i].outcome is not Outcome.RIGHT]


def test_the_prompt_is_ours_to_the_last_character(tmp_path):
    from training.engine.models import bundled_starter

    item = frozen_suite(1, 2605).items[0]
    suite = Suite("mine", (item,))
    made = export_tasks(suite, tmp_path / "tasks")
    theirs = run_lm_eval(made, bundled_starter(), tmp_path / "results")["seirenes"]
    for index, hint in enumerate(item.hints):
        prompt = theirs[f"{item.problem.id}/hinted/{index}"]["arguments"]["gen_args_0"]["arg_0"]
        assert prompt == f"<|user|>{join_hint(item.problem.question, hint.text)}<|assistant|>"
