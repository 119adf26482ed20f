"""Problem sets on the hub, read through `datasets`: what is cached is used as it is, and without a network.

It never waits for a network that is not there: what is not cached then fails at once and says what to do. `datasets`
and `huggingface_hub` are imported when a set is opened.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from training.core.types import AnswerKind
from training.errors import UserError
from training.evaluation.problem_sets.sources import RowSource, open_file
from training.evaluation.problem_sets.types import NOT_STATED, ColumnMapping, Row

_BY_NC_SA, _BY_NC_ND = "CC BY-NC-SA 4.0", "CC BY-NC-ND 4.0"
_CARD = "https://huggingface.co/datasets/"


@dataclass(frozen=True, slots=True)
class Preset:
    """A set on the hub. `kind` None reads numbers as numbers and everything else as expressions.

    `licence` is that of the hub's copy as its card states it; AIME, AMC and HMMT problems remain their organisers'.
    """

    key: str
    title: str
    hub: str
    split: str
    mapping: ColumnMapping
    kind: AnswerKind | None
    k: int
    """Samples a problem for avg@k: ours, larger for small sets; 32 on AIME as published (DAPO, arXiv 2503.14476)."""
    problems: int
    licence: str
    source: str = ""
    """Who states the licence and the columns; by default the hub's card."""
    config: str = ""
    files: tuple[str, ...] = ()
    """These files of the hub's folder, where its data viewer would take others."""
    note: str = ""


_NUMBER = AnswerKind.NUMBER
_INDEXED = ColumnMapping("problem", "answer", id="problem_idx")
_TYPED = replace(_INDEXED, type="problem_type")
_SYMBOLIC = ColumnMapping("question", "answer", id="id+instance", group="original_id")

_ALL = (
    Preset(
        "aime24", "AIME 2024", "HuggingFaceH4/aime_2024", "train",
        ColumnMapping("problem", "answer", id="id", solution="solution"), _NUMBER, 32, 30, NOT_STATED,
    ),
    Preset("aime25", "AIME 2025", "MathArena/aime_2025", "train", _TYPED, _NUMBER, 32, 30, _BY_NC_SA),
    Preset(
        "aime26", "AIME 2026", "MathArena/aime_2026", "train", _INDEXED, _NUMBER, 32, 30, _BY_NC_SA,
        _CARD + "MathArena/aime_2026/blob/main/README.md",
    ),
    Preset(
        "amc23", "AMC 2023", "math-ai/amc23", "test", ColumnMapping("question", "answer", id="id"), _NUMBER, 32, 40,
        NOT_STATED,
    ),
    Preset(
        "math500", "MATH-500", "HuggingFaceH4/MATH-500", "test",
        ColumnMapping("problem", "answer", id="unique_id", type="subject", solution="solution"), None, 4, 500,
        NOT_STATED,
        note="The card is silent; the problems come from MATH by way of github.com/openai/prm800k, which is MIT.",
    ),
    Preset("hmmt25", "HMMT February 2025", "MathArena/hmmt_feb_2025", "train", _TYPED, None, 32, 30, _BY_NC_SA),
    Preset(
        "beyondaime", "BeyondAIME", "ByteDance-Seed/BeyondAIME", "test", ColumnMapping("problem", "answer"), _NUMBER,
        8, 100, "CC0 1.0",
    ),
    Preset(
        "gsm8k", "GSM8K", "openai/gsm8k", "test", ColumnMapping("question", "answer"), _NUMBER, 1, 1319, "MIT",
        config="main",
    ),
    Preset(
        "svamp", "SVAMP", "ChilleD/SVAMP", "train+test",
        ColumnMapping("Question", "Answer", type="Type", id="ID", context="Body"), _NUMBER, 1, 1000, "MIT",
        note="Both parts of the hub's copy together are the 1,000 problems of the original, which has no such parts.",
    ),
    Preset(
        "gsm-plus", "GSM-Plus", "qintongli/GSM-Plus", "test",
        ColumnMapping("question", "answer", type="perturbation_type", solution="solution", group="seed_question"),
        _NUMBER, 1, 10552, "CC BY-SA 4.0",
        note="Questions that lack what is needed have the answer None: they cannot be verified and are left out.",
    ),
    Preset(
        "gsm-ic", "GSM-IC", "voidful/GSM-IC", "",
        ColumnMapping("new_question", "answer", type="sentence_label", group="original_question"),
        _NUMBER, 1, 58052, NOT_STATED, "https://github.com/google-research-datasets/GSM-IC",
        files=("GSM-IC_2step.json", "GSM-IC_mstep.json"),
        note="Named by file, because the only split that the hub shows is 1,000 clean questions of GSM8K.",
    ),
    *(
        Preset(
            f"gsm-symbolic{part and f'-{part}'}", f"GSM-Symbolic {part.upper()}".rstrip(), "apple/GSM-Symbolic", "test",
            _SYMBOLIC, _NUMBER, 1, problems, _BY_NC_ND, config=part or "main",
        )
        for part, problems in (("", 5000), ("p1", 5000), ("p2", 2500))
    ),
)  # fmt: skip

PRESETS = {p.key: p if p.source else replace(p, source=_CARD + p.hub) for p in _ALL}


HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_CONNECT_S = 3.0
_ENDINGS = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True)
class HubAddress:
    """A data set on the hub; `split` "" is the only one, or the test split."""

    hub: str
    config: str = ""
    split: str = ""

    def __str__(self) -> str:
        parts = " ".join(part for part in (self.config, self.split) if part)
        return f"{self.hub} ({parts})" if parts else self.hub


def find_preset(name: str) -> Preset | None:
    plain = name.strip().casefold()
    if plain in PRESETS:
        return PRESETS[plain]
    return next((p for p in PRESETS.values() if plain in (p.title.casefold(), p.hub.casefold())), None)


def open_preset(preset: Preset, folder: Path | None = None) -> RowSource:
    """The preset's rows: from its file in `folder`, from the cache, or from the hub, in this order."""
    for ending in _ENDINGS if folder else ():
        path = Path(folder or ".") / f"{preset.key}{ending}"
        if path.is_file():
            return _own_copy(open_file(path), preset)
    if preset.files:
        return _open_files(preset, folder)
    found = open_hub(HubAddress(preset.hub, preset.config, preset.split), preset.key, folder)
    return replace(found, licence=preset.licence, mapping=preset.mapping, kind=preset.kind)


def _own_copy(source: RowSource, preset: Preset) -> RowSource:
    """The user's copy has the hub's columns, or the ones that an import wrote."""
    columns = {name for row in islice(source.rows(), 20) if not row.damage for name in row.cells}
    wanted = preset.mapping.columns().values()
    fits = all(part in columns for column in wanted for part in column.split("+"))
    mapping = preset.mapping if fits else None
    return replace(source, name=preset.key, licence=preset.licence, mapping=mapping, kind=preset.kind)


def open_hub(address: HubAddress, name: str = "", folder: Path | None = None) -> RowSource:
    """Any data set by its address; its columns are recognised or mapped by hand."""
    split = _load(address, _remedy(name or address.hub, folder))

    def rows() -> Iterator[Row]:
        for number, cells in enumerate(split, 1):
            yield Row(number, 0, cells)

    name = name or address.hub.rsplit("/", 1)[-1]
    return RowSource(name, str(address), "hub", rows, lambda row: f"{address}, row {row.number}")


def _remedy(name: str, folder: Path | None) -> str:
    stem = name.rsplit("/", 1)[-1]
    here = f"as {Path(folder) / stem}.jsonl" if folder else "and name it in place of the data set"
    return (
        f"Where there is a network, run: seirenes problems import {name} -o {stem}.jsonl — then copy that file to "
        f"this machine {here}."
    )


def _load(address: HubAddress, remedy: str) -> Any:
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    # The library's own switch, which it reads at each call.
    switched_off, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, True
    try:
        return _pick(datasets.load_dataset(address.hub, address.config or None), address)
    except (OSError, ValueError):  # not cached, or another configuration is
        pass
    finally:
        datasets.config.HF_HUB_OFFLINE = switched_off
    _check_network(str(address), switched_off, datasets.config.HF_ENDPOINT, remedy)
    try:
        return _pick(datasets.load_dataset(address.hub, address.config or None), address)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{address} cannot be had from the hub: {_first_line(error)}. {remedy}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")[:300]


def _check_network(what: str, switched_off: bool, endpoint: str, remedy: str) -> None:
    if switched_off:
        raise UserError(f"{what} is not on this machine, and the hub is switched off (HF_HUB_OFFLINE). {remedy}")
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return
    url = urlsplit(endpoint)
    try:
        port = url.port or (80 if url.scheme == "http" else 443)
        socket.create_connection((url.hostname or "", port), timeout=_CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise UserError(f"{what} is not on this machine, and {url.hostname} cannot be reached. {remedy}") from error


def _pick(splits: Any, address: HubAddress) -> Any:
    """The wanted split of all, "train+test" joined."""
    import datasets

    names = [name for name in address.split.split("+") if name]
    if not names:
        if len(splits) > 1 and "test" not in splits:
            raise UserError(f"{address} has several splits: {', '.join(splits)}. Name one with --split.")
        names = ["test" if "test" in splits else next(iter(splits))]
    missing = next((name for name in names if name not in splits), None)
    if missing is not None:
        raise UserError(f"{address.hub} has no split {missing!r}. It has: {', '.join(splits)}.")
    parts = [splits[name] for name in names]
    return parts[0] if len(parts) == 1 else datasets.concatenate_datasets(parts)


def _open_files(preset: Preset, folder: Path | None) -> RowSource:
    from huggingface_hub import constants, hf_hub_download

    remedy = _remedy(preset.key, folder)
    paths: list[Path] = []
    for name in preset.files:
        try:
            path = hf_hub_download(preset.hub, name, repo_type="dataset", local_files_only=True)
        except (OSError, ValueError):  # not cached
            _check_network(f"{preset.title} ({preset.hub})", constants.HF_HUB_OFFLINE, constants.ENDPOINT, remedy)
            try:
                path = hf_hub_download(preset.hub, name, repo_type="dataset")
            except Exception as error:
                raise UserError(f"{preset.hub} cannot be had from the hub: {_first_line(error)}. {remedy}") from error
        paths.append(Path(path))
    files = tuple(open_file(path) for path in paths)

    def rows() -> Iterator[Row]:
        pairs = ((part, row) for part, file in enumerate(files) for row in file.rows())
        for number, (part, row) in enumerate(pairs, 1):
            yield replace(row, number=number, part=part)

    return RowSource(
        preset.key, preset.hub, "JSON", rows, lambda row: files[row.part].place(row), preset.licence, preset.mapping,
        preset.kind,
    )  # fmt: skip


def open_source(name: str, folder: Path | None = None, config: str = "", split: str = "") -> RowSource:
    """A file, a preset, or a data set by its hub name, whichever `name` is. Raises a `UserError` for none of them."""
    path = Path(name).expanduser()
    if path.exists():
        return open_file(path)
    preset = find_preset(name)
    if preset is not None and not (config or split):
        return open_preset(preset, folder)
    if HUB_NAME.fullmatch(name) and path.suffix.lower() not in (*_ENDINGS, ".tsv", ".ndjson"):
        return open_hub(HubAddress(name, config, split))
    raise UserError(f"{name!r} is no file and no preset. Presets: {', '.join(PRESETS)}; or a hub name, owner/name.")
