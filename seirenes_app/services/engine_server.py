"""A server of the Tinker API on this machine, for runs with `engine.backend = "tinker"`: set up, start, list, stop.

The server is SkyRL, in a virtual environment of its own: its packages are pinned to other versions than this
program's. It is a process of its own that outlives this one, and is found by its record. No Qt.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec
import psutil

from seirenes_app.inference.server_record import process_of
from seirenes_app.services.estimate import count_parameters
from training import engine_probe
from training.errors import UserError
from training.memory import read_shape
from training.model_names import locate_folder
from training.resources import data_folder, resources_folder
from training.runs.config import EngineKind, RunConfig
from training.runs.files import explained, write_whole
from training.runs.lock import SAME_START_S

SKYRL = "0.3.0"
COMMON = (f"skyrl[tinker,{{backend}}]=={SKYRL}", "tinker==0.24.1", "uv")
TORCH = {"jax": "torch==2.13.0"}
"""The JAX server needs torch to read checkpoints alone; the others bring a version of their own."""
PORT = 8123
READY_S = 600.0
STOP_S = 10.0
POLL_S = 0.5
LEAST_SHARE, MOST_SHARE, USUAL_SHARE = 0.2, 0.9, 0.5
"""Of the memory of a GPU, for sampling."""

Report = Callable[[str], object]


class Backend(StrEnum):
    """What computes on the server."""

    JAX = "jax"
    """One process; also without a GPU."""
    FSDP = "fsdp"
    """Ray, torch FSDP and vLLM: one GPU or several."""
    MEGATRON = "megatron"
    """Ray, Megatron and vLLM, for models that need tensor or expert parallelism."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """Which model to serve, and how. `backend` None: jax without a GPU, fsdp with one. `memory_share` 0: chosen."""

    model: str = "starter"
    port: int = PORT
    backend: Backend | None = None
    rank: int = 16
    gpus: int = 1
    memory_share: float = 0.0
    settings: dict[str, object] = field(default_factory=dict)
    """More settings of SkyRL's backend, by their keys there."""


class EngineRecord(msgspec.Struct, frozen=True):
    """A server that runs. `born` is the start of its process in seconds since 1970. `base_model` is what it calls the
    model, `model` the folder that a run names."""

    pid: int
    born: float
    port: int
    model: str
    base_model: str
    backend: Backend
    started: float

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def table(self) -> str:
        """The table of a run's configuration that uses it."""
        name = "" if self.base_model == self.model else f"base_model = {json.dumps(self.base_model)}\n"
        return f'[engine]\nbackend = "tinker"\nurl = "{self.url}"\n{name}accept = "update.max_grad_norm"\n'


def engines_folder() -> Path:
    return data_folder() / "engines"


def environment_folder(backend: Backend) -> Path:
    """The virtual environment of a backend; another version of SkyRL has another one."""
    return engines_folder() / f"skyrl-{SKYRL}-{backend}"


# ---------------------------------------------------------------------- set-up


def is_set_up(backend: Backend) -> bool:
    """Whether the environment of a backend is there, whole."""
    return (environment_folder(backend) / "complete").is_file()


def set_up(backend: Backend, report: Report) -> Path:
    """Make the environment where it is not there, which downloads packages; returns it. Raises a UserError."""
    place = environment_folder(backend)
    if is_set_up(backend):
        return place
    shutil.rmtree(place, ignore_errors=True)
    with explained("Making the environment", place):
        place.parent.mkdir(parents=True, exist_ok=True)
        report("Making the environment of the engine")
        _run([sys.executable, "-m", "venv", str(place)], place)
        packages = [text.format(backend=backend) for text in COMMON]
        packages += [TORCH[backend]] if backend in TORCH else []
        report(f"Installing SkyRL {SKYRL} ({backend}): a download of 1 to 10 GB, once")
        _run([str(_python(place)), "-m", "pip", "install", "-q", *packages], place)
        if sys.version_info < (3, 12):
            # Its models use a TypedDict that pydantic takes from the standard library from 3.12 on only.
            site = next((place / "lib").glob("python*")) / "site-packages" / "sitecustomize.py"
            site.write_text("import typing\n\nimport typing_extensions\n\n"
                            "typing.TypedDict = typing_extensions.TypedDict\n", encoding="utf-8")  # fmt: skip
        (place / "complete").touch()
    return place


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _run(command: Sequence[str], place: Path) -> None:
    """Run a command of the set-up. Its environment is not this program's: no PYTHONPATH leads there."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if found.returncode:
        last = [line for line in (found.stderr or found.stdout).splitlines() if line.strip()][-3:]
        raise UserError(
            f"The environment {place} could not be made: {' | '.join(last)[:600]}. Check the network and the disk's "
            "room, and try again."
        )


# ---------------------------------------------------------------------- start


def gpu_memory() -> tuple[int, ...]:
    """Bytes of each NVIDIA GPU that the driver lists."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    with suppress(OSError, ValueError, subprocess.TimeoutExpired):
        asked = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
        found = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
        return tuple(int(line) << 20 for line in found.stdout.split()) if not found.returncode else ()
    return ()


def choose_memory_share(parameters: int, adapter: int, gpu_bytes: int) -> float:
    """The share of a GPU's memory that sampling gets beside training. Numbers of the model's and of the adapter's
    `parameters`.

    Training needs the weights in bfloat16, the adapter with gradient and two moments in float32, and a quarter of what
    is then left for activations; the share holds a second copy of the weights, and the cache.
    """
    weights = 2 * parameters
    free = gpu_bytes - 2 * weights - 16 * adapter
    if free <= 0:
        raise UserError(
            f"The model needs {(2 * weights + 16 * adapter) / 2**30:.1f} GB twice over for training and sampling, and "
            f"the GPU has {gpu_bytes / 2**30:.1f} GB. Use more GPUs (--gpus), a smaller model, or --memory-share."
        )
    return min(MOST_SHARE, max(LEAST_SHARE, round((weights + 0.75 * free) / gpu_bytes, 2)))


def _memory_share(folder: Path, rank: int, gpus: Sequence[int]) -> float:
    parameters = count_parameters(folder)
    if parameters is None or not gpus:
        return USUAL_SHARE
    shape = read_shape(folder)
    # Seven linear layers a block, each with two matrices of `rank`: one of its input's width, one of its output's.
    adapter = shape.layers * rank * (11 * shape.width + 3 * shape.inner_width)
    return choose_memory_share(parameters, adapter, min(gpus))


def backend_settings(request: EngineRequest, backend: Backend, share: float) -> dict[str, object]:
    """The settings of SkyRL's backend, what the request names last. `share`: of a GPU's memory, for sampling."""
    if backend is Backend.JAX:
        # Fixed batches: another number of rows is another program to compile.
        found: dict[str, object] = {
            "max_lora_adapters": 8, "max_lora_rank": request.rank, "sample_max_num_sequences": 64,
            "train_micro_batch_size": 16,
        }  # fmt: skip
    else:
        found = {
            "trainer.placement.colocate_all": True,
            "trainer.placement.policy_num_gpus_per_node": request.gpus,
            "generator.inference_engine.num_engines": request.gpus,
            "generator.inference_engine.gpu_memory_utilization": share,
        }
    return found | request.settings


def start_engine(
    request: EngineRequest, report: Report = lambda _text: None, cancelled: Callable[[], bool] = lambda: False
) -> EngineRecord:
    """Set up, start and await a server. Blocks. Raises a UserError; where `cancelled` answers True the server is ended
    and a KeyboardInterrupt raised."""
    if not 1 <= request.port <= 65535:
        raise UserError(f"The port is {request.port}; it must be 1 to 65535.")
    gpus = gpu_memory()
    backend = request.backend or (Backend.FSDP if gpus else Backend.JAX)
    if backend is not Backend.JAX and len(gpus) < request.gpus:
        raise UserError(
            f"The backend {backend} needs {request.gpus} NVIDIA GPU; {len(gpus)} found here. Use --backend jax."
        )
    folder = resources_folder() / "starter" if request.model == "starter" else locate_folder(request.model)
    if (running := next((r for r in running_engines() if r.port == request.port), None)) is not None:
        raise UserError(
            f"An engine runs on port {request.port} already, with {running.model}. Stop it with: seirenes engine stop "
            f"{request.port}"
        )
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", request.port)) == 0:
            raise UserError(f"Port {request.port} is taken by another program. Choose one with --port.")
    place = set_up(backend, report)
    served = _servable(folder, backend, report)
    report("Starting the engine")
    process = _launch(place, served, request, backend)
    record = EngineRecord(
        process.pid, psutil.Process(process.pid).create_time(), request.port, str(folder), str(served), backend,
        time.time(),
    )  # fmt: skip
    write_whole(_record_file(request.port), msgspec.json.encode(record).decode())
    try:
        _await_ready(process, record, report, cancelled)
    except BaseException:
        stop_engine(record)
        raise
    return record


def _servable(folder: Path, backend: Backend, report: Report) -> Path:
    """The folder that is served: JAX cannot multiply float16 on a CPU, so such a model is written once in float32."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if backend is not Backend.JAX or gpu_memory() or config.get("dtype", config.get("torch_dtype")) != "float16":
        return folder
    from safetensors.numpy import load_file, save_file

    stamp = max(int(file.stat().st_mtime) for file in folder.glob("*.safetensors"))
    copy = engines_folder() / "models" / f"{folder.name}-{stamp}-float32"
    if (copy / "config.json").is_file():
        return copy
    report(f"Writing {folder.name} in float32")
    with explained("Writing the model", copy):
        copy.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            if file.suffix == ".safetensors":
                weights = {name: w.astype("float32") for name, w in load_file(file).items()}
                save_file(weights, copy / file.name, metadata={"format": "pt"})
            elif file.suffix in (".json", ".jinja", ".txt", ".model") and file.name != "config.json":
                shutil.copyfile(file, copy / file.name)
        # Last: it says that the copy is whole.
        changed = {k: "float32" if k in ("dtype", "torch_dtype") else v for k, v in config.items()}
        write_whole(copy / "config.json", json.dumps(changed, indent=1))
    return copy


def _launch(place: Path, model: Path, request: EngineRequest, backend: Backend) -> subprocess.Popen[bytes]:
    state = engines_folder() / f"state-{request.port}"
    with explained("Making the folder", state):
        state.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {
        "VIRTUAL_ENV": str(place), "PATH": f"{place / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}",
        "UV_OFFLINE": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1",
    }  # fmt: skip
    gpus = gpu_memory()
    share = request.memory_share or (0.0 if backend is Backend.JAX else _memory_share(model, request.rank, gpus))
    if not gpus:
        environment["JAX_PLATFORMS"] = "cpu"
    # Through uv: the server starts its engine with the arguments that uv was given.
    command = [
        str(place / "bin" / "uv"), "run", "--no-project", "--offline", "-m", "skyrl.tinker.api",
        "--base-model", str(model), "--backend", str(backend),
        "--backend-config", json.dumps(backend_settings(request, backend, share)), "--host", "127.0.0.1",
        "--port", str(request.port), "--checkpoints-base", str(state / "checkpoints"),
        "--database-url", f"sqlite:///{state / 'requests.db'}",
    ]  # fmt: skip
    with explained("Opening the log", log_file(request.port)), log_file(request.port).open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=state,
            start_new_session=True,
        )  # fmt: skip


def log_file(port: int) -> Path:
    """What the server of a port writes."""
    return engines_folder() / f"engine-{port}.log"


def _await_ready(
    process: subprocess.Popen[bytes], record: EngineRecord, report: Report, cancelled: Callable[[], bool]
) -> None:
    began = time.monotonic()
    while True:
        if cancelled():
            raise KeyboardInterrupt
        if process.poll() is not None:
            raise UserError(f"The engine ended before it was ready. {_last_lines(record.port)}")
        if served_models(record.url):
            return
        waited = time.monotonic() - began
        if waited > READY_S:
            raise UserError(f"The engine was not ready within {READY_S:g} s. {_last_lines(record.port)}")
        report(f"Starting the engine, {waited:.0f} s")
        time.sleep(POLL_S)


def served_models(url: str) -> tuple[str, ...]:
    """What a server serves; empty where none answers."""
    try:
        return tuple(engine_probe.served_models(url, 2.0))
    except UserError:
        return ()


def check_engine_server(config: RunConfig) -> None:
    """A UserError within seconds where the server that a run names is not there, does not take the key, speaks another
    version of the API or does not serve the model: before a run's folder is made and anything is loaded."""
    if config.engine.backend is EngineKind.TINKER:
        name = config.model.path
        folder = resources_folder() / "starter" if name == "starter" else locate_folder(name)
        engine_probe.check_served(config.engine.url, config.engine.base_model or str(folder))
        engine_probe.check_requests(config.engine.url, 3.0)


def describe_engine_server(config: RunConfig) -> str:
    """That the server of a run answers and serves the model, in a sentence; a UserError as of `check_engine_server`."""
    check_engine_server(config)
    return f"{config.engine.url} answers and serves {config.engine.base_model or config.model.path}."


def _last_lines(port: int) -> str:
    try:
        with log_file(port).open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4000))
            lines = [line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return f"See {log_file(port)}."
    return f"Last lines of {log_file(port)}: {' | '.join(lines[-4:])[:600]}"


# ---------------------------------------------------------------------- those that run


def _record_file(port: int) -> Path:
    return engines_folder() / f"engine-{port}.json"


def running_engines() -> list[EngineRecord]:
    """The servers of this user that run, by port; records of others are removed."""
    found = []
    for path in sorted(engines_folder().glob("engine-*.json")):
        try:
            record = msgspec.json.decode(path.read_bytes(), type=EngineRecord)
        except (OSError, msgspec.DecodeError):
            continue
        if _processes(record):
            found.append(record)
        else:
            path.unlink(missing_ok=True)
    return found


def _processes(record: EngineRecord) -> list[psutil.Process]:
    """All processes of a server: the first one and what it started. Where the first one was killed alone, the others
    run on and hold the port: they are those of its session."""
    process = process_of(record)
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            return [process, *process.children(recursive=True)]
    found = []
    for each in psutil.process_iter() if hasattr(os, "getsid") else ():
        with suppress(OSError, psutil.Error):
            young = each.create_time() > record.born - SAME_START_S
            if young and os.getsid(each.pid) == record.pid and each.status() != psutil.STATUS_ZOMBIE:
                found.append(each)
    return found


def find_engine(port: int | None) -> EngineRecord:
    """The server on a port, or the one that runs; a UserError where there is none, or several."""
    found = running_engines()
    matches = [r for r in found if port in (None, r.port)]
    if len(matches) == 1:
        return matches[0]
    if not found:
        raise UserError("No engine runs. Start one with: seirenes engine start")
    ports = ", ".join(str(r.port) for r in found)
    raise UserError(f"Name the port of an engine that runs: {ports}.")


def stop_engine(record: EngineRecord) -> None:
    """End a server with all its processes. What it saved stays for runs that are resumed. Blocks for seconds."""
    running = _processes(record)
    for each in running:
        with suppress(psutil.NoSuchProcess):
            each.terminate()
    _, left = psutil.wait_procs(running, STOP_S)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    _record_file(record.port).unlink(missing_ok=True)
