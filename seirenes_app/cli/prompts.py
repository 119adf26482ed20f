"""The verb `seirenes prompts`: the profiles that decide how models are prompted. No model is asked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from seirenes_app.cli.common import OUT, print_table
from seirenes_app.services.formatting import visible
from training.core.prompts import TYPE_LABELS, PromptProfile, adversary_messages, profile_to_toml, reasoner_messages
from training.core.types import HintType
from training.prompt_files import find_profile, list_profiles, read_profile, save_profile


def add_parsers(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`seirenes prompts` with its commands."""
    prompts_ = verbs.add_parser("prompts")
    commands = prompts_.add_subparsers(dest="command", metavar="COMMAND", required=True)
    list_ = commands.add_parser("list", help="the profiles that ship and your own")
    show = commands.add_parser("show", help="a profile as TOML, or the messages that it makes of a problem")
    show.add_argument("name", metavar="NAME|FILE")
    show.add_argument("--problem", metavar="Q", help="show the messages for this problem")
    copy = commands.add_parser("copy", help="copy a profile under a new name, to edit it")
    copy.add_argument("name", metavar="NAME|FILE")
    copy.add_argument("new", metavar="NEW")
    check = commands.add_parser("check", help="check a profile's file")
    check.add_argument("file", type=Path, metavar="FILE")
    for parser in (list_, show, copy, check):
        parser.add_argument("--json", action="store_true")


def prompts(options: argparse.Namespace) -> int:
    """Do one command."""
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "list": _list, "show": _show, "copy": _copy, "check": _check,
    }  # fmt: skip
    return commands[options.command](options)


def _list(options: argparse.Namespace) -> int:
    found = list_profiles()
    if options.json:
        facts = [
            {"name": p.name, "digest": p.profile.digest if p.profile else None, "built_in": p.built_in,
             "path": str(p.path), "description": p.profile.description if p.profile else "",
             "problem": p.problem or None}
            for p in found
        ]  # fmt: skip
        print(json.dumps(facts, ensure_ascii=False))
        return 0
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ("profile", "", "about"):
        table.add_column(heading, no_wrap=heading == "profile", overflow="fold")
    for listed in found:
        label = listed.profile.label if listed.profile else listed.name
        about = listed.profile.description if listed.profile else f"cannot be used: {listed.problem}"
        table.add_row(Text(label), "built in" if listed.built_in else "yours", Text(visible(about)))
    print_table(table)
    return 0


def _show(options: argparse.Namespace) -> int:
    profile = find_profile(options.name)
    if options.json:
        print(json.dumps({**asdict(profile), "digest": profile.digest}, ensure_ascii=False))
    elif options.problem is None:
        _print(f"# {profile.label}\n{profile_to_toml(profile)}".rstrip())
    else:
        _show_messages(profile, options.problem)
    return 0


def _show_messages(profile: PromptProfile, question: str) -> None:
    parts = {"Reasoner": reasoner_messages(question, profile)}
    parts |= {f"Adversary, {TYPE_LABELS[t]}": adversary_messages(question, t, profile) for t in HintType}
    _print(profile.label)
    for title, messages in parts.items():
        for message in messages:
            _print(f"\n[{title}: {message['role']}]\n{message['content']}")


def _copy(options: argparse.Namespace) -> int:
    path = save_profile(find_profile(options.name), options.new)
    if options.json:
        print(json.dumps({"name": options.new, "path": str(path)}, ensure_ascii=False))
    else:
        _print(f"Written to {path}\nUse it with: --prompts {options.new}")
    return 0


def _check(options: argparse.Namespace) -> int:
    profile = read_profile(options.file.expanduser())
    if options.json:
        print(json.dumps({"name": profile.name, "digest": profile.digest, "label": profile.label}))
    else:
        _print(f"{options.file} is a sound prompt profile: {profile.label}")
    return 0


def _print(text: str) -> None:
    OUT.print(visible(text, "\n"), highlight=False, markup=False, soft_wrap=True)
