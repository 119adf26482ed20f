"""The backend that speaks the Tinker API: a LoRA adapter that a server samples with and trains. No weights here.

The server holds base model, adapter and optimiser; this side has the tokenizer, the advantages and the order of things.
It uses the request client of the `tinker` package, not its training client: that one repeats requests by itself, and a
repeated update is applied twice. The rules here:

- Sampling changes nothing on the server, so it is tried again while the server cannot be reached.
- An update is one `forward_backward` request with all rows and one `optim_step` request, each sent once. Where the
  outcome of one is unknown, or the server's own step count is not the expected one, the state that was saved after the
  update before is loaded into a fresh model and the update is made again.
- A setting that the server cannot honour is refused by name before the start (`training.runs.config.check_engine`).

Servers add up the losses of tokens differently: the API's description says that they are summed, SkyRL divides those of
a row by the sum of its token weights, and the gradient by the number of rows. Both are measured at the start. Where
weights are applied, the weights of a row sum to 1 and its advantages are multiplied by its length, which has the same
gradient in both; where rows are averaged, advantages are multiplied by their number.
"""

import asyncio
import io
import json
import math
import re
import tarfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as NotDone
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from training.endpoints import server_key
from training.engine import checkpoint, update
from training.engine.base import (
    Cancelled,
    Completion,
    LossParams,
    OptimStats,
    Progress,
    SamplingParams,
    Tokens,
    TrainRow,
    UpdateStats,
)
from training.engine.chat_tokenizer import ChatTokenizer
from training.engine_probe import (
    CONNECT_S,
    EngineError,
    ServerAwayError,
    check_requests,
    check_served,
    other_version,
    refused_key,
)
from training.errors import UserError
from training.runs.config import EngineConfig, Tuning

STATE_FILE = "backend.json"
ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
MAX_ARCHIVE_BYTES = 8 << 30
START_PATIENCE_S = 2.0
"""How long one that fails while the run starts is asked again."""
SESSION_S = 9.5
"""By when after the start a session must be open."""
POLL_S = 0.1
HEARTBEAT_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0
UPDATE_ATTEMPTS = 3

T = TypeVar("T")


class UnknownOutcome(Exception):
    """A request that changes the server's state was sent, and whether it was carried out is not known."""


def check_installed() -> None:
    if find_spec("tinker") is None:
        raise UserError(
            "engine.backend = 'tinker' needs the package tinker. Install it: pip install 'seirenes[cluster]'"
        )


# ---------------------------------------------------------------------- the connection


class _Connection:
    """Requests of one server on a thread of its own, so that a run can be stopped while one is waiting."""

    def __init__(self, url: str, patience_s: float, timeout_s: float) -> None:
        from tinker._client import AsyncTinker
        from tinker.lib._auth_token_provider import AuthTokenProvider

        class Key(AuthTokenProvider):
            """The key of the system keyring; none for a server that needs none."""

            async def get_token(self) -> str | None:
                return server_key(url)

        self.url, self.patience_s = url, patience_s
        self._client = AsyncTinker(base_url=url, _auth=Key(), max_retries=0, timeout=timeout_s)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tinker", daemon=True)
        self._thread.start()
        self.starting = False
        """While the run starts: a server that is not there, or broken, is not waited for."""
        self.waiting: Callable[[str], object] | None = None
        """Called with what is waited for while the server cannot be reached."""

    @property
    def client(self) -> Any:
        return self._client

    def run(
        self, work: Coroutine[Any, Any, T], *, cancelled: Callable[[], bool] | None = None,
        tick: Callable[[], object] | None = None, timeout_s: float | None = None,
    ) -> T:  # fmt: skip
        """The result of `work`. Raises `Cancelled` soon after `cancelled` answers True, and what `work` raises."""
        running: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        ends = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                return running.result(POLL_S)
            except NotDone:
                if running.done():  # a time limit of the work itself
                    raise
                if cancelled is not None and cancelled():
                    running.cancel()
                    raise Cancelled from None
                if ends is not None and time.monotonic() > ends:
                    running.cancel()
                    raise ServerAwayError(
                        f"{self.url} did not answer within {timeout_s:.0f} s. Check engine.url, and whether the server "
                        "runs."
                    ) from None
                if tick is not None:
                    tick()
            except CancelledError:
                raise Cancelled from None

    def background(self, work: Coroutine[Any, Any, object]) -> Future[object]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        async def end() -> None:
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await self._client.close()
            self._loop.call_soon(self._loop.stop)

        if self._thread.is_alive():
            self.background(end())
            self._thread.join(2.0)

    # ------------------------------------------------------------------ on the loop's thread

    async def ask(self, call: Callable[[], Awaitable[T]], *, repeatable: bool, what: str) -> T:
        """The answer to one HTTP request. One that may be repeated is, while the server cannot be reached or has an
        error of its own; one that may not raises `UnknownOutcome` once it may have arrived."""
        import httpx
        import tinker

        unreached, wait_s = 0.0, FIRST_WAIT_S
        while True:
            broken = False
            try:
                return await call()
            except tinker.APIStatusError as error:
                if error.status_code not in (408, 425, 429) and error.status_code < 500:
                    raise self._refusal(error, what) from None
                if not repeatable and error.status_code >= 500:
                    raise UnknownOutcome(f"{what}: code {error.status_code}") from None
                problem, broken = f"answers with code {error.status_code}", error.status_code >= 500
            except (tinker.APIConnectionError, httpx.HTTPError) as error:
                cause = error.__cause__ if isinstance(error, tinker.APIConnectionError) else error
                if not repeatable and not isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
                    raise UnknownOutcome(f"{what}: {type(error).__name__}") from None
                problem, broken = "cannot be reached", isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout)
            except tinker.APIError as error:
                raise EngineError(
                    f"{self.url} does not speak the Tinker API as this version does ({type(error).__name__} in {what})."
                    " Update the server, or the package tinker."
                ) from None
            # From the first failure on: a connection may be lost after a long wait for a result.
            unreached = unreached or time.monotonic()
            # At the start a server that is there may compile for minutes; one that is not shall be known at once.
            patience_s = min(START_PATIENCE_S, self.patience_s) if self.starting and broken else self.patience_s
            if time.monotonic() - unreached + wait_s > patience_s:
                raise ServerAwayError(
                    f"{self.url} {problem} ({what}). Start the server again and resume the run, or check engine.url."
                )
            if self.waiting is not None:
                self.waiting(f"{self.url} {problem}")
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    async def future(self, submit: Callable[[], Awaitable[Any]], *, repeatable: bool, what: str) -> dict[str, Any]:
        """Submit a request and wait for its result. Waiting may be repeated, whatever was submitted."""
        from tinker import types

        request = await self.ask(submit, repeatable=repeatable, what=what)
        asked = types.FutureRetrieveRequest(request_id=request.request_id)
        while True:
            try:
                response = await self.ask(
                    lambda: self._client.futures.with_raw_response.retrieve(request=asked), repeatable=True, what=what
                )
            except _Missing as error:
                if repeatable:
                    raise
                raise UnknownOutcome(f"{what}: {error}") from None
            try:
                found = _read_json(await response.read())
            except ValueError:
                raise EngineError(f"{self.url} sent no JSON for {what}. Check engine.url.") from None
            if not isinstance(found, dict):
                raise EngineError(f"{self.url} sent a result of {what} that cannot be read. Update the server.")
            if found.get("type") == "try_again":
                await asyncio.sleep(POLL_S)
                continue
            if "error" in found:
                reason = _short(found["error"])
                kind = _Missing if _GONE.search(reason) else _Refused
                raise kind(f"{self.url} refused {what}: {reason}")
            return found

    def _refusal(self, error: Any, what: str) -> Exception:
        if error.status_code in (401, 403):
            return refused_key(self.url, error.status_code)
        body = error.body if isinstance(error.body, dict) else {}
        reason = _short(body.get("detail", ""))
        # A server that was restarted says so of its models in either way.
        if error.status_code == 404 or _GONE.search(reason):
            missing = _Missing(f"{self.url} does not have what {what} names ({reason}). Check engine.url.")
            missing.why = f"{what}: {reason}"
            return missing
        if error.status_code == 422:
            unfit = _Unfit(f"{self.url} refused {what} (code 422): {reason}")
            unfit.why = f"{what}: {reason}"
            return unfit
        return _Refused(f"{self.url} refused {what} (code {error.status_code}): {reason}")


class _Missing(EngineError):
    """The server does not have it."""

    why = ""
    """The server's words for what was asked."""


class _Refused(EngineError):
    """The server was asked, and does not do it."""


class _Unfit(EngineError):
    """The server wants other fields in a request."""

    why = ""


def _short(text: object) -> str:
    """A server's words, of a length for one line; never more, for they may repeat a request."""
    if isinstance(text, list) and text and all(isinstance(part, dict) and "msg" in part for part in text):
        # How FastAPI lists what is wrong with a request.
        text = "; ".join(f"{'.'.join(map(str, part.get('loc', ())))}: {part['msg']}" for part in text)
    return " ".join(str(text).split())[:300] or "no reason given"


# ---------------------------------------------------------------------- the backend


@dataclass(slots=True)
class _Call:
    """One `forward_backward` that waits for the step."""

    rows: list[TrainRow]
    loss: LossParams


@dataclass(slots=True)
class _Datum:
    """A row as it is sent. `tokens` are prompt and completion; the others are of the completion alone."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    advantages: list[float]
    clip: tuple[float, float]
    calls: list[int] = field(default_factory=list)
    """The calls that have a share in it."""


class TinkerBackend:
    """The `Backend` of `training.engine.base` on a server that speaks the Tinker API.

    `model_dir` is the base model's folder on this machine: of it only the tokenizer and the sizes are read. The server
    must serve the same model under `options.base_model` (default: the folder's path).
    """

    trained = True
    threads = 0

    def __init__(
        self, model_dir: Path, options: EngineConfig, *, lora_rank: int, learning_rate: float, warmup_steps: int,
        weight_decay: float, max_grad_norm: float, seed: int, kl: Sequence[str] = (),
    ) -> None:  # fmt: skip
        check_installed()
        self.model_dir, self.options = Path(model_dir), options
        self.codec = ChatTokenizer(self.model_dir)
        self.rank, self.seed = lora_rank, seed
        self.base_model = options.base_model or str(self.model_dir)
        self._rates = (learning_rate, warmup_steps, weight_decay, max_grad_norm)
        self._calls: list[_Call] = []
        self.steps = 0
        self._model_id = ""
        self._sequence = 0
        self._counted_from: tuple[float, int] | None = None
        """The server's step count and ours where both were last known; None where the server has none."""
        self._sampler = ""
        self._state = ""
        self._named: set[str] = set()
        """States that a checkpoint names."""
        self._limit = _context_of(self.model_dir)
        self._io = _Connection(options.url.rstrip("/"), options.patience_s, options.timeout_s)
        try:
            with self._explained():
                self._connect(kl)
        except BaseException:
            self.close() if self._model_id else self._io.close()
            raise

    # ------------------------------------------------------------------ the session

    def _connect(self, kl: Sequence[str]) -> None:
        """See what is served, and make the adapter. Raises an `EngineError` within seconds where that cannot be."""
        began, self._io.starting = time.monotonic(), True
        longest = check_served(self.options.url, self.base_model)
        self._limit = min(self._limit, longest or self._limit)
        self._io.run(self._open_session(), timeout_s=SESSION_S - (time.monotonic() - began))
        check_requests(self.options.url, max(0.5, SESSION_S - (time.monotonic() - began)))
        self._io.background(self._heartbeats())
        for attempt in range(UPDATE_ATTEMPTS):
            try:
                self._begin(kl)
                break
            except (UnknownOutcome, *_LOST) as error:
                # The server was started again, or an answer was lost: what was measured until then may be wrong.
                if attempt == UPDATE_ATTEMPTS - 1:
                    if isinstance(error, EngineError):
                        raise
                    raise EngineError(
                        f"The connection to {self.options.url} was lost {UPDATE_ATTEMPTS} times while the run started "
                        f"({_short(error)}). Start or resume it when the server is reachable."
                    ) from None
                self._unload()
                self._io.run(self._open_session(), timeout_s=SESSION_S)
        self._io.starting = False

    def _begin(self, kl: Sequence[str]) -> None:
        """Make the adapter, and measure how the server computes."""
        self._make_model()
        self._weighted = self._io.run(self._applies_weights())
        if kl and not self._gives_reference():
            raise EngineError(
                f"engine.backend = 'tinker': {kl[0]} needs the log-probabilities of a prompt under the base model, and "
                f"{self.options.url} does not give them. Set {' and '.join(f'{key} = 0' for key in kl)}."
            )
        self._take_state(self._io.run(self._store_state(0)))
        self._averaged = self._io.run(self._averages_rows())
        # The measurement has moved the optimiser's averages.
        self._put_state(self._state)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """What only another version of the API leads to while a run starts: a request that is not known, or refused
        for its fields, and an answer that lacks some."""
        try:
            yield
        except (_Missing, _Unfit) as error:
            raise other_version(self.options.url, error.why or str(error).rstrip(".")) from None
        except (AttributeError, LookupError, TypeError) as error:
            # The client hands on what does not fit its types.
            raise other_version(self.options.url, f"an answer lacks what is needed: {error}") from error

    async def _open_session(self) -> None:
        import tinker
        from tinker import types

        asked = types.CreateSessionRequest(tags=["seirenes"], user_metadata={}, sdk_version=tinker.__version__)
        opened = await self._io.ask(
            lambda: self._io.client.service.create_session(request=asked), repeatable=True, what="opening a session"
        )
        self._session = opened.session_id
        self._models_made = 0

    async def _heartbeats(self) -> None:
        from tinker import types

        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with suppress(Exception):  # the next request says what is wrong
                beat = types.SessionHeartbeatRequest(session_id=self._session)
                await self._io.client.service.session_heartbeat(request=beat)

    def _make_model(self) -> None:
        """A fresh adapter on the server."""
        from tinker import types

        asked = types.CreateModelRequest(
            session_id=self._session, model_seq_id=self._models_made, base_model=self.base_model,
            lora_config=types.LoraConfig(rank=self.rank, seed=self.seed % 2**31, train_unembed=False),
        )  # fmt: skip
        self._models_made += 1

        async def make() -> str:
            named: list[str] = []

            async def submit() -> Any:
                made = await self._io.client.models.create(request=asked)
                named.append(str(made.model_id))
                return made

            found = await self._io.future(submit, repeatable=True, what="making the adapter")
            return str(found.get("model_id") or named[-1])

        self._model_id = self._io.run(make())
        self._sequence, self._counted_from = 0, None
        self._sampler = ""

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    async def _applies_weights(self) -> bool:
        """Whether the server multiplies a token's loss by its weight. It must say so in figures: without per-token
        losses the API's description holds, and rows are sent without weights."""
        from tinker import types

        def losses(found: dict[str, Any]) -> list[float]:
            output = (found.get("loss_fn_outputs") or [{}])[0]
            return list((output.get("elementwise_loss") or {}).get("data") or [])

        tokens = sorted(self.codec.end_ids)[:1] * 3

        async def pass_forward(weight: float) -> list[float]:
            inputs: Any = {"target_tokens": tokens[1:], "logprobs": [0.0, 0.0], "advantages": [1.0, 1.0],
                      "weights": [weight, weight]}  # fmt: skip
            datum = types.Datum(model_input=types.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs)
            asked = types.ForwardRequest(
                model_id=self._model_id, seq_id=self._next(),
                forward_input=types.ForwardBackwardInput(data=[datum], loss_fn="importance_sampling"),
            )  # fmt: skip
            found = await self._io.future(
                lambda: self._io.client.training.forward(request=asked), repeatable=True, what="a forward pass"
            )
            return losses(found)

        try:
            whole, half = await pass_forward(1.0), await pass_forward(0.5)
        except _NOT_DONE:
            return False
        return bool(whole) and bool(whole[0]) and math.isclose(half[0], whole[0] / 2, rel_tol=1e-3)

    async def _averages_rows(self) -> bool:
        """Whether the gradient of two equal rows is that of one. At a rate of 0, so that no weight moves; False where
        the server reports no norm of the gradient, as the API's description has it."""
        tokens = tuple(sorted(self.codec.end_ids)[:1] * 3)
        row = _Datum(tokens, (0.0, 0.0), [1.0, 1.0], (0.2, 0.28))
        norms = []
        for count in (1, 2):
            _, stepped = await self._pass_and_step([self._wire(row, 1)] * count, (), rate=0.0)
            norms.append(_norm_of(stepped))
        return bool(norms[0] > 0 and norms[1] < 1.5 * norms[0])

    def _gives_reference(self) -> bool:
        tokens = tuple(sorted(self.codec.end_ids)[:1] * 3)
        try:
            found = self._io.run(self._reference_of(tokens, 2))
        except _NOT_DONE:
            return False
        return found is not None

    @property
    def context(self) -> int:
        return self._limit

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        rate, warmup, _, _ = self._rates
        return update.warmed_rate(rate, self.steps, warmup)

    @property
    def wait_message(self) -> Callable[[str], object] | None:
        """Called with what is waited for while the server cannot be reached."""
        return self._io.waiting

    @wait_message.setter
    def wait_message(self, call: Callable[[str], object] | None) -> None:
        self._io.waiting = call

    # ------------------------------------------------------------------ sampling

    def sample(
        self,
        prompts: Sequence[Tokens],
        n: int | Sequence[int],
        params: SamplingParams | Sequence[SamplingParams],
        *,
        progress: Progress | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> list[list[Completion]]:
        """Completions of each prompt: one request a prompt, `engine.concurrency` of them at a time.

        The entropy is estimated by −log p of the sampled tokens, whose mean it is.
        """
        counts = [n] * len(prompts) if isinstance(n, int) else list(n)
        asked = [params] * len(prompts) if isinstance(params, SamplingParams) else list(params)
        if any(not each.plain for each in asked):
            raise UserError("This engine samples with a temperature alone: leave top_p, top_k, min_p and "
                            "repetition_penalty of the prompt profile at their defaults.")  # fmt: skip
        done = 0
        reported = -1

        async def one(place: int, prompt: Tokens, free: asyncio.Semaphore) -> list[Completion]:
            nonlocal done
            async with free:
                found = await self._sample_prompt(place, prompt, counts[place], asked[place])
            done += counts[place]
            return found

        async def every() -> list[list[Completion]]:
            if not self._sampler:
                self._sampler = await self._save_sampler()
            free = asyncio.Semaphore(self.options.concurrency)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(i, prompt, free)) for i, prompt in enumerate(prompts)]
            return [task.result() for task in tasks]

        def tick() -> None:
            nonlocal reported
            if progress is not None and done != reported:
                reported = done
                progress(done, sum(counts))

        found = self._run_or_recover(every, cancelled, tick)
        tick()
        return found

    def _run_or_recover(
        self, work: Callable[[], Coroutine[Any, Any, T]], cancelled: Callable[[], bool] | None,
        tick: Callable[[], object] | None,
    ) -> T:  # fmt: skip
        """`work`, once more with the saved state where the server lost the adapter, as after a restart."""
        try:
            with _first_of_group():
                return self._io.run(work(), cancelled=cancelled, tick=tick)
        except _LOST:
            self._recover()
            with _first_of_group():
                return self._io.run(work(), cancelled=cancelled, tick=tick)

    async def _sample_prompt(self, place: int, prompt: Tokens, n: int, params: SamplingParams) -> list[Completion]:
        from tinker import types

        asked = types.SampleRequest(
            num_samples=n, prompt=types.ModelInput.from_ints(list(prompt)), model_path=self._sampler,
            sampling_params=types.SamplingParams(
                max_tokens=params.max_new_tokens, temperature=params.temperature,
                # A prompt's own stream: the server draws the samples of one request from one seed.
                seed=(params.seed * 1_000_003 + place) % 2**31, stop=sorted(self.codec.end_ids),
            ),
        )  # fmt: skip
        found = await self._io.future(
            lambda: self._io.client.sampling.asample(request=asked), repeatable=True, what="sampling"
        )
        sequences = found.get("sequences")
        if not isinstance(sequences, list) or len(sequences) != n:
            raise EngineError(f"{self.options.url} sent {len(sequences or [])} completions of {n}. Update the server.")
        return [self._completion(sequence) for sequence in sequences]

    def _completion(self, sequence: dict[str, Any]) -> Completion:
        tokens = tuple(int(t) for t in sequence.get("tokens") or ())
        logprobs = tuple(float(x) for x in sequence.get("logprobs") or ())
        if len(logprobs) != len(tokens):
            raise EngineError(
                f"{self.options.url} gives no log-probabilities with its samples, and a run cannot train without. "
                "Use a server that does."
            )
        entropy = -sum(logprobs) / max(1, len(logprobs))
        return Completion(tokens, logprobs, sequence.get("stop_reason") == "length", entropy)

    async def _save_sampler(self) -> str:
        from tinker import types

        asked = types.SaveWeightsForSamplerRequest(
            model_id=self._model_id, path=f"s{self.steps:06d}-{uuid.uuid4().hex[:8]}", seq_id=self._next()
        )
        found = await self._io.future(
            lambda: self._io.client.weights.save_for_sampler(request=asked), repeatable=True,
            what="saving the weights for sampling",
        )  # fmt: skip
        name = str(found.get("path") or "")
        return name if "/sampler_weights/" in name else f"tinker://{self._model_id}/sampler_weights/{asked.path}"

    # ------------------------------------------------------------------ the update

    def forward_backward(self, rows: Sequence[TrainRow], loss: LossParams) -> UpdateStats:
        """Keep the rows for the step: an update is one request. The figures come with `optim_step`."""
        kept = [r for r in rows if r.completion and (r.advantage != 0.0 or loss.kl > 0.0)]
        self._calls.append(_Call(kept, loss))
        return UpdateStats(0.0, len(kept), sum(len(r.completion) for r in kept), 0.0, 0.0, 0.0, 0.0)

    def optim_step(self) -> OptimStats:
        """Send the update, once. Its norm is NaN where the server does not report one."""
        calls, self._calls = self._calls, []
        if not any(call.rows for call in calls):
            return OptimStats(0.0, skipped=False)
        references = self._references(calls)
        data, on_policy = _merge(calls, references), all(call.loss.on_policy for call in calls)
        for attempt in range(UPDATE_ATTEMPTS):
            try:
                passed, stepped, state = self._io.run(self._update(data, on_policy))
                break
            except (UnknownOutcome, *_LOST) as error:
                if attempt == UPDATE_ATTEMPTS - 1:
                    raise EngineError(
                        f"An update could not be made: its outcome stayed unknown {UPDATE_ATTEMPTS} times "
                        f"({_short(error)}). Resume the run when the server is reachable."
                    ) from None
                self._recover()
        self.steps += 1
        self._sampler = ""
        self._take_state(state)
        outputs = passed.get("loss_fn_outputs") or []
        norm = _norm_of(stepped)
        stats = _figures(calls, data, outputs, references)
        return OptimStats(norm, skipped=not math.isfinite(norm) and not math.isnan(norm), updates=stats)

    async def _update(self, data: Sequence[_Datum], on_policy: bool) -> tuple[dict[str, Any], dict[str, Any], str]:
        """The results of the two requests, and the name of the state that was saved after them."""
        clip = () if on_policy else data[0].clip
        rows = len(data) if self._averaged else 1
        passed, stepped = await self._pass_and_step([self._wire(d, rows) for d in data], clip, rate=self.learning_rate)
        self._check_count(stepped.get("metrics") or {})
        return passed, stepped, await self._store_state(self.steps + 1)

    async def _pass_and_step(
        self, rows: list[Any], clip: Sequence[float], rate: float
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """One request for the gradient of all rows, with the ratio clipped where `clip` is given, and one for the
        optimiser's step."""
        from tinker import types
        from tinker.types.shared.untyped_api_future import UntypedAPIFuture

        bounds = {"clip_low_threshold": 1 - clip[0], "clip_high_threshold": 1 + clip[1]} if clip else None
        given: dict[str, Any] = {"data": rows, "loss_fn": "ppo" if clip else "importance_sampling"}
        if bounds:
            given["loss_fn_config"] = bounds
        body = _ENCODER.encode({"forward_backward_input": given, "model_id": self._model_id, "seq_id": self._next()})
        # The client's own call checks, copies and encodes each number in Python, which costs more than all else here.
        passed = await self._io.future(
            lambda: self._io.client.post(
                "/api/v1/forward_backward", body=body, cast_to=UntypedAPIFuture, options={"max_retries": 0}
            ),
            repeatable=False, what="the gradient",
        )  # fmt: skip
        _, _, decay, limit = self._rates
        step = types.OptimStepRequest(
            model_id=self._model_id, seq_id=self._next(),
            adam_params=types.AdamParams(
                learning_rate=rate, beta1=update.BETAS[0], beta2=update.BETAS[1], eps=1e-8, weight_decay=decay,
                grad_clip_norm=limit,
            ),
        )  # fmt: skip
        stepped = await self._io.future(
            lambda: self._io.client.training.optim_step(request=step), repeatable=False, what="the optimiser's step"
        )
        return passed, stepped

    def _check_count(self, metrics: dict[str, Any]) -> None:
        """Raise `UnknownOutcome` where the server has counted other steps than this side since the last one."""
        count = next((float(v) for k, v in metrics.items() if k.rpartition("/")[2] in _COUNTS), None)
        if count is None:
            return
        ours = self.steps + 1
        if self._counted_from is not None:
            theirs, at = self._counted_from
            if count - theirs != ours - at:
                raise UnknownOutcome(f"the server counts {count - theirs:g} steps where {ours - at} were sent")
        elif count not in (1, ours):
            # After loading some servers count from the checkpoint, others from one.
            raise UnknownOutcome(f"the server counts {count:g} steps at step {ours}")
        self._counted_from = (count, ours)

    def _wire(self, datum: _Datum, rows: int) -> dict[str, Any]:
        """A row as the API's JSON has it: the arrays are as long as the tokens less one, with zeros on the prompt.
        `rows`: how many the server divides the gradient by."""
        before, n = len(datum.tokens) - 1 - len(datum.logprobs), len(datum.logprobs)
        scale = rows * (n if self._weighted else 1)
        zeros = [0.0] * before

        def floats(values: Sequence[float]) -> dict[str, Any]:
            # The numbers that a float32 holds: what the server computes with.
            return {"data": zeros + np.asarray(values, np.float32).tolist(), "dtype": "float32", "shape": [before + n]}

        inputs = {
            "target_tokens": {"data": datum.tokens[1:], "dtype": "int64", "shape": [before + n]},
            "logprobs": floats(datum.logprobs),
            "advantages": floats([scale * a for a in datum.advantages]),
        }
        if self._weighted:
            inputs["weights"] = floats([1.0 / n] * n)
        chunk = {"tokens": datum.tokens[:-1], "type": "encoded_text"}
        return {"loss_fn_inputs": inputs, "model_input": {"chunks": [chunk]}}

    def _references(self, calls: Sequence[_Call]) -> dict[tuple[int, ...], list[float]]:
        """Log-probabilities of the completions of all rows with a KL term under the base model, by their tokens."""
        wanted = {r.prompt + r.completion: len(r.completion) for c in calls if c.loss.kl > 0.0 for r in c.rows}

        async def every() -> dict[tuple[int, ...], list[float]]:
            free = asyncio.Semaphore(self.options.concurrency)

            async def one(tokens: tuple[int, ...], n: int) -> list[float]:
                async with free:
                    found = await self._reference_of(tokens, n)
                if found is None:
                    raise EngineError(f"{self.options.url} gave no log-probabilities of a prompt. Update the server.")
                return found

            async with asyncio.TaskGroup() as group:
                tasks = {tokens: group.create_task(one(tokens, n)) for tokens, n in wanted.items()}
            return {tokens: task.result() for tokens, task in tasks.items()}

        if not wanted:
            return {}
        return self._run_or_recover(every, None, None)

    async def _reference_of(self, tokens: tuple[int, ...], n: int) -> list[float] | None:
        from tinker import types

        asked = types.SampleRequest(
            num_samples=1, prompt=types.ModelInput.from_ints(list(tokens)), base_model=self.base_model,
            sampling_params=types.SamplingParams(max_tokens=1, temperature=1.0, seed=0), prompt_logprobs=True,
        )  # fmt: skip
        found = await self._io.future(
            lambda: self._io.client.sampling.asample(request=asked), repeatable=True, what="the reference"
        )
        given = list(found.get("prompt_logprobs") or [])[-n:]
        return [float(x) for x in given] if len(given) == n and None not in given else None

    # ------------------------------------------------------------------ state

    def _take_state(self, state: str) -> None:
        """What a repeated update begins from. The state before is removed, unless a checkpoint names it."""
        before, self._state = self._state, state
        if before and before not in self._named:
            self._io.background(self._remove_state(before))

    async def _remove_state(self, state: str) -> None:
        model_id, _, name = state.removeprefix("tinker://").partition("/weights/")
        with suppress(Exception):  # not every server can
            await self._io.client.weights.delete_checkpoint(model_id=model_id, checkpoint_id=f"weights/{name}")

    async def _store_state(self, step: int) -> str:
        """Save adapter and optimiser on the server."""
        from tinker import types

        asked = types.SaveWeightsRequest(
            model_id=self._model_id, path=f"w{step:06d}-{uuid.uuid4().hex[:8]}", seq_id=self._next()
        )
        found = await self._io.future(
            lambda: self._io.client.weights.save(request=asked), repeatable=True, what="saving the state"
        )
        name = str(found.get("path") or "")
        return name if "/weights/" in name else f"tinker://{self._model_id}/weights/{asked.path}"

    def _recover(self) -> None:
        """A fresh adapter with the state of the last update that is known to be whole."""
        if not self._state:
            raise EngineError(f"{self.options.url} lost the adapter before its first state was saved. Start again.")
        self._unload()
        self._io.run(self._open_session())
        self._make_model()
        self._load_state(self._state)

    def _unload(self) -> None:
        """Free the adapter's place on the server, as places are few. A server that is not there has freed it."""
        from tinker import types

        asked = types.UnloadModelRequest(model_id=self._model_id)
        with suppress(Exception):  # whatever a server says of a model that it may have lost
            self._io.run(self._io.client.models.unload(request=asked), timeout_s=CONNECT_S)

    def _put_state(self, state: str) -> None:
        """Load a state into the adapter."""
        from tinker import types

        asked = types.LoadWeightsRequest(model_id=self._model_id, path=state, optimizer=True, seq_id=self._next())
        self._io.run(
            self._io.future(
                lambda: self._io.client.weights.load(request=asked), repeatable=True, what="loading the state"
            )
        )
        self._counted_from, self._sampler = None, ""

    def _load_state(self, state: str) -> None:
        try:
            self._put_state(state)
        except _LOST:
            raise EngineError(
                f"{self.options.url} does not have the state {state}. Use the server, and the folder of checkpoints, "
                "that the run was trained with."
            ) from None

    def save_into(self, folder: Path) -> None:
        """Write the names of the state on the server, and the adapter itself, so that every page can open the folder;
        see `checkpoint.atomic_folder`."""
        if not self._sampler:
            self._sampler = self._run_or_recover(self._save_sampler, None, None)
        if self.options.fetch:
            self.fetch(self._sampler, folder)
        self.codec.save(folder)
        state = {
            "format": 1, "engine": "tinker", "tuning": Tuning.LORA, "model": str(self.model_dir), "steps": self.steps,
            "trained": True, "url": self.options.url, "base_model": self.base_model, "rank": self.rank,
            "state": self._state, "sampler": self._sampler, "adapter": self.options.fetch,
        }  # fmt: skip
        (folder / STATE_FILE).write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
        self._named.add(self._state)

    def fetch(self, sampler: str, folder: Path) -> None:
        """Download an adapter and write it as a PEFT folder on the base model of this machine."""
        for name, data in _adapter_files(self._io.run(self._download(sampler)), self.options.url).items():
            if name == "adapter_config.json":
                config = json.loads(data)
                config |= {"base_model_name_or_path": str(self.model_dir), "target_modules": "all-linear",
                           "task_type": "CAUSAL_LM", "inference_mode": True}  # fmt: skip
                data = json.dumps(config, indent=1).encode()
            (folder / name).write_bytes(data)

    async def _download(self, sampler: str) -> bytes:
        """The archive of an adapter. Servers answer with a redirect to it, or with its address as JSON; the key goes
        to the server itself alone."""
        import httpx

        model_id, _, name = sampler.removeprefix("tinker://").partition("/sampler_weights/")
        place = f"{self._io.url}/api/v1/training_runs/{model_id}/checkpoints/{name}/archive"
        key = server_key(self._io.url)
        try:
            async with httpx.AsyncClient(timeout=self.options.timeout_s) as client:
                found = await client.get(place, headers={"X-API-Key": key} if key else {})
                if not found.has_redirect_location:
                    found.raise_for_status()
                    place = str(found.json()["url"])
                else:
                    place = str(found.url.join(found.headers["location"]))
                return await self._receive(client, place)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, TypeError) as error:
            raise EngineError(
                f"The adapter could not be downloaded from {self.options.url} ({type(error).__name__}). Resume the "
                "run, or set engine.fetch = false."
            ) from None

    async def _receive(self, client: Any, place: str) -> bytes:
        whole = io.BytesIO()
        async with client.stream("GET", place, follow_redirects=True) as response:
            response.raise_for_status()
            async for part in response.aiter_bytes():
                whole.write(part)
                if whole.tell() > MAX_ARCHIVE_BYTES:
                    raise EngineError(f"{self.options.url} sent an adapter above {MAX_ARCHIVE_BYTES >> 30} GiB.")
        return whole.getvalue()

    def save(self, path: Path) -> None:
        with checkpoint.atomic_folder(Path(path)) as temporary:
            self.save_into(temporary)

    def load(self, path: Path) -> None:
        checkpoint.verify(Path(path))
        self.load_from(Path(path))

    def load_from(self, path: Path) -> None:
        """Restore what `save_into` wrote: the server loads the state that the folder names."""
        self._calls = []
        try:
            state = json.loads((path / STATE_FILE).read_text(encoding="utf-8"))
            kind, name, steps, rank = (
                state.get("engine"),
                str(state.get("state")),
                int(state["steps"]),
                state.get("rank"),
            )
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise UserError(f"{path} is not a checkpoint of this program: {error}. Resume from another one.") from error
        if kind != "tinker":
            raise UserError(
                f"The checkpoint {path} was trained on this machine. Resume with engine.backend = 'local', or start a "
                "new run from it as its model."
            )
        if rank != self.rank:
            raise UserError(
                f"The checkpoint {path} has an adapter of rank {rank}, this run has model.lora_rank = {self.rank}. "
                "Use the same rank."
            )
        self._load_state(name)
        self.steps, self._state = steps, name
        self._named.add(name)

    def close(self) -> None:
        """Free the adapter's place on the server and end the connection; what was saved stays there."""
        self._unload()
        self._io.close()


_DECODER, _ENCODER = msgspec.json.Decoder(), msgspec.json.Encoder()


def _read_json(data: bytes) -> Any:
    """Raises a ValueError. NaN and Infinity, which are no JSON but what Python's servers write, are read too."""
    try:
        return _DECODER.decode(data)
    except msgspec.DecodeError:
        return json.loads(data)


_LOST = (_Missing,)
_NOT_DONE = (_Refused, _Unfit, _Missing)
"""A server's answer that it does not do something. One that cannot be reached has not answered."""
_GONE = re.compile(r"not (?:found|loaded)|does not exist|unknown model", re.IGNORECASE)
_NORMS = ("grad_norm", "gradient_norm", "global_grad_norm")
_COUNTS = ("step", "steps", "optim_step", "optim_steps", "step_count")


def _norm_of(stepped: dict[str, Any]) -> float:
    """The norm of the gradient in the result of an optimiser's step; NaN where it is not there."""
    metrics = stepped.get("metrics") or {}
    return next((float(v) for k, v in metrics.items() if str(k).rpartition("/")[2] in _NORMS), math.nan)


@contextmanager
def _first_of_group() -> Iterator[None]:
    """Raise the first error of a task group for the group: they have one cause."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


def _context_of(folder: Path) -> int:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return int((config.get("text_config") or config)["max_position_embeddings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{folder / 'config.json'} does not say the model's context ({error}).") from error


def _merge(calls: Sequence[_Call], references: dict[tuple[int, ...], list[float]]) -> list[_Datum]:
    """The rows of all calls as they are sent: one a completion, with the per-token advantages of all its calls summed.

    The KL term is a part of the advantage: on samples of the present weights its k3 estimate has the gradient of
    kl · (1 − exp(reference − policy)) for each log-probability, which is that of the advantage
    kl · (exp(reference − policy) − 1). So it is exact where the rows are on-policy.
    """
    merged: dict[tuple[tuple[int, ...], tuple[float, ...]], _Datum] = {}
    for number, call in enumerate(calls):
        loss = call.loss
        scales = update.token_scales([len(r.completion) for r in call.rows], loss.aggregation, loss.max_tokens)
        for row, scale in zip(call.rows, scales, strict=True):
            tokens = row.prompt + row.completion
            advantages = [row.advantage] * len(row.completion)
            if loss.kl > 0.0:
                gaps = _bounded(np.subtract(references[tokens], row.logprobs))
                advantages = (row.advantage + loss.kl * np.expm1(gaps)).tolist()
            advantages = [a * row.weight * scale for a in advantages]
            key = (tokens, row.logprobs)
            if (known := merged.get(key)) is None:
                merged[key] = _Datum(tokens, row.logprobs, advantages, (row.clip_low, row.clip_high), [number])
                continue
            merged[key] = replace(
                known, advantages=[a + b for a, b in zip(known.advantages, advantages, strict=True)],
                calls=[*known.calls, number],
            )  # fmt: skip
    return list(merged.values())


def _bounded(gaps: np.ndarray) -> np.ndarray:
    bounded: np.ndarray = np.clip(gaps, -update.MAX_LOG_RATIO, update.MAX_LOG_RATIO)
    return bounded


def _figures(
    calls: Sequence[_Call], data: Sequence[_Datum], outputs: Sequence[dict[str, Any]],
    references: dict[tuple[int, ...], list[float]],
) -> tuple[UpdateStats, ...]:  # fmt: skip
    """The figures of each call from the server's log-probabilities of its rows; gaps are NaN where it gives none."""
    gaps: list[list[np.ndarray]] = [[] for _ in calls]
    clipped, kls = [0] * len(calls), [0.0] * len(calls)
    for datum, output in zip(data, outputs, strict=False):
        given = ((output.get("logprobs") or {}).get("data") or [])[-len(datum.logprobs) :]
        if len(given) != len(datum.logprobs):
            continue
        new = np.asarray(given, np.float64)
        moved = new - np.asarray(datum.logprobs)
        low, high = datum.clip
        for number in datum.calls:
            gaps[number].append(np.abs(moved))
            if not calls[number].loss.on_policy:
                ratios, signs = np.exp(_bounded(moved)), np.asarray(datum.advantages)
                beyond = ((signs > 0) & (ratios > 1 + high)) | ((signs < 0) & (ratios < 1 - low))
                clipped[number] += int(beyond.sum())
            if calls[number].loss.kl > 0.0:
                deltas = _bounded(references[datum.tokens] - new)
                kls[number] += float((np.expm1(deltas) - deltas).sum())
    stats = []
    for number, call in enumerate(calls):
        tokens = sum(len(r.completion) for r in call.rows)
        seen = np.concatenate(gaps[number]) if gaps[number] else np.empty(0)
        share = 1 / max(1, tokens)
        stats.append(
            UpdateStats(
                0.0, len(call.rows), tokens, clipped[number] * share, kls[number] * share,
                float(seen.mean()) if len(seen) else math.nan, float(seen.max()) if len(seen) else math.nan,
            )
        )  # fmt: skip
    return tuple(stats)


def _adapter_files(archive: bytes, url: str) -> dict[str, bytes]:
    """The two files of an adapter in an archive; everything else in it is left alone."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
            for member in packed:
                name = member.name.removeprefix("./")
                opened = packed.extractfile(member) if member.isfile() and name in ADAPTER_FILES else None
                if opened is not None:
                    found[name] = opened.read()
        json.loads(found["adapter_config.json"])
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError) as error:
        raise EngineError(f"{url} sent an adapter that cannot be read ({type(error).__name__}).") from None
    if len(found) != len(ADAPTER_FILES):
        raise EngineError(f"{url} sent an adapter without {ADAPTER_FILES[1]}.")
    return found
