"""Where prompt profiles are: those that ship, the user's own, and which of them fits a model. Reads and writes TOML.

The user's profiles are files in the data folder's `prompts/`. A profile of a run, an evaluation or a draft is stored
with it and is not looked up here.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from training.core.prompts import PromptProfile, check_name, parse_profile, profile_to_toml
from training.errors import UserError
from training.model_names import locate_model
from training.resources import data_folder, resources_folder
from training.runs.files import explained, open_regular, write_whole

AUTO = "auto"
"""In place of a profile's name: by the model."""
COMPACT, NEUTRAL, CAUTIOUS = "compact", "neutral", "cautious"
BUILT_IN = (NEUTRAL, CAUTIOUS, COMPACT)
INSTRUCT = "instruct"
"""The instructions of version 0.1. Not listed: it is for runs, evaluations and drafts that began with it."""
STARTER = "starter"
MAX_BYTES = 200_000
_COMPACT_VOCAB = 2048
"""The bundled model and what was trained from it have fewer tokens; no other text model has."""


@dataclass(frozen=True, slots=True)
class ListedProfile:
    """One profile that can be chosen. `path` is its file; `problem` says why it cannot be read, and then it is None."""

    name: str
    path: Path
    built_in: bool
    profile: PromptProfile | None
    problem: str = ""


def prompts_folder() -> Path:
    """The folder of the user's profiles; it need not exist."""
    return data_folder() / "prompts"


def built_in(name: str) -> PromptProfile:
    """A profile that ships, by its name."""
    return _built_in(resources_folder() / "prompts" / f"{name}.toml")


@lru_cache(maxsize=16)
def _built_in(path: Path) -> PromptProfile:
    return read_profile(path)


def read_profile(path: Path) -> PromptProfile:
    """The profile in a file, called by the file's name. A `UserError` names file, line and remedy."""
    try:
        with open_regular(path) as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode("utf-8")
    except FileNotFoundError as error:
        raise UserError(
            f"There is no prompt profile {path}. Name a TOML file, or a profile of: seirenes prompts list"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The prompt profile {path} cannot be read ({error}). Restore or correct the file.") from error
    if len(raw) > MAX_BYTES:
        raise UserError(f"The prompt profile {path} is larger than {MAX_BYTES:,} bytes. Shorten it.")
    return parse_profile(text, str(path), path.stem)


def list_profiles() -> list[ListedProfile]:
    """Those that ship, then the user's by name, also the ones that cannot be read."""
    shipped = [(resources_folder() / "prompts" / f"{name}.toml", True) for name in BUILT_IN]
    own = sorted(prompts_folder().glob("*.toml")) if prompts_folder().is_dir() else []
    found = []
    for path, ships in [*shipped, *((path, False) for path in own)]:
        if not ships and path.stem in (*BUILT_IN, INSTRUCT, AUTO):
            found.append(ListedProfile(path.stem, path, False, None, "It has the name of a built-in one. Rename it."))
            continue
        try:
            found.append(ListedProfile(path.stem, path, ships, read_profile(path)))
        except UserError as error:
            found.append(ListedProfile(path.stem, path, ships, None, str(error)))
    return found


def names_file(name: str) -> bool:
    """Whether the name of a profile means a TOML file, not one of the profiles in their folder."""
    path = Path(name)
    return path.suffix == ".toml" or len(path.parts) > 1


def find_profile(name: str) -> PromptProfile:
    """The profile of that name, or in that TOML file. A `UserError` lists those there are."""
    if name in (*BUILT_IN, INSTRUCT):
        return built_in(name)
    if names_file(name):
        return read_profile(Path(name).expanduser())
    own = prompts_folder() / f"{name}.toml"
    if own.is_file():
        return read_profile(own)
    known = [listed.name for listed in list_profiles()]
    near = difflib.get_close_matches(name, known, n=1)
    raise UserError(
        f"There is no prompt profile {name!r}. {f'Did you mean {near[0]!r}? ' if near else ''}"
        f"There are: {', '.join(known)}; or name a TOML file."
    )


def is_compact(folder: Path) -> bool:
    """Whether the model in a Hugging Face folder, or an adapter's base, is the bundled one or was trained from it."""
    try:
        adapter = folder / "adapter_config.json"
        if adapter.is_file():
            base = str(json.loads(adapter.read_text(encoding="utf-8"))["base_model_name_or_path"])
            return base == STARTER or (Path(base) != folder and _has_few_tokens(Path(base)))
        return _has_few_tokens(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _has_few_tokens(folder: Path) -> bool:
    file = folder / "config.json"
    if not file.is_file():
        return False
    config = json.loads(file.read_text(encoding="utf-8"))
    return int(config["vocab_size"]) <= _COMPACT_VOCAB


def profile_for_folder(model: str | Path) -> PromptProfile:
    """What fits a model: compact for the bundled one ('starter') and what was trained from it, neutral for others."""
    try:
        compact = str(model) == STARTER or is_compact(locate_model(model))
    except UserError:
        # Whoever loads the model says what is wrong with it, better than here.
        compact = False
    return built_in(COMPACT if compact else NEUTRAL)


def choose_profile(name: str, model: str | Path) -> PromptProfile:
    """The profile of that name or file; for 'auto' the one that fits the model."""
    return profile_for_folder(model) if name == AUTO else find_profile(name)


def successor(name: str) -> str:
    """Names of version 0.1 as those of today, for what begins now."""
    return CAUTIOUS if name == INSTRUCT else name


def save_profile(profile: PromptProfile, name: str, *, replace_: bool = False) -> Path:
    """Write a profile of the user under a name; returns its file. A `UserError` for a name that is taken."""
    check_name(name)
    if name in (*BUILT_IN, INSTRUCT, AUTO):
        raise UserError(f"{name!r} is the name of a built-in profile. Choose another name.")
    path = prompts_folder() / f"{name}.toml"
    if path.exists() and not replace_:
        raise UserError(f"There is a profile {name!r} already ({path}). Choose another name.")
    with explained("Making the folder", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, profile_to_toml(replace(profile, name=name)))
    return path
