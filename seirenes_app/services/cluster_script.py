"""Scripts that start a run through a cluster's own scheduler: Slurm, SkyPilot, Ray. Text alone; starts nothing.

Each holds the whole configuration, so that it can be read, changed and kept with the results.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from seirenes_app.services.cluster import Cluster
from seirenes_app.services.cluster_runs import job_entry
from training.cluster_job import CONFIG_VARIABLE
from training.runs.config import EngineKind, RunConfig, Tuning, to_dict, to_toml

LOCAL = ("127.0.0.1", "localhost", "::1")
SAVE_S = 120
"""Seconds before the end of its time in which Slurm asks a run to save."""


class ScriptKind(StrEnum):
    """What a script is for."""

    SLURM = "slurm"
    SKYPILOT = "skypilot"
    RAY = "ray"


@dataclass(frozen=True)
class Resources:
    """What a run reserves. `accelerator` is SkyPilot's name of the GPU."""

    gpus: int = 1
    cpus: int = 8
    hours: int = 24
    accelerator: str = "A100"


def make_script(config: RunConfig, kind: ScriptKind, resources: Resources, cluster: Cluster | None = None) -> str:
    """The text of a script. `cluster`: of a Ray script, where it submits to and which interpreter there it starts."""
    make = {ScriptKind.SLURM: _slurm, ScriptKind.SKYPILOT: _skypilot, ScriptKind.RAY: _ray}[kind]
    return make(config, resources, cluster)


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "run"


def _slurm(config: RunConfig, resources: Resources, _cluster: Cluster | None) -> str:
    name = _slug(config.name)
    gpus = [f"#SBATCH --gres=gpu:{resources.gpus}"] if resources.gpus else []
    lines = [
        "#!/bin/bash",
        f"# A run of Seirênes, {name}, for Slurm. Submit it: sbatch FILE",
        "# Add your account and partition. Seirênes must be installed where the nodes find it.",
        f"#SBATCH --job-name={name}",
        f"#SBATCH --output={name}-%j.log",
        "#SBATCH --nodes=1",
        "#SBATCH --ntasks=1",
        f"#SBATCH --cpus-per-task={resources.cpus}",
        *gpus,
        f"#SBATCH --time={resources.hours}:00:00",
        "# Before its time is over the run is asked to save; submitted again, it goes on from there.",
        f"#SBATCH --signal=B:TERM@{SAVE_S}",
        "",
        "set -euo pipefail",
        "# The same folder at each submission, on a disk that all nodes share.",
        f'RUN_DIR="${{SEIRENES_RUN_DIR:-$SLURM_SUBMIT_DIR/runs/{name}}}"',
        *_body(config, resources),
    ]
    return "\n".join(lines) + "\n"


def _skypilot(config: RunConfig, resources: Resources, _cluster: Cluster | None) -> str:
    name = _slug(config.name)
    accelerators = [f"  accelerators: {json.dumps(f'{resources.accelerator}:{resources.gpus}')}"]
    run = ["set -euo pipefail", f'RUN_DIR="${{SEIRENES_RUN_DIR:-$HOME/runs/{name}}}"', *_body(config, resources)]
    lines = [
        f"# A run of Seirênes, {name}, for SkyPilot. Start it: sky launch FILE",
        "# For spot machines, mount a bucket and set SEIRENES_RUN_DIR to a folder in it: the run then goes on from its",
        "# newest checkpoint.",
        f"name: {json.dumps(name.lower().replace('_', '-'))}",
        "resources:",
        *(accelerators if resources.gpus else []),
        f"  cpus: {json.dumps(f'{resources.cpus}+')}",
        "# The source of Seirênes, from where this command is given.",
        "workdir: .",
        "setup: |",
        "  python3 -m venv ~/seirenes-env",
        "  ~/seirenes-env/bin/pip install -c constraints.txt .",
        "run: |",
        '  export PATH="$HOME/seirenes-env/bin:$PATH"',
        *(f"  {line}".rstrip() for line in _lines(run)),
    ]
    return "\n".join(lines) + "\n"


def _ray(config: RunConfig, resources: Resources, cluster: Cluster | None) -> str:
    name = _slug(config.name)
    address = cluster.address if cluster is not None else "http://127.0.0.1:8265"
    python, root = (cluster.python, cluster.root) if cluster is not None else ("python", "")
    environment = json.dumps({"env_vars": {CONFIG_VARIABLE: json.dumps(to_dict(config))}})
    entry = job_entry(python, "run", "RUN_ID", root).replace("RUN_ID", '"$RUN_ID"', 1)
    lines = [
        "#!/bin/bash",
        f"# A run of Seirênes, {name}, as a Ray job, by Ray's own command. `seirenes cluster submit` does the same and",
        "# follows the run. Seirênes must be installed on the cluster.",
        "set -euo pipefail",
        f'RUN_ID="{name}-$(date +%Y%m%d-%H%M%S)"',
        f"ENVIRONMENT={shlex.quote(environment)}",
        f'ray job submit --address "${{RAY_ADDRESS:-{address}}}" --submission-id "seirenes-$RUN_ID" --no-wait \\',
        f"  --entrypoint-num-cpus {resources.cpus} --entrypoint-num-gpus {resources.gpus} \\",
        '  --runtime-env-json "$ENVIRONMENT" \\',
        f"  -- {entry}",
    ]
    return "\n".join(lines) + "\n"


def _body(config: RunConfig, resources: Resources) -> list[str]:
    """What Slurm and SkyPilot run: the configuration, the engine's server, the run."""
    toml = to_toml(config)
    end = "SEIRENES_CONFIG"
    while end in toml:
        end += "_"
    return [
        'mkdir -p "$(dirname "$RUN_DIR")"',
        f"cat > \"$RUN_DIR.toml\" <<'{end}'",
        toml.rstrip("\n"),
        end,
        *_engine(config, resources),
        "# A run that was started before goes on from its newest checkpoint.",
        'if [ -f "$RUN_DIR/config.json" ]; then',
        '  seirenes resume "$RUN_DIR" &',
        "else",
        '  seirenes train "$RUN_DIR.toml" --run-dir "$RUN_DIR" &',
        "fi",
        "run=$!",
        "# Asked to end, the run saves first; the second wait is for that.",
        "trap 'kill -TERM \"$run\" 2>/dev/null || true' TERM",
        'wait "$run" || wait "$run"',
    ]


def _engine(config: RunConfig, resources: Resources) -> list[str]:
    """The start of a training server on the same node, where the configuration names one there."""
    parts = urlsplit(config.engine.url)
    if config.engine.backend is not EngineKind.TINKER or parts.hostname not in LOCAL:
        return []
    port = parts.port or 8000
    rank = f" --rank {config.model.lora_rank}" if config.model.tuning is Tuning.LORA else ""
    gpus = f" --gpus {resources.gpus}" if resources.gpus else ""
    return [
        "# The server that samples and trains, on this node.",
        f"seirenes engine start {shlex.quote(config.model.path)} --port {port}{rank}{gpus}",
        f"trap 'seirenes engine stop {port}' EXIT",
    ]


def _lines(parts: Sequence[str]) -> list[str]:
    return [line for part in parts for line in part.split("\n")]
