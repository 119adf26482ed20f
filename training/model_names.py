"""What a model's name means on this machine: a path, or a repository of the Hugging Face cache. No network, no torch.

A path that exists wins over a hub id of the same spelling. The cache is found as `huggingface_hub` finds it, and read
by its documented layout: refs/REVISION names a commit, snapshots/COMMIT has the files as links to blobs.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from training.errors import UserError
from training.runs.files import expanded, open_regular

MAIN = "main"
CONVERTIBLE = frozenset(
    "llama mistral qwen2 qwen3 qwen2moe qwen3moe gemma2 gemma3 phi3 starcoder2 stablelm falcon gpt2 nemotron".split()
)
"""Architectures of GGUF files that can be converted to a Hugging Face folder: text decoders that transformers reads."""
_PART = r"[A-Za-z0-9](?:[\w.-]{0,94}[\w-])?"
_REPO = re.compile(rf"{_PART}/{_PART}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_SPLIT = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE)
_FILE_ENDINGS = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".json", ".jsonl", ".toml", ".txt", ".zip")
_OTHER_KINDS = {"datasets": "data set", "spaces": "space"}
_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_HUB_ID_FORM = "A hub id looks like org/name, org/name:file.gguf or org/name:Q4_K_M."
_MAX_INDEX_BYTES = 64 * 2**20


class ModelNotFound(UserError):
    """There is no model of this name on this machine."""


class NotDownloaded(ModelNotFound):
    """A hub id that the cache does not hold, or holds in part. `hub_id` can be downloaded."""

    def __init__(self, message: str, hub_id: HubId) -> None:
        super().__init__(message)
        self.hub_id = hub_id


@dataclass(frozen=True, slots=True)
class HubId:
    """A model of the hub. `file` is a GGUF file's path in the repository or a quantisation tag, "" for the folder.

    `revision` is a branch, a tag or a commit.
    """

    repo: str
    file: str = ""
    revision: str = MAIN

    def __str__(self) -> str:
        revision = "" if self.revision == MAIN else f"@{self.revision}"
        return f"{self.repo}{revision}{self.file and f':{self.file}'}"

    @property
    def cache_name(self) -> str:
        """The repository's folder in the cache."""
        return "models--" + self.repo.replace("/", "--")


def parse_hub_id(text: str) -> HubId | None:
    """`org/name[@revision][:file or tag]`, with `hf:` or `hf://` before it, or an address of huggingface.co.

    None for what is none of these. What begins like one and is wrong is a UserError.
    """
    text = text.strip()
    if text.startswith(("https://", "http://")):
        return _parse_address(text)
    explicit = text.startswith("hf:")
    body = text.removeprefix("hf:").removeprefix("//").removeprefix("models/") if explicit else text
    head, _, file = body.partition(":")
    repo, _, revision = head.partition("@")
    if text.startswith("hf://") and head.count("/") > 1 and not file:
        # hf://org/name@revision/path/in/the/repository
        repo, revision, file = _split_path(head)
    if _REPO.fullmatch(repo) and not repo.lower().endswith(_FILE_ENDINGS) and _sound(file) and _sound(revision):
        return HubId(repo, file, revision or MAIN)
    if explicit:
        raise UserError(f"{text!r} is not a hub id. {_HUB_ID_FORM}")
    return None


def _split_path(text: str) -> tuple[str, str, str]:
    owner, rest = text.split("/", 1)
    name, _, file = rest.partition("/")
    name, _, revision = name.partition("@")
    return f"{owner}/{name}", revision, file


def _sound(part: str) -> bool:
    """Whether it can be a file or a revision: it stays inside its folder."""
    return not part.startswith("/") and ".." not in part.split("/") and "\\" not in part and "\0" not in part


def is_hub_address(text: str) -> bool:
    """Whether an address is one of the hub, and so names a model's page and no server."""
    try:
        url, own = urlsplit(text.strip()), urlsplit(os.environ.get("HF_ENDPOINT", ""))
    except ValueError:
        return False
    return url.netloc in (*_HOSTS, own.netloc or _HOSTS[0])


def _parse_address(text: str) -> HubId:
    try:
        url = urlsplit(text)
    except ValueError as error:
        raise UserError(f"{text!r} is not an address ({error}). {_HUB_ID_FORM}") from error
    if not is_hub_address(text):
        raise UserError(f"{text!r} is not an address of {_HOSTS[0]}. {_HUB_ID_FORM}")
    parts = [unquote(part) for part in url.path.split("/") if part]
    if parts and parts[0] in _OTHER_KINDS:
        raise UserError(f"{text!r} is a {_OTHER_KINDS[parts[0]]}, not a model. {_HUB_ID_FORM}")
    repo, rest = "/".join(parts[:2]), parts[2:]
    revision = rest[1] if len(rest) > 1 and rest[0] in ("tree", "blob", "resolve", "raw") else MAIN
    file = "/".join(rest[2:]) if revision != MAIN or len(rest) > 2 else ""
    if not _REPO.fullmatch(repo) or not _sound(file) or not _sound(revision):
        raise UserError(f"{text!r} names no model. {_HUB_ID_FORM}")
    return HubId(repo, file if file.lower().endswith(".gguf") else "", revision)


# ---------------------------------------------------------------------- where it is


def cache_folder() -> Path:
    """The Hugging Face cache: HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub or ~/.cache/huggingface/hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(name):
            return expanded(os.path.expandvars(folder))
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(base, "huggingface")
    return expanded(os.path.expandvars(home)) / "hub"


def locate_model(name: str | Path) -> Path:
    """The folder or file that `name` means: a path that is there, else a hub id in the cache.

    Links are not resolved: a file of the cache keeps its own name. Raises `NotDownloaded` for a hub id that is not
    complete in the cache, `ModelNotFound` for anything else.
    """
    text = str(name).strip()
    if not text or "\0" in text:
        raise ModelNotFound(f"{text!r} names no model. {_HUB_ID_FORM}")
    path = expanded(text)
    if _exists(path):
        return path.absolute()
    hub_id = parse_hub_id(text)
    if hub_id is None:
        raise ModelNotFound(f"{text} was not found: no file or folder of that name is on this machine.")
    return find_cached(hub_id)


def locate_folder(name: str | Path) -> Path:
    """The Hugging Face folder, or adapter folder, that `name` means. Raises a UserError for anything else."""
    path = locate_model(name)
    if path.is_file():
        if path.suffix.lower() == ".gguf":
            convert = f"seirenes models convert {shlex.quote(str(name))}"
            raise UserError(
                f"{name} is a GGUF file, and a Hugging Face folder is needed. Name a folder, or make one: {convert}"
            )
        raise UserError(f"{path} is a file, and a Hugging Face folder is needed. Name the folder that holds it.")
    if not path.is_dir():
        raise UserError(f"{path} is neither a file nor a folder. Name a Hugging Face folder or a hub id.")
    if not any(os.path.lexists(path / name) for name in ("config.json", "adapter_config.json")):
        raise UserError(
            f"{path} holds no model: it is not a Hugging Face model folder, because neither config.json nor "
            "adapter_config.json is there. Name a model's folder, or a hub id as org/name."
        )
    refuse_odd_files(path)
    return path


def refuse_odd_files(folder: Path) -> None:
    """A UserError where something in a model's folder would make a reader wait for ever, such as a pipe."""
    try:
        odd = [entry.path for entry in os.scandir(folder) if not _is_plain(entry)]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror}). Allow reading it, or name another.") from error
    if odd:
        raise UserError(f"{odd[0]} is neither a file nor a folder (a pipe, a socket or a device). Remove it first.")


def _is_plain(entry: os.DirEntry[str]) -> bool:
    try:
        mode = entry.stat().st_mode
    except OSError:  # a link to nothing, or to itself: whoever needs the file finds it missing
        return True
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def locate_gguf(name: str | Path) -> Path:
    """The GGUF file that `name` means. Raises a UserError for anything else."""
    try:
        path = locate_model(name)
    except NotDownloaded:
        raise
    except ModelNotFound as error:
        raise ModelNotFound(f"{name}: there is no such model file. Name a GGUF file or a hub id.") from error
    if path.is_dir():
        raise UserError(
            f"{name} is a folder, and a GGUF file is needed. Make one with: seirenes export {shlex.quote(str(name))} "
            "--to gguf"
        )
    if not path.is_file():
        raise UserError(f"{path} is neither a file nor a folder. Name a GGUF file or a hub id.")
    return path


def _exists(path: Path) -> bool:
    """Also for a loop of links and a link to nothing: they are refused by name, not looked for on the hub."""
    return os.path.lexists(path)


def find_cached(hub_id: HubId) -> Path:
    """The snapshot's folder, or the GGUF file (the first of a split one), of a model that is complete in the cache."""
    repo = cache_folder() / hub_id.cache_name
    snapshot = _snapshot(repo, hub_id.revision)
    if snapshot is None:
        other = "" if hub_id.revision == MAIN else " in this revision"
        raise _missing(hub_id, f"{hub_id} is not on this machine{other}.")
    groups = group_gguf_files(_file_names(snapshot))
    whole = replace(hub_id, file="")
    if hub_id.file or (groups and not any(os.path.lexists(file) for file in snapshot.glob("*.safetensors*"))):
        name = choose_gguf_file(hub_id, groups)
        missing = [part for part in split_parts(name) if not (snapshot / part).is_file()]
        if missing:
            raise _missing(hub_id, f"{hub_id} is only in part on this machine: {', '.join(missing)} is missing.")
        return snapshot / name
    missing = missing_files(snapshot)
    if missing:
        raise _missing(whole, f"{hub_id} is only in part on this machine: {', '.join(missing)} is missing.")
    return snapshot


def _missing(hub_id: HubId, message: str) -> NotDownloaded:
    return NotDownloaded(f"{message} Download it: {pull_command(hub_id)}", hub_id)


def pull_command(hub_id: HubId) -> str:
    """The command that downloads it, quoted."""
    return f"seirenes models pull {shlex.quote(str(hub_id))}"


def _snapshot(repo: Path, revision: str) -> Path | None:
    """The folder of a revision; without a record of `main`, the only snapshot there is."""
    commit = ""
    if _COMMIT.fullmatch(revision) and (repo / "snapshots" / revision).is_dir():
        return repo / "snapshots" / revision
    with suppress(OSError, UnicodeDecodeError, UserError), open_regular(repo / "refs" / revision) as file:
        commit = file.read(256).decode("ascii").strip()
    if _COMMIT.fullmatch(commit) and (repo / "snapshots" / commit).is_dir():
        return repo / "snapshots" / commit
    try:
        only = [folder for folder in (repo / "snapshots").iterdir() if folder.is_dir()]
    except OSError:
        return None
    return only[0] if revision == MAIN and not commit and len(only) == 1 else None


def _file_names(folder: Path) -> list[str]:
    return [
        (Path(at) / name).relative_to(folder).as_posix() for at, _, names in os.walk(folder) for name in sorted(names)
    ]


def missing_files(folder: Path) -> list[str]:
    """Files that a model folder needs and lacks: config, weights, every shard that its index names."""
    adapter = (folder / "adapter_config.json").is_file()
    config = "adapter_config.json" if adapter else "config.json"
    found = [] if (folder / config).is_file() else [config]
    shards = _indexed(folder / "model.safetensors.index.json")
    if shards:
        return found + [name for name in shards if not (folder / name).is_file()]
    if not any(file.is_file() for file in folder.glob("*.safetensors")):
        found.append("adapter_model.safetensors" if adapter else "model.safetensors")
    return found


def _indexed(index: Path) -> list[str]:
    """The shards that an index names; none where there is no index that can be read."""
    try:
        if not index.is_file() or index.stat().st_size > _MAX_INDEX_BYTES:
            return []
        shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        return sorted({name for name in shards if isinstance(name, str) and _sound(name)})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


# ---------------------------------------------------------------------- GGUF files of a repository


def split_parts(name: str) -> tuple[str, ...]:
    """All parts of a GGUF in several files, by the name of one; the name itself for a whole one."""
    found = _SPLIT.fullmatch(name)
    if found is None or not 1 <= int(found["count"]) <= 999:
        return (name,)
    return tuple(f"{found['stem']}-{n:05}-of-{found['count']}.gguf" for n in range(1, int(found["count"]) + 1))


def group_gguf_files(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The GGUF models among a repository's files: first part → parts that are there. Projectors are left out."""
    groups: dict[str, list[str]] = {}
    for name in sorted(names):
        base = name.rsplit("/", 1)[-1].lower()
        if base.endswith(".gguf") and not base.startswith("mmproj") and "imatrix" not in base:
            groups.setdefault(split_parts(name)[0], []).append(name)
    return {first: tuple(parts) for first, parts in groups.items()}


def quantisation_tag(name: str) -> str:
    """The part of a GGUF's name that tells how it is quantised, as in Q4_K_M; its stem where none does."""
    stem = (_SPLIT.fullmatch(name) or {"stem": name.removesuffix(".gguf")})["stem"].rsplit("/", 1)[-1]
    parts = re.split(r"[-.]", stem)
    tags = [part for part in parts if re.fullmatch(r"(?i)(I?Q\d\w*|T?Q\d_\w+|MXFP4\w*|BF16|F16|F32|FP16|FP32)", part)]
    return tags[-1].upper() if tags else stem


def choose_gguf_file(hub_id: HubId, groups: Iterable[str]) -> str:
    """The GGUF that an id means among these (first parts): by path, by file name, by quantisation, or the only one.

    Raises a UserError that lists what there is, where none or several fit.
    """
    there, wanted = list(groups), hub_id.file.casefold()
    if not wanted:
        found = there
    else:
        paths = {name.casefold(): name for name in there}
        whole = split_parts(hub_id.file)[0].casefold()
        found = [paths[whole]] if whole in paths else []
        for key in (lambda n: n.rsplit("/", 1)[-1].casefold(), lambda n: quantisation_tag(n).casefold()):
            found = found or [name for name in there if key(name) in (wanted, whole)]
    if len(found) == 1:
        return found[0]
    if not there:
        raise UserError(f"{hub_id.repo} holds no GGUF file. Name it without {hub_id.file!r}.")
    options = ", ".join(str(replace(hub_id, file=short_name(name, there))) for name in (found or there)[:12])
    if not wanted or found:
        raise UserError(f"{hub_id} holds several GGUF files. Name one of them: {options}.")
    raise UserError(f"{hub_id.repo} holds no GGUF file {hub_id.file!r}. There are: {options}.")


def short_name(name: str, there: Iterable[str]) -> str:
    """What a GGUF is called by in a hub id: its quantisation where that tells it from the others, else its path."""
    tag = quantisation_tag(name)
    return tag if [quantisation_tag(other) for other in there].count(tag) == 1 and " " not in tag else name


def describe_path(path: Path) -> str:
    """A path as a person names it: the hub id for what lies in a Hugging Face cache, else the last part."""
    parts = path.parts
    for i in range(len(parts) - 3, -1, -1):
        if parts[i].startswith("models--") and parts[i + 1] == "snapshots":
            repo = parts[i].removeprefix("models--").replace("--", "/", 1)
            file = "/".join(parts[i + 3 :])
            return repo + (f":{file}" if file else "")
    return path.name


def without_commit(name: str) -> str:
    """A name without the commit that `pinned` added, as a person wrote it."""
    return re.sub(r"@[0-9a-f]{7,64}(?=:|$)", "", name)


def pinned(name: str) -> str:
    """A hub id with the commit that the cache holds, so that the same name means the same weights later.

    Anything else as it is. Raises `NotDownloaded` where the cache lacks it.
    """
    if _exists(expanded(name)):
        return name
    hub_id = parse_hub_id(name)
    if hub_id is None:
        return name
    parts = find_cached(hub_id).relative_to(cache_folder()).parts
    return str(replace(hub_id, revision=parts[parts.index("snapshots") + 1]))
