"""Trainer processes without the seconds of importing: one process imports all, and forks a trainer for each line read.

    python trainer_forks.py        reads lines: [ROOT, COMMANDS_FROM, HALT]; writes lines: PID of the trainer, then,
                                   when it is over, its exit status as `os.waitstatus_to_exitcode` gives it

A fork runs what `python -m training run` runs, signals included. Where HALT is [KIND, DATA] it stops itself (SIGSTOP)
after the first event of that kind with that data, so that a test can do something at just that moment.
"""

import json
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from training.errors import exit_code
from training.runner import run_directory
from training.runs.control import StopSignal
from training.runs.events import EventLog

torch.set_num_threads(1)
# Of peft about transformers, once a run.
warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)


def train(root, commands_from):
    stop_signal = StopSignal().install()
    return 0 if run_directory(Path(root), commands_from, stop_signal) == "finished" else 3


def halt_after(kind, data):
    write, halted = EventLog.write, []

    def write_and_halt(log, written, **values):
        write(log, written, **values)
        if written == kind and data.items() <= values.items() and not halted:
            halted.append(True)
            os.kill(os.getpid(), signal.SIGSTOP)

    EventLog.write = write_and_halt


def main():
    for line in sys.stdin:
        root, start, halt = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                if halt:
                    halt_after(*halt)
                code = exit_code(lambda: train(root, start))  # noqa: B023 - the child ends before the next line
            except BaseException:  # noqa: BLE001 - the edge of the child
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
