"""Messages become the prompt that a model was trained on, by the template in its own file.

A template comes with a downloaded file, so it runs in jinja2's immutable sandbox: no attribute of Python's insides, no
change of what it is given. Without a template, or with one that does not compile, a plain form is used and said so.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from seirenes_app.inference.protocol import Message
from training.errors import UserError

_PLAIN = "The file has no chat template: messages are written as “User: …” and “Assistant: …” lines."


class ChatFormat:
    """How one model's prompts are written. `note` says what a person should know; empty when all is well."""

    def __init__(self, template: str, bos: str = "", eos: str = "") -> None:
        self.note = "" if template else _PLAIN
        self._specials = {"bos_token": bos, "eos_token": eos}
        self._template: jinja2.Template | None = None
        if template:
            try:
                self._template = _environment().from_string(template)
            except (jinja2.TemplateError, RecursionError) as error:
                self.note = f"The file's chat template cannot be read ({error}); plain lines are used instead."

    def render(self, messages: tuple[Message, ...]) -> str:
        """The prompt up to where the model begins to write. Raises a `UserError` when the template refuses."""
        if self._template is None:
            lines = [f"{m.role.capitalize()}: {m.content}" for m in messages]
            return "\n".join([*lines, "Assistant:"])
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return self._template.render(
                messages=turns, add_generation_prompt=True, tools=None, enable_thinking=False, **self._specials
            )
        except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            # Whatever an untrusted template does wrong is the file's fault and no bug here.
            raise UserError(
                f"The model's chat template refuses these messages ({error}). Many allow no system message and want "
                "user and assistant to take turns."
            ) from error


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    environment.filters["tojson"] = _to_json
    return environment


def _raise(words: str) -> NoReturn:
    raise jinja2.TemplateError(words)


def _to_json(value: Any, indent: int | None = None) -> str:
    """As the templates expect it: not escaped for HTML, as jinja2's own is."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
