"""A parent that has an evaluator loaded already: for each folder on stdin it forks a process that evaluates it.

    python tests/helpers/eval_forks.py torch|app

It says the child's id, and how it ended once it has. A test that kills ten children then waits for ten models to load
and not for ten imports; each child is a process of its own, with a lock, a database and an end of its own.
"""

import os
import sys
from pathlib import Path


def evaluator(kind):
    if kind == "torch":
        from training.evaluation.torch_evaluator import evaluate_folder

        return lambda root: evaluate_folder(root) == "finished"
    import openai  # noqa: F401 - it takes a second

    from seirenes_app.inference import evaluate

    return lambda root: evaluate.main([str(root)]) == 0


if __name__ == "__main__":
    finishes = evaluator(sys.argv[1])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if finishes(Path(line.strip())) else 3)
            finally:
                os._exit(1)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
