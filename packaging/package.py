"""Build the wheel, install it in a clean environment, and smoke-test it there. Used by `make package`."""

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "packaging"))

from bootstrap import llama_wheel, torch_index  # noqa: E402 - a script beside it, in a folder that is no package


def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    print("[package] $", " ".join(Path(c).name if c.startswith(str(ROOT)) else c for c in command), flush=True)
    return subprocess.run(command, check=True, text=True, **options)  # type: ignore[call-overload, no-any-return]


def main() -> int:
    """Wheel to dist/, then a real install and what a newcomer would try first."""
    dist = ROOT / "dist"
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(dist), str(ROOT))
    wheel = max(dist.glob("seirenes-*.whl"), key=lambda path: path.stat().st_mtime)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        venv.create(home / "env", with_pip=True)
        scripts = home / "env" / ("Scripts" if os.name == "nt" else "bin")
        python = str(scripts / "python")
        pins = ("-c", str(ROOT / "constraints.txt"))
        run(python, "-m", "pip", "install", "-q", *pins, *torch_index(), "torch", str(llama_wheel()))
        run(python, "-m", "pip", "install", "-q", *pins, str(wheel))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        folders = {"SEIRENES_RUNS": str(home / "runs"), "SEIRENES_DATA": str(home / "data")}
        environment |= {"QT_QPA_PLATFORM": "offscreen", **folders}
        inside = {"cwd": str(home), "env": environment}
        run(str(scripts / "seirenes"), "doctor", **inside)
        run(str(scripts / "seirenes"), "app", "--smoke-test", **inside)
        question = ("Tom has 5 apples and buys 7 more. How many apples does Tom have now?", "--answer", "12")
        run(str(scripts / "seirenes"), "solve", *question, "--hint", "Ana has 9 pears.", "-n", "4", **inside)
        run(str(scripts / "seirenes"), "traces", "recorded", "--flips", "--limit", "2", **inside)
        quick = ("--set", "steps=1", "--set", "evaluation.problems=8", "--set", "rollout.questions=2")
        done = run(str(scripts / "seirenes"), "demo", *quick, "--json", stdout=subprocess.PIPE, **inside)
        status = json.loads(done.stdout)["status"]
        print(f"[package] {wheel.name}: doctor, smoke test, solve, traces and a one-step run passed ({status})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
