"""Start-up of the window: CPU of its import against that of Qt alone, and when the frame and the first page are there.

python tests/bench/bench_startup.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
REPEATS = 5
HEAVY = ("pandas", "matplotlib", "torch", "llama_cpp")
IMPORT = "import time; t = time.process_time(); import {module}; print(time.process_time() - t)"
WINDOW = """
import json, sys, time
t, cpu = time.perf_counter(), time.process_time()
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from seirenes_app.ui import app
marks = {}
def mark(name):
    marks[name] = (time.perf_counter() - t, time.process_time() - cpu)
class Startup(app._Startup):
    def begin(self):
        mark("frame")
        super().begin()
    def _fill(self, none):
        super()._fill(none)
        QTimer.singleShot(0, self.end)
    def end(self):
        QApplication.processEvents()
        mark("first page")
        print(json.dumps({"marks": marks, "loaded": [name for name in HEAVY if name in sys.modules]}))
        self._window.shut_down(remember=False)
        QApplication.exit(0)
app._Startup = Startup
app.run_app()
""".replace("HEAVY", repr(HEAVY))


def run(code: str) -> str:
    """What a fresh interpreter prints, with folders of its own."""
    with tempfile.TemporaryDirectory() as folder:
        own = {f"SEIRENES_{name}": f"{folder}/{name.lower()}" for name in ("RUNS", "CONFIG", "DATA", "LOGS")}
        env = os.environ | own | {"PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True
        )
    return done.stdout


def measure_import(module: str) -> float:
    """Median CPU seconds of an import in a fresh interpreter."""
    return median(float(run(IMPORT.format(module=module))) for _ in range(REPEATS))


def main() -> None:
    """Print the figures."""
    qt, app = measure_import("PySide6.QtWidgets"), measure_import("seirenes_app.ui.app")
    print(f"import PySide6.QtWidgets    {qt:.3f} s CPU")
    print(f"import seirenes_app.ui.app  {app:.3f} s CPU, {app / qt:.2f} times Qt alone (goal: at most 3)")
    found = json.loads(run(WINDOW))
    for name, (wall, cpu) in found["marks"].items():
        print(f"{name:10} in view after {wall:.2f} s, {cpu:.2f} s CPU")
    print(f"loaded by then of {', '.join(HEAVY)}: {found['loaded'] or 'none'}")


if __name__ == "__main__":
    main()
