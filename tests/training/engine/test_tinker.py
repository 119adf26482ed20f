"""Facts about the backend that speaks the Tinker API, against a server on loopback with a real model behind it."""

import json
import math
import socket
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import keyring
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.tinker_server import Refused, TinkerServer
from tests.helpers.tiny_models import make_config, make_tokenizer
from training.core.types import Aggregation
from training.engine.base import Cancelled, LossParams, SamplingParams, TrainRow
from training.engine.tinker import TinkerBackend
from training.engine.torch_local import LocalTorchBackend
from training.engine_probe import SENT, EngineError, ServerAwayError, check_requests, form_of, served_models
from training.errors import UserError
from training.runs.config import EngineConfig, check_engine, from_dict

pytest.importorskip("tinker")

PROMPTS = [(5, 40, 41, 42, 6), (5, 50, 6), (5, 60, 61, 62, 63, 64, 65, 6)]
RATE = 1e-2


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model")
    make_tokenizer("qwen2").save_pretrained(folder)
    AutoModelForCausalLM.from_config(make_config("qwen3")).save_pretrained(folder)
    return folder


@pytest.fixture
def server(model_dir):
    with TinkerServer(model_dir) as server:
        yield server


def connect(server, model_dir, *, kl=("update.kl",), **options):
    engine = EngineConfig(url=server.url, **{"timeout_s": 60.0, "patience_s": 30.0, **options})
    return TinkerBackend(
        model_dir, engine, lora_rank=4, learning_rate=RATE, warmup_steps=0, weight_decay=0.01, max_grad_norm=1.0,
        seed=3, kl=kl,
    )  # fmt: skip


def local(model_dir, folder=None):
    return LocalTorchBackend(
        folder or model_dir, tuning="lora", lora_rank=4, lora_alpha=32, device="cpu", dtype="float32", threads=1,
        learning_rate=RATE, weight_decay=0.01, max_grad_norm=1.0, seed=3,
    )  # fmt: skip


def rows_of(engine, advantages=(1.0, -0.5, 0.0), seed=7):
    sampled = engine.sample(PROMPTS, len(advantages), SamplingParams(9, 1.0, seed))
    return [
        TrainRow(p, c.tokens, c.logprobs, a, weight=w)
        for (p, w), cs in zip(zip(PROMPTS, (1.0, 0.5, 1.0), strict=True), sampled, strict=True)
        for c, a in zip(cs, advantages, strict=True)
    ]


def adapter(backend):
    return {n: p.detach().clone() for n, p in backend.model.named_parameters() if p.requires_grad}


def fetched(backend, model_dir, tmp_path):
    """The adapter of the server, opened by the local engine."""
    folder = tmp_path / f"fetched_{time.monotonic_ns()}"
    backend.save(folder)
    return local(model_dir, folder)


def losses(number):
    """What a step of self-play sends: the Reasoner's rows, the Adversary's with a KL term, and a clean anchor."""
    return [
        LossParams(Aggregation.TOKEN),
        LossParams(Aggregation.SEQUENCE, kl=0.1),
        LossParams(Aggregation.TOKEN, kl=0.5),
    ][:number]


def play(backends, steps=3, calls=3):
    """The same rows to all of them."""
    for step in range(steps):
        rows = rows_of(backends[0], seed=step)
        for backend in backends:
            for number, loss in enumerate(losses(calls)):
                sent = [replace(r, advantage=0.0) for r in rows] if number == 2 else rows
                backend.forward_backward(sent, loss)
            stats = backend.optim_step()
    return stats


def assert_same_adapter(one, two, tolerance=2e-4):
    left, right = adapter(one), adapter(two)
    assert left.keys() == right.keys()
    for name in left:
        assert torch.allclose(left[name], right[name], atol=tolerance), name


@pytest.mark.parametrize("weighted", [True, False], ids=["weights", "sums"])
def test_updates_are_those_of_the_local_engine(server, model_dir, tmp_path, weighted):
    server.weighted = server.redirects = weighted
    own, remote = local(model_dir), connect(server, model_dir)
    play([own, remote])
    assert_same_adapter(own, fetched(remote, model_dir, tmp_path))
    assert remote.steps == 3
    # Two more, at a rate of 0, have measured at the start how the server adds up.
    assert [rate for _, rate in server.applied] == [0.0, 0.0, RATE, RATE, RATE]


def test_logprobs_of_the_sampler_are_those_of_the_local_engine(server, model_dir, tmp_path):
    remote = connect(server, model_dir)
    play([remote], steps=2)
    opened = fetched(remote, model_dir, tmp_path)
    rows = [replace(r, advantage=1.0) for r in rows_of(remote)]
    stats = opened.forward_backward(rows, LossParams())
    assert stats.logprob_gap_max < 1e-3


def test_an_update_is_one_request_and_its_figures_come_with_the_step(server, model_dir):
    remote = connect(server, model_dir)
    before = len([p for p in server.requests if p == "/forward_backward"])
    stats = play([remote], steps=1)
    assert len([p for p in server.requests if p == "/forward_backward"]) == before + 1
    assert [s.rows for s in stats.updates] == [6, 9, 9]
    assert all(s.logprob_gap_max < 1e-3 for s in stats.updates)
    assert stats.grad_norm > 0
    # The policy has not moved yet, so it is its reference; rounding aside.
    assert all(abs(s.kl) < 1e-5 for s in stats.updates)


@pytest.mark.parametrize("on_policy", [True, False], ids=["on-policy", "clipped"])
def test_an_update_is_written_as_the_client_writes_it(server, model_dir, monkeypatch, on_policy):
    from tinker import types

    bodies, handle = [], server.handle
    monkeypatch.setattr(server, "handle", lambda http, body: (bodies.append((http.path, body)), handle(http, body)))
    remote = connect(server, model_dir)
    remote.forward_backward(rows_of(remote), LossParams(on_policy=on_policy))
    remote.optim_step()
    mine = [body for path, body in bodies if path.endswith("/forward_backward")][-1]
    given = mine["forward_backward_input"]
    data = [
        types.Datum(
            model_input=types.ModelInput.from_ints([t for c in d["model_input"]["chunks"] for t in c["tokens"]]),
            loss_fn_inputs={name: values["data"] for name, values in d["loss_fn_inputs"].items()},
        )
        for d in given["data"]
    ]
    asked = types.ForwardBackwardRequest(
        model_id=mine["model_id"], seq_id=mine["seq_id"],
        forward_backward_input=types.ForwardBackwardInput(
            data=data, loss_fn=given["loss_fn"], loss_fn_config=given.get("loss_fn_config")
        ),
    )  # fmt: skip
    remote._io.run(remote._io.client.training.forward_backward(request=asked))
    assert [body for path, body in bodies if path.endswith("/forward_backward")][-1] == mine
    assert len(given["data"]) == 6
    assert ("loss_fn_config" in given) is not on_policy


def test_one_completion_of_several_calls_is_sent_once(server, model_dir):
    remote = connect(server, model_dir)
    rows = rows_of(remote, advantages=(1.0, -1.0))
    remote.forward_backward(rows, LossParams())
    remote.forward_backward([replace(r, advantage=0.0) for r in rows], LossParams(kl=1.0))
    sent = []
    wire = remote._wire
    remote._wire = lambda datum, rows: sent.append(datum) or wire(datum, rows)
    remote.optim_step()
    assert len(sent) == len({r.prompt + r.completion for r in rows})


FAULTS = {
    "no answer to a gradient": lambda s: s.dropping.update({"/forward_backward": 1}),
    "the answer to a gradient is lost": lambda s: s.dropping.update({("after", "/forward_backward"): 1}),
    "the answer to a step is lost": lambda s: s.dropping.update({("after", "/optim_step"): 1}),
    "an error at the step": lambda s: s.failing.update({"/optim_step": [500]}),
    "an error at the gradient": lambda s: s.failing.update({"/forward_backward": [502]}),
    "a step is applied twice": lambda s: setattr(s, "doubling", 1),
    "busy": lambda s: s.failing.update({"/asample": [429, 503], "/optim_step": [429]}),
    "waiting fails": lambda s: s.failing.update({"/retrieve_future": [500, 502, 504]}),
    "waiting is cut off": lambda s: s.dropping.update({"/retrieve_future": 3}),
    "saving the state fails": lambda s: s.failing.update({"/save_weights": [500]}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_update_is_lost_or_doubled(server, model_dir, tmp_path, fault):
    own, remote = local(model_dir), connect(server, model_dir)
    play([own, remote], steps=1)
    FAULTS[fault](server)
    for step in (1, 2):
        rows = rows_of(own, seed=step)
        for backend in (own, remote):
            backend.forward_backward(rows, LossParams(kl=0.1))
            backend.optim_step()
    assert_same_adapter(own, fetched(remote, model_dir, tmp_path))
    assert remote.steps == 3


def test_a_server_that_is_started_again_loses_no_update(server, model_dir, tmp_path):
    own, remote = local(model_dir), connect(server, model_dir)
    waited = []

    def start_again(text):
        if not waited:
            server.start(server.port)
        waited.append(text)

    remote.wait_message = start_again
    play([own, remote], steps=1)
    server.stop()
    play([own, remote], steps=1)
    assert waited
    server.restart()
    play([own, remote], steps=1)
    assert_same_adapter(own, fetched(remote, model_dir, tmp_path))


def test_a_checkpoint_restores_adapter_and_optimiser(server, model_dir, tmp_path):
    own, remote = local(model_dir), connect(server, model_dir)
    play([own, remote], steps=2)
    remote.save(tmp_path / "checkpoint")
    remote.close()
    resumed = connect(server, model_dir)
    resumed.load(tmp_path / "checkpoint")
    assert resumed.steps == 2
    # Places for adapters are few: one that is not used any more gives its own back.
    assert len(server.unloaded) == 1
    assert len(server.models) == 1
    play([own, resumed], steps=2)
    assert_same_adapter(own, fetched(resumed, model_dir, tmp_path))


def test_a_checkpoint_can_leave_the_adapter_on_the_server(server, model_dir, tmp_path):
    remote = connect(server, model_dir, fetch=False)
    remote.save(tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint/adapter_model.safetensors").exists()
    remote.load(tmp_path / "checkpoint")


def test_checkpoints_of_another_engine_or_rank_are_refused(server, model_dir, tmp_path):
    remote = connect(server, model_dir)
    local(model_dir).save(tmp_path / "local")
    with pytest.raises(UserError, match=r"engine\.backend = 'local'"):
        remote.load(tmp_path / "local")
    remote.save(tmp_path / "own")
    state = json.loads((tmp_path / "own/backend.json").read_text())
    remote.rank = 8
    with pytest.raises(UserError, match="rank 4"):
        remote.load_from(tmp_path / "own")
    (tmp_path / "own/backend.json").write_text(json.dumps(state | {"state": "tinker://gone/weights/x"}))
    remote.rank = 4
    with pytest.raises(UserError, match="does not have the state"):
        remote.load_from(tmp_path / "own")


def test_sampling_can_be_cancelled(server, model_dir):
    remote = connect(server, model_dir)
    remote.sample(PROMPTS, 1, SamplingParams(5))
    server.delay_s, before = 60.0, len(server.requests)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        remote.sample(PROMPTS * 20, 2, SamplingParams(5), cancelled=lambda: len(server.requests) > before)
    assert time.monotonic() - began < 30


def test_progress_counts_completions_and_order_is_kept(server, model_dir):
    remote, seen = connect(server, model_dir), []
    found = remote.sample(PROMPTS * 4, 3, SamplingParams(4, 0.0), progress=lambda d, t: seen.append((d, t)))
    assert seen[-1] == (36, 36)
    assert seen == sorted(seen)
    assert [c[0].tokens for c in found[:3]] * 3 == [c[0].tokens for c in found[3:]]
    again = connect(server, model_dir).sample(PROMPTS, 2, SamplingParams(6, 1.0, seed=9))
    assert again == remote.sample(PROMPTS, 2, SamplingParams(6, 1.0, seed=9))


# ---------------------------------------------------------------------- what is refused


def refusal(call, *words):
    began = time.monotonic()
    with pytest.raises(UserError) as caught:
        call()
    assert time.monotonic() - began < 25
    for word in words:
        assert word in str(caught.value)
    return str(caught.value)


def test_a_wrong_address_is_named_within_seconds(server, model_dir):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    wrong = type("Wrong", (), {"url": address})
    refusal(lambda: connect(wrong, model_dir), "cannot be reached", "engine.url")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        wrong.url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        refusal(lambda: connect(wrong, model_dir), "engine.url")


@pytest.mark.parametrize("part", ["/create_session", "/create_model"])
def test_a_server_that_breaks_at_the_start_is_named_within_seconds(server, model_dir, part):
    server.failing = {part: [503] * 100}
    refusal(lambda: connect(server, model_dir, patience_s=300.0), server.url, "code 503")


def test_a_server_that_opens_no_session_is_named_within_seconds(server, model_dir, monkeypatch):
    monkeypatch.setattr("training.engine.tinker.SESSION_S", 1.0)
    server.hanging = "/create_session"
    text = refusal(lambda: connect(server, model_dir, patience_s=300.0), server.url, "did not answer within")
    assert "within 1 s" in text


def test_an_outage_of_a_moment_does_not_end_the_start(server, model_dir):
    server.failing = {"/create_session": [503], "/create_model": [502]}
    server.dropping = {"/retrieve_future": 1}
    connect(server, model_dir)


LOSSES_AT_THE_START = {
    "the answer to a gradient is lost": lambda s: s.dropping.update({("after", "/forward_backward"): 1}),
    "an error at the step": lambda s: s.failing.update({"/optim_step": [500]}),
    "the server loses the adapter": lambda s: setattr(s, "forget_models", "/save_weights"),
    "the server loses it before a forward pass": lambda s: setattr(s, "forget_models", "/forward"),
}


@pytest.mark.parametrize("loss", LOSSES_AT_THE_START)
def test_what_is_lost_at_the_start_is_made_again(server, model_dir, tmp_path, monkeypatch, loss):
    monkeypatch.setattr("training.engine.tinker.check_requests", lambda *_: None)
    LOSSES_AT_THE_START[loss](server)
    own, remote = local(model_dir), connect(server, model_dir)
    play([own, remote], steps=1)
    assert_same_adapter(own, fetched(remote, model_dir, tmp_path))


def test_an_outage_at_the_start_is_no_answer_to_what_the_server_can(server, model_dir, monkeypatch):
    monkeypatch.setattr("training.engine.tinker.check_requests", lambda *_: None)
    server.failing = {"/forward": [503] * 3}
    refusal(lambda: connect(server, model_dir), "code 503")


def test_a_wrong_key_is_named_and_never_shown(server, model_dir, monkeypatch):
    server.key = "right"
    monkeypatch.setattr(keyring, "get_password", lambda *_: "planted-secret-key")
    text = refusal(lambda: connect(server, model_dir), "does not accept the key")
    assert "planted" not in text
    monkeypatch.setattr(keyring, "get_password", lambda *_: "right")
    connect(server, model_dir)


def test_a_model_that_is_not_served_is_named_with_those_that_are(server, model_dir):
    refusal(
        lambda: connect(server, model_dir, base_model="org/other"), "org/other", str(model_dir), "engine.base_model"
    )


@pytest.mark.parametrize("answer", [{"models": []}, {"supported_models": 3}, {"supported_models": [{"name": "x"}]}])
def test_another_version_of_the_api_is_named(server, model_dir, answer):
    server.capabilities = answer
    refusal(lambda: connect(server, model_dir), "Tinker API")


def change_answers(server, monkeypatch, change):
    """The server's answers as `change(part, method, answer)` makes them of a function that gives the answer."""
    route = server.route
    monkeypatch.setattr(
        server, "route",
        lambda http, path, body: change(path.strip("/"), http.command, lambda: route(http, path, body)),
    )  # fmt: skip


def test_a_version_without_a_request_is_named_before_the_adapter_is_made(server, model_dir, monkeypatch):
    def change(part, method, answer):
        if method == "GET" and part not in ("get_server_capabilities",):
            raise Refused(404 if part == "optim_step" else 405, "")
        return answer()

    change_answers(server, monkeypatch, change)
    refusal(lambda: connect(server, model_dir), "Tinker API", "it has no optim_step")
    assert not server.models
    with pytest.raises(EngineError, match="it has no optim_step"):
        check_requests(server.url)


def described(**changed):
    """What a server says of itself; `changed` are required fields of a request by its name."""
    wanted = {"create_session": ["tags", "sdk_version"], "create_model": ["session_id", "base_model"]} | changed
    names = {name: f"{name}Request" for name in wanted}

    def body(schema):
        return {"content": {"application/json": {"schema": schema}}}

    paths = {
        f"/api/v1/{name}": {"post": {
            "requestBody": body({"$ref": f"#/components/schemas/{names[name]}"}),
            "responses": {"200": body({"properties": {"session_id": {}, "request_id": {}}})},
        }}
        for name in wanted
    }  # fmt: skip
    return {"paths": paths, "components": {"schemas": {names[n]: {"required": fields} for n, fields in wanted.items()}}}


def test_a_version_that_describes_other_fields_is_named_before_anything_is_asked(server, monkeypatch):
    said = described()
    change_answers(server, monkeypatch, lambda part, _m, answer: said if part == "openapi.json" else answer())
    check_requests(server.url)
    said = described(create_model=["session_id", "other_field"])
    with pytest.raises(EngineError, match=r"\(create_model wants other_field\)"):
        check_requests(server.url)
    said = described()
    del form_of(said, "create_session", answer=True)["properties"]["session_id"]
    with pytest.raises(EngineError, match="the answer of create_session has no session_id"):
        check_requests(server.url)


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(
    st.sampled_from(["paths", "/api/v1/create_model", "post", "responses", "200", "content", "required"]), x)))  # fmt: skip
def test_no_description_makes_the_probe_raise(found):
    assert form_of(found, "create_model", answer=True) == {}


def test_the_fields_that_the_probe_knows_are_those_of_the_client():
    types = pytest.importorskip("tinker.types")
    for name, model in (("create_session", types.CreateSessionRequest), ("create_model", types.CreateModelRequest)):
        assert set(SENT[name]) == set(model.model_fields)


def test_a_server_that_answers_any_other_method_alike_is_not_judged_by_it(server, model_dir, monkeypatch):
    def change(part, method, answer):
        if method == "GET" and part not in ("get_server_capabilities",):
            raise Refused(404, "")
        return answer()

    change_answers(server, monkeypatch, change)
    connect(server, model_dir)


@pytest.mark.parametrize("part", ["create_session", "create_model"])
@pytest.mark.parametrize("fault", ["missing", "fields", "answer"])
def test_what_another_version_says_while_a_run_starts_is_named_as_that(server, model_dir, monkeypatch, part, fault):
    def change(found, method, answer):
        if found != part or method == "GET":
            return answer()
        if fault == "missing":
            raise Refused(404, "Not Found")
        if fault == "fields":
            raise Refused(422, [{"type": "missing", "loc": ["body", "colour"], "msg": "Field required"}])
        return {"other": "shape"}

    change_answers(server, monkeypatch, change)
    text = refusal(lambda: connect(server, model_dir), "Tinker API of this version")
    assert fault != "fields" or "body.colour: Field required" in text


def test_only_a_server_that_is_away_is_of_that_kind(server, model_dir):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        wrong = type("Wrong", (), {"url": f"http://127.0.0.1:{free.getsockname()[1]}"})
    with pytest.raises(ServerAwayError):
        connect(wrong, model_dir)
    with pytest.raises(EngineError) as caught:
        connect(server, model_dir, base_model="org/other")
    assert not isinstance(caught.value, ServerAwayError)


def test_a_key_is_not_sent_on_to_another_server(server, monkeypatch):
    monkeypatch.setattr(keyring, "get_password", lambda *_: "planted-secret-key")
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("location", f"{server.url}/api/v1/get_server_capabilities")
            self.end_headers()

        def log_message(self, *_):
            seen.append(1)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as moved:
        threading.Thread(target=moved.serve_forever, daemon=True).start()
        with pytest.raises(EngineError, match="code 302"):
            served_models(f"http://127.0.0.1:{moved.server_address[1]}")
        moved.shutdown()
    assert seen
    assert not server.requests


def test_a_server_without_prompt_logprobs_refuses_the_kl_settings_by_name(server, model_dir):
    server.gives_prompt_logprobs = False
    refusal(lambda: connect(server, model_dir, kl=("update.kl", "reasoner.clean_anchor")), "update.kl",
            "reasoner.clean_anchor = 0")  # fmt: skip
    connect(server, model_dir, kl=())


def test_samples_without_logprobs_are_refused(server, model_dir):
    remote = connect(server, model_dir)
    server.gives_logprobs = False
    refusal(lambda: remote.sample(PROMPTS, 1, SamplingParams(3)), "no log-probabilities")


def test_a_server_that_stays_away_ends_the_run_with_a_remedy(server, model_dir):
    remote = connect(server, model_dir, patience_s=1.0)
    server.stop()
    refusal(lambda: remote.sample(PROMPTS, 1, SamplingParams(3)), "cannot be reached", "resume")
    server.start(server.port)


def test_a_connection_that_is_lost_after_a_long_wait_is_tried_again(server, model_dir, monkeypatch):
    remote = connect(server, model_dir, patience_s=1.0)
    answer, lost = server._retrieve, []

    def lose_the_first(id_):
        if not lost:
            lost.append(id_)
            time.sleep(1.2)
            raise ConnectionAbortedError
        return answer(id_)

    monkeypatch.setattr(server, "_retrieve", lose_the_first)
    assert all(remote.sample(PROMPTS, 1, SamplingParams(3)))
    assert lost


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"model": {"tuning": "full"}}, "model.tuning"),
        ({"model": {"tuning": "lora", "lora_alpha": 16}}, "model.lora_alpha"),
        ({"rollout": {"temperature": 0.8}}, "rollout.temperature"),
        ({"adversary": {"opponents": 0.5}}, "adversary.opponents"),
        ({"adversary": {"model": "starter"}}, "adversary.model"),
        ({}, "update.max_grad_norm"),
    ],
)
def test_a_setting_that_the_server_cannot_honour_is_refused_by_name(changed, key):
    base = {"engine": {"backend": "tinker"}, "model": {"tuning": "lora"}}
    with pytest.raises(UserError, match=key.replace(".", r"\.")):
        check_engine(from_dict(base | changed, "test"))
    check_engine(from_dict(base | {"engine": {"backend": "tinker", "accept": "update.max_grad_norm"}}, "test"))


def test_a_step_without_rows_sends_nothing(server, model_dir):
    remote = connect(server, model_dir)
    remote.forward_backward([], LossParams())
    sent = len(server.requests)
    assert remote.optim_step().grad_norm == 0.0
    assert len(server.requests) == sent


def test_a_norm_that_is_not_finite_is_read(server, model_dir, monkeypatch):
    remote = connect(server, model_dir)
    # Python writes what JSON does not know: NaN and Infinity.
    monkeypatch.setattr(TinkerServer, "_step", lambda *_: {"metrics": {"grad_norm": math.inf}, "type": "optim_step"})
    remote.forward_backward(rows_of(remote), LossParams())
    assert remote.optim_step().skipped


def test_a_norm_that_the_server_does_not_report_is_not_a_number(server, model_dir, monkeypatch):
    remote = connect(server, model_dir)
    monkeypatch.setattr(TinkerServer, "_step", lambda *_: {"metrics": None, "type": "optim_step"})
    remote.forward_backward(rows_of(remote), LossParams())
    assert math.isnan(remote.optim_step().grad_norm)


def test_an_error_of_the_server_reaches_the_user_in_its_words(server, model_dir):
    remote = connect(server, model_dir)

    def refuse(*_):
        raise RuntimeError("the adapter is too large for the card")

    server._sample = refuse
    with pytest.raises(EngineError, match="too large for the card"):
        remote.sample(PROMPTS, 1, SamplingParams(3))


def test_a_run_plays_through_the_server_and_resumes(tmp_path):
    """Rollouts, gates, rewards, updates, checkpoints, evaluation and resume, with the engine's table alone changed."""
    from training.resources import resources_folder
    from training.runner import run_directory
    from training.runs.paths import RunPaths, new_run

    settings = {
        "name": "remote", "steps": 2, "model": {"path": "starter", "tuning": "lora", "lora_rank": 4, "threads": 1},
        "rollout": {"questions": 2, "clean": 2, "hints": 2, "hinted": 2, "max_solution_tokens": 24,
                    "max_hint_tokens": 24},
        "reasoner": {"clean_anchor": 0.5}, "adversary": {"kl": 0.05}, "evaluation": {"problems": 4, "max_new_tokens": 24},
        "data": {"pool": 8}, "checkpoint": {"every": 1},
    }  # fmt: skip
    with TinkerServer(resources_folder() / "starter", name="reasoner") as server:
        engine = {"backend": "tinker", "url": server.url, "base_model": "reasoner", "accept": "update.max_grad_norm"}
        paths = new_run(tmp_path, from_dict(settings | {"engine": engine}, "test"), "remote")
        assert run_directory(paths.root) == "finished"
        events = [json.loads(line) for line in paths.events.read_text().splitlines()]
        steps = [e["metrics"] for e in events if e["event"] == "step"]
        assert len(steps) == 2
        # So small a step may have no group with spread; the anchor is an update all the same.
        assert all((m.get("logprob_gap/max") or 0) < 1e-3 and m["grad_norm"] > 0 for m in steps)
        newest = sorted(paths.checkpoints.glob("step_*"))[-1]
        assert (newest / "adapter_model.safetensors").is_file()
        LocalTorchBackend(newest, device="cpu", threads=1)  # what every page opens
        # The step after the newest checkpoint is played again by a new process, from the server's state.
        import shutil

        shutil.rmtree(newest)
        server.restart()
        assert run_directory(RunPaths(paths.root).root) == "finished"
        assert sorted(paths.checkpoints.glob("step_*"))[-1] == newest
