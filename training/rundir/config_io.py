"""Read and write a run's configuration: TOML for people, JSON in the run directory, KEY=VALUE on the command line.

A key that is not in the schema is refused with the nearest one that is; so is a value out of its range.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast, get_type_hints

from training.errors import UserError
from training.rundir.config import RunConfig


@dataclass(frozen=True)
class OptionInfo:
    """One option of the schema. `key` is dotted; `type` is bool, int, float, str or a StrEnum."""

    key: str
    type: type
    default: Any
    help: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    section: str
    section_help: str


@dataclass(frozen=True)
class Preset:
    """A configuration that ships, with one line about it."""

    name: str
    description: str
    config: RunConfig


def _default(f: Field[Any]) -> Any:
    return f.default


def describe_options() -> tuple[OptionInfo, ...]:
    """Every option in the schema's order; the window's form and the command's --set are made from it."""
    return tuple(_describe(RunConfig, ""))


def _describe(schema: type, section: str) -> list[OptionInfo]:
    hints, found = get_type_hints(schema), []
    for f in fields(schema):
        kind = hints[f.name]
        if is_dataclass(kind):
            found += _describe(cast(type, kind), f.name)
            continue
        m = f.metadata
        choices = tuple(str(c) for c in kind) if issubclass(kind, StrEnum) else ()
        key = f"{section}.{f.name}" if section else f.name
        help_ = (schema.__doc__ or "").strip().splitlines()[0]
        found.append(
            OptionInfo(key, kind, _default(f), m["help"], m["unit"], m["low"], m["high"], choices, section, help_)
        )
    return found


_OPTIONS = {o.key: o for o in describe_options()}


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Plain nested values, in the schema's order."""
    return _plain(asdict(config))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        k: _plain(v) if isinstance(v, dict) else (str(v) if isinstance(v, StrEnum) else v) for k, v in values.items()
    }


def from_dict(data: Mapping[str, Any], source: str) -> RunConfig:
    """A configuration from nested values; options left out have their defaults. `source` is named in errors."""
    return _build(dict(_flatten(data, "", source)), source)


def _flatten(data: Mapping[str, Any], section: str, source: str) -> list[tuple[str, Any]]:
    found = []
    for key, value in data.items():
        dotted = f"{section}.{key}" if section else str(key)
        if isinstance(value, Mapping):
            if not any(known.startswith(dotted + ".") for known in _OPTIONS):
                raise _unknown(dotted, source)
            found += _flatten(value, dotted, source)
        else:
            found.append((dotted, value))
    return found


def _build(values: Mapping[str, Any], source: str) -> RunConfig:
    checked = {}
    for key, value in values.items():
        if key not in _OPTIONS:
            raise _unknown(key, source)
        checked[key] = _check(_OPTIONS[key], value, source)
    return _make(RunConfig, "", checked)  # type: ignore[no-any-return]


def _make(schema: type, section: str, values: Mapping[str, Any]) -> Any:
    hints, given = get_type_hints(schema), {}
    for f in fields(schema):
        if is_dataclass(hints[f.name]):
            given[f.name] = _make(hints[f.name], f.name, values)
        elif (key := f"{section}.{f.name}" if section else f.name) in values:
            given[f.name] = values[key]
    return schema(**given)


def _unknown(key: str, source: str) -> UserError:
    sections = {o.section for o in _OPTIONS.values() if o.section}
    near = difflib.get_close_matches(key, [*_OPTIONS, *sections], n=1, cutoff=0.4)
    if not near:
        leaves = {k.rpartition(".")[2]: k for k in _OPTIONS}
        near = [leaves[n] for n in difflib.get_close_matches(key.rpartition(".")[2], leaves, n=1, cutoff=0.5)]
    hint = f" Did you mean {near[0]!r}?" if near else " The options are listed in training/rundir/config.py."
    return UserError(f"{source}: there is no option {key!r}.{hint}")


def _check(option: OptionInfo, value: Any, source: str) -> Any:
    where = f"{source}: {option.key} = {value!r}"
    if issubclass(option.type, StrEnum):
        if value not in option.choices:
            near = difflib.get_close_matches(str(value), option.choices, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UserError(f"{where} is none of {', '.join(option.choices)}.{hint}")
        return option.type(value)
    if option.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not option.type:
        raise UserError(f"{where} should be {_TYPE_WORDS[option.type]}.")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = option.low, option.high
        inside = (low is None or value >= low) and (high is None or value <= high)  # NaN is outside of every range
        if not inside or value != value:
            raise UserError(f"{where} is out of range: {say_range(low, high)}.")
    return value


_TYPE_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def say_range(low: float | None, high: float | None) -> str:
    """An option's inclusive range in words: "1 to 1,000,000", "at least 0"; "" without one."""
    if low is None:
        return "" if high is None else f"at most {_say_number(high)}"
    return f"at least {_say_number(low)}" if high is None else f"{_say_number(low)} to {_say_number(high)}"


def _say_number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:,g}"


def parse_overrides(overrides: Sequence[str], source: str = "--set") -> dict[str, Any]:
    """KEY=VALUE texts as values of the schema's types."""
    parsed: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"{source} {text}: expected KEY=VALUE, for example update.kl=0.01.")
        option = _OPTIONS.get(key.strip())
        if option is None:
            raise _unknown(key.strip(), source)
        parsed[option.key] = _read(option, value.strip())
    return parsed


def _read(option: OptionInfo, text: str) -> Any:
    if option.type is bool:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(text.lower(), text)
    if option.type in (int, float):
        try:
            return option.type(text)
        except ValueError:
            return text
    return text


def load_config(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """The configuration in a .toml or .json file, with overrides on top; all mistakes are UserErrors."""
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise UserError(f"Cannot read the configuration {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} is not a readable configuration: {error}. Mend that place, or restore the file."
        ) from error
    if not isinstance(data, dict):
        raise UserError(f"{path} should hold a table of options.")
    values = dict(_flatten(data, "", str(path)))
    return _build({**values, **parse_overrides(overrides)}, str(path))


def to_toml(config: RunConfig) -> str:
    """The whole configuration with each option's help as a comment; reads back equal."""
    lines: list[str] = []
    section, values = "", to_dict(config)
    for o in _OPTIONS.values():
        if o.section != section:
            section = o.section
            lines += ["", f"[{section}]  # {o.section_help}"]
        leaf = o.key.rpartition(".")[2]
        value = values[section][leaf] if section else values[leaf]
        unit = f" [{o.unit}]" if o.unit else ""
        lines.append(f"{leaf} = {_toml(value)}  # {o.help}{unit}")
    return "\n".join(lines).lstrip("\n") + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def load_presets(folder: Path) -> dict[str, Preset]:
    """The presets of a folder by name; the first comment line of each is its description."""
    found = {}
    for path in sorted(folder.glob("*.toml")):
        first = path.read_text(encoding="utf-8").split("\n", 1)[0]
        found[path.stem] = Preset(path.stem, first.lstrip("# ").strip(), load_config(path))
    return found
