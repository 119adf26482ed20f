"""Questions to the Hugging Face hub: search, the files of a model, who is logged in. Every failure is a sentence.

All calls use the network and block: call them off the window's thread. The token comes from the system keyring, or
from the hub's own login, and appears in no file, event or text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from seirenes_app.services.formatting import visible
from training.errors import UserError
from training.model_names import MAIN, HubId, group_gguf_files, parse_hub_id, short_name

if TYPE_CHECKING:
    from huggingface_hub import HfApi

# Read when the client is first imported: it sends the hub no facts about this machine and its programs.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

SERVICE, ENTRY = "seirenes", "huggingface"
"""Where the token is in the system keyring."""
TIMEOUT_S = 15.0
OFFLINE_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
LOGIN = "seirenes models login"
_HUB = "https://huggingface.co"
_FACTS = ("downloads", "gated", "tags", "pipeline_tag")
_TRUE = ("1", "on", "true", "yes")
# As huggingface_hub sends it on; said wherever a text of another library could hold it.
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}|(?i:bearer\s+)\S+")


class HubProblem(StrEnum):
    """Why the hub did not give what was asked for; it decides what is offered as the next step."""

    SWITCHED_OFF = "switched_off"
    """HF_HUB_OFFLINE is set."""
    UNREACHABLE = "unreachable"
    """No network, no address of that name, nobody answers."""
    LOST = "lost"
    """The connection broke in mid-download, again and again."""
    GATED = "gated"
    """The licence must be accepted on the model's page, with this account."""
    LOGIN = "login"
    """The token is not valid, or may not read this."""
    MISSING = "missing"
    """No such repository, or a private one."""
    NO_REVISION = "no_revision"
    NO_FILE = "no_file"
    RATE_LIMIT = "rate_limit"
    SERVER = "server"
    """The hub answers with an error of its own."""
    WRONG_BYTES = "wrong_bytes"
    DISK = "disk"
    REFUSED = "refused"
    """The repository holds nothing that can be used."""


class HubError(UserError):
    """`message` says what happened, `remedy` what to do; as text both."""

    def __init__(self, problem: HubProblem, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.problem, self.message, self.remedy = problem, message, remedy


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or huggingface.co."""
    return (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def model_page(hub_id: HubId) -> str:
    return f"{endpoint()}/{hub_id.repo}"


def require_hub_id(text: str) -> HubId:
    """The hub id that `text` is; a UserError for anything else."""
    hub_id = parse_hub_id(text)
    if hub_id is None:
        raise UserError(f"{text!r} is not a hub id. It looks like org/name, org/name:file.gguf or org/name:Q4_K_M.")
    return hub_id


# ---------------------------------------------------------------------- token


class TokenSource(StrEnum):
    KEYRING = "the system keyring"
    HUB_LOGIN = "the hub's own login"
    NONE = "none"


def find_token() -> tuple[str | None, TokenSource]:
    """The token and where it is from: the keyring, else HF_TOKEN or the file of `hf auth login`."""
    if token := _keyring_token():
        return token, TokenSource.KEYRING
    import huggingface_hub

    try:
        token = huggingface_hub.get_token()
    except (OSError, ValueError):  # an unreadable file, a failed exchange of tokens
        token = None
    return (token, TokenSource.HUB_LOGIN) if token else (None, TokenSource.NONE)


def _keyring_token() -> str | None:
    import keyring
    from keyring.errors import KeyringError

    try:
        return keyring.get_password(SERVICE, ENTRY) or None
    except (KeyringError, OSError, RuntimeError):  # no backend, a locked keyring, no session bus
        return None


def keyring_problem() -> str:
    """Why no token can be kept in the system keyring; "" where one can."""
    import keyring
    from keyring.backends import fail, null

    has_none = isinstance(keyring.get_keyring(), fail.Keyring | null.Keyring)
    return "This system has no keyring." if has_none else ""


def save_token(token: str) -> None:
    """Keep the token in the system keyring. A UserError where there is none, or the text is no token."""
    import keyring
    from keyring.errors import KeyringError

    token = token.strip()
    if not token or any(c.isspace() for c in token) or not token.isprintable():
        raise UserError(f"That is not a token. Copy it from {endpoint()}/settings/tokens.")
    remedy = "Log in with the hub's own command, which is used as well: hf auth login"
    if problem := keyring_problem():
        raise UserError(f"{problem} The token was not saved. {remedy}")
    try:
        keyring.set_password(SERVICE, ENTRY, token)
    except (KeyringError, OSError, RuntimeError) as error:
        raise UserError(f"The keyring did not take the token ({type(error).__name__}). {remedy}") from None


def delete_token() -> bool:
    """Remove the token from the keyring; False where there was none. The hub's own login is left as it is."""
    import keyring
    from keyring.errors import KeyringError

    if _keyring_token() is None:
        return False
    try:
        keyring.delete_password(SERVICE, ENTRY)
    except (KeyringError, OSError, RuntimeError) as error:
        raise UserError(f"The keyring did not remove the token ({type(error).__name__}).") from None
    return True


@dataclass(frozen=True, slots=True)
class LoginStatus:
    """`user` is the account's name, "" where nobody is logged in or the hub could not be asked (`problem`)."""

    source: TokenSource
    user: str = ""
    problem: str = ""
    keyring_problem: str = ""


def login_status() -> LoginStatus:
    """Who is logged in, asked of the hub. Never raises for a network or a token that does not work."""
    token, source = find_token()
    if token is None:
        return LoginStatus(source, keyring_problem=keyring_problem())
    try:
        with _asking("the account"):
            user = str(_api(token).whoami().get("name", ""))
    except HubError as error:
        return LoginStatus(source, problem=str(error), keyring_problem=keyring_problem())
    return LoginStatus(source, user, keyring_problem=keyring_problem())


# ---------------------------------------------------------------------- questions


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository. `sha256` is known for large files, `git_sha1` for small ones."""

    name: str
    size: int
    sha256: str = ""
    git_sha1: str = ""

    @property
    def etag(self) -> str:
        """What the cache names the file's content by."""
        return self.sha256 or self.git_sha1


@dataclass(frozen=True, slots=True)
class RemoteModel:
    """A repository at one commit. `gated`: its licence must be accepted on its page before a download."""

    hub_id: HubId
    commit: str
    files: tuple[RemoteFile, ...]
    gated: bool
    private: bool
    licence: str


@dataclass(frozen=True, slots=True)
class GgufChoice:
    """A GGUF of a repository. `hub_id` names exactly it; `size_bytes` counts all its parts."""

    hub_id: HubId
    name: str
    quantisation: str
    size_bytes: int
    parts: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """A model that a search found. `downloads` is of the last month; `licence` "" where none is stated."""

    repo: str
    downloads: int
    licence: str
    gated: bool
    has_gguf: bool
    has_safetensors: bool


def read_remote(hub_id: HubId) -> RemoteModel:
    """The files of a repository, with their sizes. Raises a `HubError`."""
    with _asking(hub_id):
        info = _api().model_info(hub_id.repo, revision=hub_id.revision, files_metadata=True, timeout=TIMEOUT_S)
    files = tuple(
        RemoteFile(f.rfilename, f.lfs.size, sha256=f.lfs.sha256)
        if f.lfs is not None
        else RemoteFile(f.rfilename, f.size or 0, git_sha1=f.blob_id or "")
        for f in info.siblings or ()
    )
    return RemoteModel(
        hub_id, str(info.sha or ""), files, bool(info.gated), bool(info.private), _licence(info)
    )  # fmt: skip


def check_access(hub_id: HubId) -> None:
    """Raise a `HubError` where this account may not download from a gated repository."""
    with _asking(hub_id):
        _api().auth_check(hub_id.repo)


def list_gguf_files(hub_id: HubId, remote: RemoteModel | None = None) -> list[GgufChoice]:
    """The GGUF models of a repository, smallest first; a model in several files is one. Raises a `HubError`."""
    remote = remote or read_remote(hub_id)
    sizes = {file.name: file.size for file in remote.files}
    groups = group_gguf_files(sizes)
    found = [
        GgufChoice(
            HubId(hub_id.repo, short_name(first, groups), hub_id.revision), first, short_name(first, groups),
            sum(sizes[part] for part in parts), len(parts),
        )
        for first, parts in groups.items()
    ]  # fmt: skip
    return sorted(found, key=lambda choice: (choice.size_bytes, choice.name))


def search_hub(query: str, limit: int = 30) -> list[SearchResult]:
    """Text generation models whose name fits, the most downloaded first. Raises a `HubError`."""
    with _asking(f"models called {query!r}"):
        from huggingface_hub import ModelInfo
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

        # Asked directly: the client's `list_models` has no time limit and tries again and again.
        wanted = {"search": query.strip(), "sort": "downloads", "limit": limit, "expand": list(_FACTS)}
        headers = build_hf_headers(token=find_token()[0] or False, library_name="seirenes")
        response = session().get(f"{endpoint()}/api/models", params=wanted, headers=headers)
        hf_raise_for_status(response)
        found = [ModelInfo(**item) for item in response.json()]
    return [_search_result(info) for info in found if _writes_text(info)]


def _writes_text(info: Any) -> bool:
    return info.pipeline_tag in (None, "text-generation", "image-text-to-text", "text2text-generation")


def _search_result(info: Any) -> SearchResult:
    tags = set(info.tags or ())
    return SearchResult(
        info.id, int(info.downloads or 0), _licence(info), bool(info.gated), "gguf" in tags, "safetensors" in tags
    )


def _licence(info: Any) -> str:
    """The licence that the model's card states: its name where it is one of its own, else the hub's key."""
    card = info.card_data.to_dict() if getattr(info, "card_data", None) else {}
    found = card.get("license_name") if card.get("license") == "other" else card.get("license")
    tagged = (t.removeprefix("license:") for t in info.tags or () if t.startswith("license:"))
    return visible(str(found or next(tagged, "")))[:80]


def session() -> Any:
    """The client's HTTP session. It has no time limit of its own, and a silent hub would be waited for for ever."""
    from huggingface_hub import get_session

    found = get_session()
    found.timeout = TIMEOUT_S
    return found


def _api(token: str | None = None) -> HfApi:
    from huggingface_hub import HfApi

    session()
    token = token or find_token()[0]
    return HfApi(endpoint=endpoint(), token=token or False, library_name="seirenes")


# ---------------------------------------------------------------------- failures as sentences


@contextmanager
def _asking(what: HubId | str) -> Iterator[None]:
    """Turn what the client raises into a `HubError` about `what`."""
    check_switched_on()
    from huggingface_hub.errors import HFValidationError, HTTPError

    try:
        yield
    except HubError:
        raise
    except (HTTPError, OSError, HFValidationError, ValueError) as error:
        raise explain(error, what) from error


def check_switched_on() -> None:
    """Raise a `HubError` where the user has switched the hub off by its environment variable."""
    for name in OFFLINE_SWITCHES:
        if os.environ.get(name, "").strip().lower() in _TRUE:
            raise HubError(
                HubProblem.SWITCHED_OFF,
                f"The hub is switched off: {name} is set.",
                f"Start seirenes without it, as in: env -u {name} seirenes …",
            )


def explain(error: Exception, what: HubId | str) -> HubError:
    """A failure of the client, or of the disk, as a sentence with its remedy."""
    from huggingface_hub import errors

    hub_id = what if isinstance(what, HubId) else None
    name, page = str(what), model_page(hub_id) if hub_id else endpoint()
    if isinstance(error, errors.OfflineModeIsEnabled):
        return HubError(
            HubProblem.SWITCHED_OFF, "The hub is switched off for this process (HF_HUB_OFFLINE).",
            "Start seirenes without that variable.",
        )  # fmt: skip
    if isinstance(error, errors.GatedRepoError):
        return gated_error(name, page)
    if isinstance(error, errors.RevisionNotFoundError):
        revision = hub_id.revision if hub_id else MAIN
        return HubError(
            HubProblem.NO_REVISION, f"{hub_id.repo if hub_id else name} has no revision {revision!r}.",
            f"The branches and tags are listed at {page}/tree/main.",
        )  # fmt: skip
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            HubProblem.MISSING, f"The hub has no model {name}, or it is private.",
            f"Check the spelling. For a private one, log in with an account that may read it: {LOGIN}",
        )  # fmt: skip
    if isinstance(error, errors.EntryNotFoundError):
        return HubError(HubProblem.NO_FILE, f"{name} is not in the repository any more.", f"Look at {page}/tree/main.")
    if isinstance(error, errors.HfHubHTTPError):
        return _explain_status(error, name)
    if isinstance(error, errors.HFValidationError):
        return HubError(HubProblem.MISSING, f"{name} is not a name that the hub has.", "Check the spelling.")
    return _explain_connection(error, name)


def gated_error(name: str, page: str) -> HubError:
    return HubError(
        HubProblem.GATED, f"{name} is gated: its licence must be accepted first.",
        f"Accept it at {page}, then log in with that account: {LOGIN}",
    )  # fmt: skip


def _explain_status(error: Any, name: str) -> HubError:
    status = error.response.status_code
    if status in (401, 403):
        what = "did not accept the token" if status == 401 else f"does not allow this token to read {name}"
        return HubError(
            HubProblem.LOGIN, f"The hub {what} ({status}).", f"Make a token with read access and log in again: {LOGIN}"
        )
    if status == 429:
        wait = error.response.headers.get("Retry-After", "")
        when = f"in {wait} s" if wait.isdigit() else "in a few minutes"
        remedy = f"Try again {when}. The limit is higher with an account: {LOGIN}"
        return HubError(HubProblem.RATE_LIMIT, "The hub has had too many requests from here (429).", remedy)
    if status >= 500:
        return HubError(
            HubProblem.SERVER, f"The hub has a problem of its own ({status}).", "Try again in a few minutes."
        )
    return HubError(HubProblem.SERVER, f"The hub refused the request for {name} ({status}).", "Try again later.")


def _explain_connection(error: Exception, name: str) -> HubError:
    host = urlsplit(endpoint()).hostname or endpoint()
    proxy = next((v for v in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy") if os.environ.get(v)), "")
    remedy = f"Check the network{f', and the proxy in {proxy}' if proxy else ''}, then try again."
    if isinstance(error, ValueError):
        return HubError(HubProblem.SERVER, f"{host} did not answer as the hub does.", "Check HF_ENDPOINT.")
    return HubError(
        HubProblem.UNREACHABLE,
        f"{host} cannot be reached, so {name} could not be read ({plain_reason(error)}).",
        remedy,
    )


def plain_reason(error: Exception) -> str:
    """The first line of an error of another library, without addresses' query parts and without a token."""
    lines = str(error).strip().splitlines()
    text = _TOKEN.sub("…", lines[0] if lines else type(error).__name__)
    return visible(re.sub(r"\?[^\s'\"]*", "", text)).rstrip(".")[:200]
