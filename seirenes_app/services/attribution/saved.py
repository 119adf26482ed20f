"""Attribution results in the workspace, beside the results of solving. They are found again after a restart."""

from __future__ import annotations

import json
import logging
from typing import TypeVar

import msgspec

from seirenes_app.services.attribution.logprob_delta import LogprobDelta
from seirenes_app.services.attribution.sentence_ablation import AblationResult
from seirenes_app.store.workspace import CraftStore

_log = logging.getLogger(__name__)
PREFIX = {LogprobDelta: "logprob-delta", AblationResult: "ablation"}
"""By which the keys differ from those of the results of solving."""

T = TypeVar("T", LogprobDelta, AblationResult)


def save_attribution(store: CraftStore, draft_id: str, solve_key: str, value: LogprobDelta | AblationResult) -> None:
    """Keep a result under the key of the solving that it explains. Raises a `UserError` when that fails."""
    store.put_result(draft_id, f"{PREFIX[type(value)]}:{solve_key}", json.dumps(msgspec.to_builtins(value)))


def load_attribution(store: CraftStore, draft_id: str, solve_key: str, kind: type[T]) -> T | None:
    """The result of that kind and key, None where there is none or it is damaged. Raises a `UserError`."""
    text = store.result(draft_id, f"{PREFIX[kind]}:{solve_key}")
    try:
        return msgspec.json.decode(text, type=kind) if text is not None else None
    except msgspec.MsgspecError as error:
        # It can be made again.
        _log.warning("a saved attribution of the draft %s is left out: %s", draft_id, error)
        return None
