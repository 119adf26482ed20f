"""The exact text that a model gets: messages written by its chat template, special tokens and all. No Qt, no torch.

A GGUF file is asked through the worker, a Hugging Face folder is read here. Both take the template of the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.protocol import LoadRequest, Message, Rendered, RenderRequest
from seirenes_app.store.resources import starter_folder
from training.core.chat_template import folder_template
from training.core.prompts import Message as Turn
from training.core.prompts import Placement, PromptProfile, adversary_messages, join_hint, reasoner_messages
from training.core.types import HintType
from training.endpoints import names_endpoint
from training.model_names import locate_model
from training.prompt_files import STARTER

EXAMPLE = "Tom has 25 apples and buys 17 more. Then he gives 6 of them to Mia. How many apples does Tom have now?"
"""Shown where no problem is at hand."""
EXAMPLE_HINT = "Mia is 9 years old."
SERVED_NOTE = "These messages are sent; the endpoint's server writes them by a chat template of its own."


@dataclass(frozen=True, slots=True)
class ExactPrompt:
    """One prompt as the model gets it. `n_tokens` None: no tokenizer here can count them. `note` says what is used
    instead of a chat template that is missing or broken."""

    title: str
    text: str
    n_tokens: int | None
    note: str = ""


def prompts_to_show(
    profile: PromptProfile,
    question: str = EXAMPLE,
    hint: str = EXAMPLE_HINT,
    type_: HintType | None = None,
    placement: Placement = Placement.APPEND,
) -> list[tuple[str, list[Turn]]]:
    """Titles and messages: the Reasoner without and with the hint, and the Adversary for the type, or for all four."""
    found = [("Reasoner, clean", reasoner_messages(question, profile))]
    if hint:
        found.append(("Reasoner, with a hint", reasoner_messages(join_hint(question, hint, placement), profile)))
    types = tuple(HintType) if type_ is None else (type_,)
    return found + [
        (f"Adversary, {kind.replace('_', ' ')}", adversary_messages(question, kind, profile)) for kind in types
    ]


def render_prompts(
    model: str,
    wanted: Sequence[tuple[str, list[Turn]]],
    profile: PromptProfile,
    client: WorkerClient | None = None,
) -> list[ExactPrompt]:
    """The exact prompts of a model: 'starter', a folder, a hub id in the cache, or a GGUF file. `client` is a worker to
    ask, which then has that model loaded; without one a worker is started for it. Raises a `UserError`."""
    if names_endpoint(model):
        return render_messages(wanted)
    path = starter_folder() if model == STARTER else locate_model(model)
    if path.suffix != ".gguf":
        return _render_folder(path, wanted, profile)
    request = LoadRequest(model=str(path))
    if client is not None:
        return render_gguf(client, request, wanted, profile)
    with WorkerClient() as own:
        return render_gguf(own, request, wanted, profile)


def render_gguf(
    client: WorkerClient, model: LoadRequest, wanted: Sequence[tuple[str, list[Turn]]], profile: PromptProfile
) -> list[ExactPrompt]:
    """The exact prompts of a GGUF file, written by the worker. Raises a `UserError`."""
    pending = []
    for _title, turns in wanted:
        messages = tuple(Message(turn["role"], turn["content"]) for turn in turns)
        request = RenderRequest(messages=messages, template_variables=dict(profile.template))
        pending.append(client.send(request, model=model))
    found = []
    for (title, _turns), waiting in zip(wanted, pending, strict=True):
        rendered = waiting.result()
        assert isinstance(rendered, Rendered)
        found.append(ExactPrompt(title, rendered.text, rendered.n_tokens, rendered.note))
    return found


def render_messages(wanted: Sequence[tuple[str, list[Turn]]]) -> list[ExactPrompt]:
    """The messages that go to an endpoint: its server writes them by its own chat template, which is not known here."""
    return [
        ExactPrompt(title, "\n\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in turns), None, SERVED_NOTE)
        for title, turns in wanted
    ]


def _render_folder(folder: Path, wanted: Sequence[tuple[str, list[Turn]]], profile: PromptProfile) -> list[ExactPrompt]:
    template = folder_template(folder)
    count = _token_counter(folder)
    found = []
    for title, turns in wanted:
        text = template.render(turns, profile.template).text
        found.append(ExactPrompt(title, text, None if count is None else count(text), template.note.text))
    return found


class _TokenCounter:
    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(file))

    def __call__(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _token_counter(folder: Path) -> _TokenCounter | None:
    """None for a folder without a tokenizer.json that can be read."""
    try:
        return _TokenCounter(folder / "tokenizer.json") if (folder / "tokenizer.json").is_file() else None
    except Exception:  # noqa: BLE001 - the library raises plain Exception for a damaged file
        return None
