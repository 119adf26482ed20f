"""What a server of the Tinker API serves, asked without its client: known in seconds, before anything is loaded."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

from training.endpoints import server_key
from training.errors import UserError

CONNECT_S = 5.0
"""Within which a server must answer what it serves."""
NEEDED = (
    "create_session", "create_model", "forward_backward", "optim_step", "asample", "save_weights", "load_weights",
    "save_weights_for_sampler", "retrieve_future",
)  # fmt: skip
"""Requests of the API without which no run is possible."""
SENT = {
    "create_session": ("tags", "user_metadata", "sdk_version", "project_id", "type"),
    "create_model": ("session_id", "model_seq_id", "base_model", "user_metadata", "lora_config", "type"),
}
"""The fields that the client sends in the requests with which a run begins."""
ANSWERED = {"create_session": "session_id", "create_model": "request_id"}
"""The field of their answers that it needs."""
MAX_ANSWER_BYTES = 1 << 20
T = TypeVar("T")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class EngineError(UserError):
    """The server refused a request, or does not speak the API."""


class ServerAwayError(EngineError):
    """The server cannot be reached, or has an error of its own: what was asked can be right, and be asked again."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A key is for one server."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def served_models(url: str, timeout_s: float = CONNECT_S) -> dict[str, int | None]:
    """The models that are served, each with the longest context, or None where the server does not say. Raises an
    `EngineError` within `timeout_s`, also where a name is not resolved or an answer comes byte by byte."""
    found = _within(lambda: _ask(url.rstrip("/"), timeout_s), timeout_s)
    if found is None:
        raise _away(url)
    return found


def _within(work: Callable[[], T], timeout_s: float) -> T | None:
    """What `work` returns or raises; None where it takes longer. A timeout of a socket is one of each read alone."""
    done: list[T] = []
    failed: list[BaseException] = []

    def go() -> None:
        try:
            done.append(work())
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
            failed.append(error)

    thread = threading.Thread(target=go, name="engine-probe", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if failed:
        raise failed[0]
    return done[0] if done else None


def check_served(url: str, base_model: str, timeout_s: float = CONNECT_S) -> int | None:
    """The longest context of a model on the server, None where it does not say. Raises an `EngineError`, as
    `served_models` does, or because the model is not served."""
    served = served_models(url, timeout_s)
    if base_model not in served:
        listed = ", ".join(list(served)[:5]) + (" …" if len(served) > 5 else "")
        raise EngineError(
            f"{url} does not serve {base_model}. It serves {listed or 'no model'}. Set engine.base_model to the "
            "server's name of the model in model.path."
        )
    return served[base_model]


def check_requests(url: str, timeout_s: float = CONNECT_S) -> None:
    """An `EngineError` that names the requests that the server does not have, by its answers to another method than
    theirs: 405 of those that it has, 404 of others; or the fields that it wants otherwise, where it describes itself
    (OpenAPI). Nothing is concluded where most answers are not 405, where there is no description, or late."""

    def ask() -> tuple[list[int], object]:
        return [_code_of(url.rstrip("/"), name, timeout_s) for name in NEEDED], _description(url.rstrip("/"), timeout_s)

    answers, described = _within(ask, timeout_s) or ([], None)
    missing = [name for name, code in zip(NEEDED, answers, strict=False) if code == 404]
    if missing and 2 * answers.count(405) > len(NEEDED):
        raise other_version(url, f"it has no {', '.join(missing)}")
    if faults := _other_forms(described):
        raise other_version(url, "; ".join(faults))


def _other_forms(described: Any) -> list[str]:
    faults = []
    for name, sent in SENT.items():
        wanted = form_of(described, name, answer=False).get("required")
        if isinstance(wanted, list) and (others := [str(field)[:50] for field in wanted if field not in sent]):
            faults.append(f"{name} wants {', '.join(others[:5])}")
        fields = form_of(described, name, answer=True).get("properties")
        if isinstance(fields, dict) and fields and ANSWERED[name] not in fields:
            faults.append(f"the answer of {name} has no {ANSWERED[name]}")
    return faults


def form_of(described: Any, name: str, *, answer: bool) -> dict[str, Any]:
    """The schema of a request's body, or of its answer, in an OpenAPI description; empty where it has none."""
    try:
        post = described["paths"][f"/api/v1/{name}"]["post"]
        part = post["responses"]["200"] if answer else post["requestBody"]
        schema = part["content"]["application/json"]["schema"]
        if "$ref" in schema:
            schema = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    except (KeyError, TypeError, IndexError, AttributeError):
        return {}
    return schema if isinstance(schema, dict) else {}


def refused_key(url: str, code: int) -> EngineError:
    return EngineError(
        f"{url} does not accept the key (code {code}). Save its key: seirenes engine key {url}"
        if server_key(url)
        else f"{url} wants a key (code {code}), and none is saved for it. Save it: seirenes engine key {url}"
    )


def other_version(url: str, why: str = "") -> EngineError:
    return EngineError(
        f"{url} does not speak the Tinker API of this version{f' ({why})' if why else ''}. Check engine.url (without "
        "/api/v1), and the versions of the server and of the package tinker."
    )


def _away(url: str) -> ServerAwayError:
    return ServerAwayError(f"{url} cannot be reached. Check engine.url, and whether the server runs.")


def _read(url: str, path: str, timeout_s: float) -> bytes:
    request = urllib.request.Request(f"{url}/{path}")
    if key := server_key(url):
        request.add_header("X-API-Key", key)
    proxies = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in LOOPBACK else []
    with urllib.request.build_opener(_NoRedirect, *proxies).open(request, timeout=timeout_s) as answer:
        return bytes(answer.read(MAX_ANSWER_BYTES))


def _code_of(url: str, name: str, timeout_s: float) -> int:
    """The status of a GET; 0 without an answer."""
    try:
        _read(url, f"api/v1/{name}", timeout_s)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError, http.client.HTTPException):
        return 0
    return 200


def _description(url: str, timeout_s: float) -> object:
    """What the server says of its requests, as OpenAPI; None where it does not."""
    try:
        return json.loads(_read(url, "openapi.json", timeout_s))
    except (OSError, ValueError, RecursionError, http.client.HTTPException):
        return None


def _ask(url: str, timeout_s: float) -> dict[str, int | None]:
    try:
        return _models(json.loads(_read(url, "api/v1/get_server_capabilities", timeout_s)))
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise refused_key(url, error.code) from None
        if error.code >= 500 and error.code != 501:
            raise ServerAwayError(f"{url} answers with code {error.code}. See the server's log.") from None
        raise other_version(url, f"code {error.code}") from None
    except (OSError, urllib.error.URLError) as error:
        if "SSL" in type(getattr(error, "reason", error)).__name__:
            raise EngineError(
                f"{url} has no valid certificate, or speaks http. Check engine.url: http:// or https://."
            ) from None
        raise _away(url) from None
    except Exception as error:  # noqa: BLE001 - whatever is raised over what a stranger sent, or over what is no address
        raise other_version(
            url, "" if isinstance(error, ValueError) else "its list of models has another form"
        ) from None


def _models(found: Any) -> dict[str, int | None]:
    if not isinstance(found, Mapping):
        raise ValueError("no object")
    return {str(m["model_name"]): m.get("max_context_length") for m in found["supported_models"]}
