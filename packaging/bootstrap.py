"""Set up a development environment: system libraries, virtual environment, pinned packages, the llama.cpp wheel.

Standard library only, safe to repeat: what is done already is recognised and skipped. `make run` and `make test` call
it. Environment: TORCH=cpu (default) or cu126, cu128, … picks the torch build; SEIRENES_CACHE moves the wheel cache.
"""

import ctypes.util
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
CACHE = Path(os.environ.get("SEIRENES_CACHE") or Path.home() / ".cache" / "seirenes") / "wheels"
TORCH = os.environ.get("TORCH", "cpu")

# Debian's packages by the name of what each brings: libraries that PySide6 loads (the xcb ones for a real X window
# only), and programs of the compiler.
LIBRARIES = (
    "EGL:libegl1 GL:libgl1 X11:libx11-6 xkbcommon:libxkbcommon0 glib-2.0:libglib2.0-0 dbus-1:libdbus-1-3 "
    "fontconfig:libfontconfig1 freetype:libfreetype6 "
    "xcb-cursor:libxcb-cursor0 xcb-icccm:libxcb-icccm4 xcb-image:libxcb-image0 xcb-keysyms:libxcb-keysyms1 "
    "xcb-randr:libxcb-randr0 xcb-render-util:libxcb-render-util0 xcb-shape:libxcb-shape0 xcb-xkb:libxcb-xkb1 "
    "xkbcommon-x11:libxkbcommon-x11-0"
).split()
PROGRAMS = ("g++:g++", "cc:gcc")


def say(text: str) -> None:
    print(f"[set-up] {text}", flush=True)


def missing_packages() -> list[str]:
    """Debian packages whose library or program is not on this machine."""
    found = [(name.split(":"), ctypes.util.find_library) for name in LIBRARIES]
    found += [(name.split(":"), shutil.which) for name in PROGRAMS]
    missing = [package for (name, package), find in found if find(name) is None]
    fonts = shutil.which("fc-list") and subprocess.run(["fc-list"], capture_output=True, text=True).stdout.strip()
    if not fonts and not any(Path("/usr/share/fonts").glob("**/*.[to]tf")):
        missing.append("fonts-dejavu-core")
    return missing


def check_system() -> None:
    """Install what Qt and the compiler need where that can be done; else print the one line that does it."""
    if not sys.platform.startswith("linux"):
        return
    missing = missing_packages()
    if not missing:
        return say("system libraries: all there")
    command = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if shutil.which("apt-get") and os.geteuid() == 0:
        say(f"installing system packages: {' '.join(missing)}")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment)
        subprocess.run([*command.split(), "-qq"], check=True, env=environment, stdout=subprocess.DEVNULL)
    elif shutil.which("apt-get"):
        say(f"missing system packages. Install them with:\n\n    sudo {command}\n")
    else:
        say(f"libraries that Qt needs are missing; on Debian they are called: {' '.join(missing)}")


def stamp() -> str:
    """Changes when what is to be installed changes."""
    content = b"".join((ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt"))
    return hashlib.sha256(content + TORCH.encode() + sys.version.encode()).hexdigest()


def pip(*arguments: str, **options: str) -> None:
    """Run the environment's pip; a failure ends the set-up with pip's own message."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **options}
    done = subprocess.run([str(PYTHON), "-m", "pip", *arguments], env=environment, check=False)
    if done.returncode:
        say(f"pip {arguments[0]} failed (see above). Nothing else was changed; run the same command again to go on.")
        sys.exit(done.returncode)


def torch_index() -> list[str]:
    """The index that has the wanted torch build, where it can be reached; else PyPI alone decides.

    Asked for first with a short timeout: pip itself would retry an unreachable index for minutes.
    """
    if TORCH == "default":
        return []
    url = f"https://download.pytorch.org/whl/{TORCH}"
    try:
        urllib.request.urlopen(f"{url}/torch/", timeout=5).close()
    except OSError:
        say(f"{url} cannot be reached: torch comes from the package index that pip is set up with")
        return []
    return ["--extra-index-url", url]


def make_environment() -> None:
    """A virtual environment with the pinned packages."""
    if not PYTHON.exists():
        say(f"making a virtual environment in {VENV.name} with Python {platform.python_version()}")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    constraints = ("-c", str(ROOT / "constraints.txt"))
    say(f"installing torch ({TORCH}) …")
    pip("install", "-q", *constraints, *torch_index(), "torch")
    wheel = llama_wheel()
    say("installing the other packages …")
    pip("install", "-q", *constraints, str(wheel), "-e", f"{ROOT}[dev]")


def llama_wheel() -> Path:
    """The llama.cpp wheel, from the cache or built into it. It is published as source only."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.search(r"^llama-cpp-python==(\S+)", pins, re.MULTILINE)
    if pinned is None:
        sys.exit("constraints.txt pins no llama-cpp-python")
    version = pinned[1]
    tag = f"{sys.implementation.cache_tag}-{platform.machine()}"
    folder = CACHE / f"llama-cpp-python-{version}-{tag}"
    if found := sorted(folder.glob("*.whl")):
        say(f"llama.cpp {version}: wheel from the cache")
        return found[0]
    folder.mkdir(parents=True, exist_ok=True)
    jobs = str(max(1, os.cpu_count() or 1))
    say(f"building llama.cpp {version} from source with {jobs} jobs: 3 to 15 minutes, once; the wheel is kept")
    pip("install", "-q", "-c", str(ROOT / "constraints.txt"), "ninja", "cmake", "scikit-build-core")
    log = folder / "build.log"
    temporary = folder / "building"
    options = {"CMAKE_ARGS": "-DLLAVA_BUILD=OFF -DGGML_NATIVE=OFF", "CMAKE_BUILD_PARALLEL_LEVEL": jobs}
    command = [str(PYTHON), "-m", "pip", "wheel", "-v", "--no-deps", "-w", str(temporary)]
    command += [f"llama-cpp-python=={version}"]
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env={**os.environ, **options})
        watch_build(process, log)
    if process.returncode:
        print("\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-25:]))
        say(f"the build failed; its whole log is {log}. A C++ compiler is needed (Debian: apt-get install g++).")
        sys.exit(process.returncode)
    (wheel,) = temporary.glob("*.whl")
    final = folder / wheel.name
    wheel.replace(final)
    temporary.rmdir()
    return final


def watch_build(process: subprocess.Popen[bytes], log: Path) -> None:
    """Show how many of the compile steps are done, from ninja's [k/n]."""
    started, shown = time.monotonic(), 0.0
    while process.poll() is None:
        time.sleep(1)
        if time.monotonic() - shown < (2 if sys.stdout.isatty() else 20):
            continue
        shown = time.monotonic()
        steps = re.findall(r"\[(\d+)/(\d+)\]", log.read_text(encoding="utf-8", errors="replace")[-20_000:])
        progress = f"{steps[-1][0]} of {steps[-1][1]} steps" if steps else "fetching and configuring"
        end = "\r" if sys.stdout.isatty() else "\n"
        print(f"[set-up]   {progress}, {time.monotonic() - started:.0f} s", end=end, flush=True)
    if sys.stdout.isatty():
        print()


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - this refuses an older Python
        sys.exit(f"[set-up] Python 3.11 or newer is needed; this is {platform.python_version()}.")
    done = VENV / ".seirenes-stamp"
    if PYTHON.exists() and done.exists() and done.read_text(encoding="utf-8") == stamp():
        return 0
    started = time.monotonic()
    check_system()
    make_environment()
    done.write_text(stamp(), encoding="utf-8")
    say(f"ready after {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
