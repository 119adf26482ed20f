"""The calls between a hint's editor and `llama_decode`, and back from the decoded tokens to the page.

    QT_QPA_PLATFORM=offscreen python tests/bench/call_chain.py

A hint is typed into the Craft page and solved with the bundled model. A profile hook in both processes notes the stack
of our own frames wherever the text is handed to another thread or process, and at `llama_decode`. Each line is one
thread's part of the way; helpers that have returned by then are not in it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = str(ROOT / "seirenes_app")

OUT_WAY = [
    # (title, the function that takes the text, the one that hands it over, and the call by which it does that)
    ("typed text → draft", "GrowingText._on_text_changed", "CraftSession.edit", ""),
    ("draft → job", "CraftController.solve", "Job.__init__", ""),
    ("job → client's queue", "", "WorkerClient.send", "put"),
    ("queue → pipe", "", "WorkerProcess._write", "write"),
    ("worker: pipe → queue", "", "Inbox.read", "put"),
    ("worker: queue → llama_decode", "Worker.run", "LlamaModel.decode", ""),
]
WAY_BACK = [
    ("worker: llama_decode → pipe", "Sampler.run", "Worker.emit", "write"),
    ("pipe → job's queue", "", "Pending.deliver", "put"),
    ("job's queue → page's queue", "solve_hints", "JobBridge.put", ""),
    ("page's queue → widget", "JobBridge._flush", "render_live", ""),
]


def install(path: Path) -> None:
    """Note stacks of this process, one JSON line each, in the file."""
    ends = {name: call for _, _, name, call in OUT_WAY + WAY_BACK}
    file, seen, lock = path.open("a"), set(), threading.Lock()

    def profile(frame, event, arg):
        if event == "c_call":
            call = arg.__name__
            if call not in ("put", "write"):
                return
        elif event == "call":
            call = ""
        else:
            return
        code = frame.f_code
        if not code.co_filename.startswith(PACKAGES):
            return
        name = next((n for n in ends if code.co_qualname.endswith(n) and ends[n] == call), None)
        if name is None:
            return
        stack = []
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(PACKAGES) and code.co_name != "<module>":
                stack.insert(0, f"{Path(code.co_filename).stem}:{code.co_qualname}")
            frame = frame.f_back
        line = json.dumps([name, stack])
        with lock:
            if line not in seen:
                seen.add(line)
                file.write(line + "\n")
                file.flush()

    threading.setprofile(profile)
    sys.setprofile(profile)


class Bot:
    """What the helpers of the page's tests need of pytest-qt."""

    def addWidget(self, widget):
        self.widget = widget

    def keyClicks(self, widget, text):
        from PySide6.QtTest import QTest

        QTest.keyClicks(widget, text)

    def waitUntil(self, holds, timeout):
        from PySide6.QtWidgets import QApplication

        end = time.monotonic() + timeout / 1000
        while not holds():
            assert time.monotonic() < end
            QApplication.processEvents()
            time.sleep(0.005)


def main() -> None:
    """Drive the page, then print both ways."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    folder = Path(tempfile.mkdtemp())
    out = folder / "stacks.jsonl"
    # The worker is a fresh interpreter: it installs the same hook when it starts.
    (folder / "sitecustomize.py").write_text(
        f"import sys, pathlib\nsys.path.insert(0, {str(Path(__file__).parent)!r})\nimport call_chain\n"
        f"if 'seirenes_app.inference.worker' in sys.orig_argv:\n    call_chain.install(pathlib.Path({str(out)!r}))\n"
    )
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    from helpers.craft_bench import Craft
    from PySide6.QtWidgets import QApplication

    app = QApplication([])
    bench = Craft(Bot(), app, folder)
    bench.type_problem()
    install(out)
    bench.write()
    bench.do("solve")
    sys.setprofile(None)
    bench.close()
    found: dict[str, list[list[str]]] = {}
    for line in out.read_text().splitlines():
        name, stack = json.loads(line)
        found.setdefault(name, []).append(stack)
    for title, way in (("From the editor to llama_decode", OUT_WAY), ("From llama_decode to the page", WAY_BACK)):
        total = 0
        print(f"\n{title}")
        for part, first, name, _ in way:
            stacks = [
                stack[i:] for stack in found.get(name, []) for i, call in enumerate(stack) if call.endswith(first)
            ]
            # A function that calls itself sends the load of the model, not the hint.
            stack = max((stack for stack in stacks if len(set(stack)) == len(stack)), key=len, default=[])
            total += len(stack)
            print(f"  {part}  ({len(stack)})")
            for call in stack:
                print(f"      {call}")
        print(f"  {total} calls")


if __name__ == "__main__":
    main()
