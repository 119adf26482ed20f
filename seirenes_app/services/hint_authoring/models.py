"""Which model a choice means, how it is asked, and that it is loaded. It never waits for the worker."""

from __future__ import annotations

from pathlib import Path

from seirenes_app.inference.client import WorkerClient
from seirenes_app.inference.models import bundled_model, describe_gguf
from seirenes_app.inference.protocol import Message
from seirenes_app.inference.requests import OnEvent, Request
from seirenes_app.services.hint_authoring.draft import Draft, SolverChoice
from training.core.prompts import Message as Turn
from training.core.prompts import PromptStyle, adversary_messages, reasoner_messages
from training.errors import UserError

# The bundled model and what was trained from it: no other text model is as small in both.
_COMPACT_VOCAB, _COMPACT_PARAMS = 2048, 10_000_000


def model_path(choice: SolverChoice) -> Path:
    """The GGUF of a choice. Raises a `UserError` when it is not there."""
    if not choice.model:
        return bundled_model()
    path = Path(choice.model).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: there is no such model file. Choose another model, or the bundled one.")
    return path.absolute()


def style_for(choice: SolverChoice) -> PromptStyle:
    """The choice's own style; else compact for the bundled model and its offspring, full instructions for others."""
    if choice.style is not None:
        return choice.style
    if not choice.model:
        return PromptStyle.COMPACT
    try:
        facts = describe_gguf(model_path(choice))
    except UserError:
        # Loading it says what is wrong, better than here.
        return PromptStyle.INSTRUCT
    small = facts.n_vocab <= _COMPACT_VOCAB and facts.n_params <= _COMPACT_PARAMS
    return PromptStyle.COMPACT if small else PromptStyle.INSTRUCT


def ask_model(client: WorkerClient, choice: SolverChoice, on_event: OnEvent | None = None) -> Request | None:
    """Ask for the choice's model unless the client has it, or is about to; None when there is nothing to wait for.

    Requests made after it wait for it by themselves. Raises a `UserError` when a file is not there.
    """
    path, lora = str(model_path(choice)), _adapter(choice)
    asked = client.model_asked
    if asked is not None and (asked.model, asked.lora, asked.n_ctx) == (path, lora, choice.n_ctx):
        return None
    return client.load(path, n_ctx=choice.n_ctx, lora=lora, on_event=on_event)


def _adapter(choice: SolverChoice) -> str | None:
    if not choice.lora:
        return None
    path = Path(choice.lora).expanduser()
    if not path.is_file():
        raise UserError(f"{path}: there is no such adapter file. Choose another one, or none.")
    return str(path.absolute())


def sample_messages(draft: Draft, text: str, style: PromptStyle) -> tuple[Message, ...]:
    """The chat that shows the solver a condition's text. The draft itself has no other say in it."""
    return as_chat(reasoner_messages(text, style))


def hint_messages(draft: Draft, style: PromptStyle) -> tuple[Message, ...]:
    """The chat that asks the adversary for a perturbation of the draft's type."""
    return as_chat(adversary_messages(draft.problem.question.strip(), draft.type, style))


def as_chat(turns: list[Turn]) -> tuple[Message, ...]:
    """Turns as the worker takes them."""
    return tuple(Message(turn["role"], turn["content"]) for turn in turns)
