"""A parent that has torch loaded already: for each folder on stdin it forks a process that evaluates it.

    python tests/helpers/eval_forks.py

It says the child's id, and how it ended once it has. A test that kills ten children then waits for ten models to load
and not for ten imports of torch; each child is a process of its own, with a lock, a database and an end of its own.
"""

import os
import sys
from pathlib import Path

from training.evaluation import torch_evaluator as evaluate

if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if evaluate.evaluate_folder(Path(line.strip())) == "finished" else 3)
            finally:
                os._exit(1)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
