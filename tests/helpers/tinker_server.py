"""A small server of the Tinker API on loopback, with a real LoRA model behind it, and the ways in which one fails.

`with TinkerServer(folder) as server` serves the model in `folder` until the block ends. Requests become futures that
one worker carries out in their order, as on the real servers. Faults are plain attributes. `restart()` loses the
models in memory and keeps what was saved.
"""

import copy
import io
import json
import queue
import tarfile
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch

from training.engine.base import SamplingParams
from training.engine.torch_local import LocalTorchBackend

HANGS_S = 60.0


class Refused(Exception):
    def __init__(self, code, detail):
        super().__init__(detail)
        self.code, self.detail = code, detail


class Model:
    """One adapter with its optimiser."""

    def __init__(self, folder, rank, seed):
        self.engine = LocalTorchBackend(
            folder, tuning="lora", lora_rank=rank, lora_alpha=32, device="cpu", dtype="float32", threads=1, seed=seed
        )
        self.adapters = {n: p for n, p in self.engine.model.named_parameters() if p.requires_grad}
        self.adam = torch.optim.AdamW(self.adapters.values(), lr=1e-3)
        self.rows = self.steps = 0

    def weights(self):
        return {name: p.detach().clone() for name, p in self.adapters.items()}

    def put(self, weights):
        with torch.no_grad():
            for name, p in self.adapters.items():
                p.copy_(weights[name])

    def logprobs(self, tokens):
        """Log-probabilities of each token after the first."""
        logits = self.engine.model(input_ids=torch.tensor([tokens])).logits[0, :-1].float()
        return logits.log_softmax(-1).gather(-1, torch.tensor(tokens[1:])[:, None]).squeeze(-1)


class TinkerServer:
    def __init__(self, folder, *, name=None, key=None):
        self.folder, self.name, self.key = Path(folder), name or str(folder), key
        self.models, self.saved, self.samplers, self.futures = {}, {}, {}, {}
        self.base = None
        self.unloaded = []
        self.requests = []
        """Paths, in their order."""
        self.applied = []
        """(model, learning rate) of each optimiser step that was carried out."""
        # How it computes.
        self.weighted = True
        """True: losses of a row are divided by the sum of its weights, and gradients by the number of rows (SkyRL).
        False: everything is summed, and there are neither weights nor per-token losses."""
        self.counts_steps = True
        self.gives_prompt_logprobs = True
        self.gives_logprobs = True
        self.redirects = False
        """How it answers the request for an adapter: with a redirect, or with an address."""
        # Faults.
        self.delay_s = 0.0
        self.failing = {}
        """Part of a path → status codes to answer with, one a request, before it is handled."""
        self.dropping = {}
        """Part of a path → how often the connection is closed without an answer; ("after", part): once it was taken."""
        self.hanging = ""
        """Requests with this part of a path are not answered."""
        self.forget_models = ""
        """At the next request with this part of a path all models in memory are lost."""
        self.doubling = 0
        """How many of the next optimiser steps are applied twice."""
        self.forget_futures = 0
        """How many of the next results are answered with 404."""
        self.capabilities = None
        """What is answered in place of the true capabilities."""
        self._lock, self._work, self._number = threading.Lock(), queue.Queue(), 0
        self._over = threading.Event()

    # ------------------------------------------------------------------ life

    def __enter__(self):
        self.start()
        threading.Thread(target=self._carry_out, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._work.put(None)
        self.stop()

    def start(self, port=0):
        server = self

        class Handler(BaseHTTPRequestHandler):
            # No connection outlives its answer, so that a server that is stopped is gone.
            protocol_version = "HTTP/1.0"

            def do_GET(self):
                server.handle(self, {})

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                server.handle(self, json.loads(body or b"{}"))

            def log_message(self, *_):
                pass

        class Http(ThreadingHTTPServer):
            daemon_threads, allow_reuse_address = True, True

            def handle_error(self, *_):
                pass

        self.http = Http(("127.0.0.1", port), Handler)
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()

    def restart(self):
        """Down, without the models in memory, and up again at the same place."""
        self.stop()
        with self._lock:
            self.models.clear()
            for future in self.futures.values():
                if future["state"] == "pending":
                    future.update(state="failed", result={"detail": "Model not found"})
        self.start(self.port)

    # ------------------------------------------------------------------ requests

    def handle(self, http, body):
        path = http.path.removeprefix("/api/v1")
        with self._lock:
            self.requests.append(path)
            for part, codes in self.failing.items():
                if part in path and codes:
                    return self.answer(http, codes.pop(0), {"detail": "made to fail"})
            for part in [p for p in self.dropping if isinstance(p, str)]:
                if part in path and self.dropping[part] > 0:
                    self.dropping[part] -= 1
                    return http.connection.close()
        if self.forget_models and self.forget_models in path:
            self.forget_models = ""
            self.models.clear()
        if self.hanging and self.hanging in path:
            self._over.wait(HANGS_S)
            return http.connection.close()
        if self.key is not None and http.headers.get("X-API-Key") != self.key:
            return self.answer(http, 401, {"detail": "wrong key"})
        try:
            found = self.route(http, path, body)
        except Refused as refused:
            return self.answer(http, refused.code, {"detail": refused.detail})
        for part in [p[1] for p in self.dropping if isinstance(p, tuple)]:
            if part in path and self.dropping[("after", part)] > 0:
                self.dropping[("after", part)] -= 1
                return http.connection.close()
        return self.answer(http, 200, found) if found is not None else None

    def answer(self, http, code, found):
        data = json.dumps(found).encode()
        try:
            http.send_response(code)
            http.send_header("content-type", "application/json")
            http.send_header("content-length", str(len(data)))
            http.end_headers()
            http.wfile.write(data)
        except OSError:
            pass

    def route(self, http, path, body):
        match path.strip("/").split("/"):
            case ["get_server_capabilities"]:
                return self.capabilities or {"supported_models": [{"model_name": self.name}]}
            case ["create_session"]:
                return {"type": "create_session", "session_id": "session_1"}
            case ["session_heartbeat"]:
                return {"type": "session_heartbeat"}
            case ["create_model"]:
                if body["base_model"] != self.name:
                    raise Refused(400, f"{body['base_model']} is not served")
                model_id = f"model_{len(self.models) + len(self.saved)}_{self._number}"
                lora = body["lora_config"]
                return self.submit(lambda: self._create(model_id, lora), model_id=model_id)
            case ["unload_model"]:
                self.unloaded.append(body["model_id"])
                self.models.pop(body["model_id"], None)
                return self.submit(lambda: {"type": "unload_model"})
            case ["forward"]:
                return self.submit(lambda: self._pass(body["model_id"], body["forward_input"], backward=False))
            case ["forward_backward"]:
                return self.submit(lambda: self._pass(body["model_id"], body["forward_backward_input"], backward=True))
            case ["optim_step"]:
                return self.submit(lambda: self._step(body["model_id"], body["adam_params"]))
            case ["save_weights"]:
                return self.submit(lambda: self._save(body))
            case ["load_weights"]:
                return self.submit(lambda: self._load(body))
            case ["save_weights_for_sampler"]:
                return self.submit(lambda: self._save_sampler(body))
            case ["asample"]:
                return self.submit(lambda: self._sample(body))
            case ["retrieve_future"]:
                return self._retrieve(body["request_id"])
            case ["training_runs", model_id, "checkpoints", name, "archive"]:
                place = f"{self.url}/download/{model_id}/{name}"
                if not self.redirects:
                    return {"url": place, "expires": "2099-01-01T00:00:00Z"}
                http.send_response(302)
                http.send_header("location", place)
                http.send_header("content-length", "0")
                http.end_headers()
                return None
            case ["download", model_id, name]:
                self._send_archive(http, f"tinker://{model_id}/sampler_weights/{name}")
                return None
        raise Refused(404, "no such place")

    def submit(self, work, **extra):
        with self._lock:
            self._number += 1
            id_ = str(self._number)
            self.futures[id_] = {"state": "pending", "result": None}
        self._work.put((id_, work))
        return {"request_id": id_, "future_id": id_, **extra}

    def _carry_out(self):
        torch.set_num_threads(1)
        while (item := self._work.get()) is not None:
            id_, work = item
            self._over.wait(self.delay_s)
            future = self.futures[id_]
            if future["state"] != "pending" or self._over.is_set():
                continue
            try:
                future.update(state="done", result=work())
            except Refused as refused:
                future.update(state="failed", result={"detail": refused.detail})
            except Exception as error:  # noqa: BLE001 - a test shall see it
                future.update(state="failed", result={"detail": repr(error)})

    def _retrieve(self, id_):
        if self.forget_futures:
            self.forget_futures -= 1
            raise Refused(404, "Future not found")
        ends = time.monotonic() + 0.5
        while (future := self.futures.get(id_)) is None or future["state"] == "pending":
            if future is None:
                raise Refused(404, "Future not found")
            if time.monotonic() > ends:
                return {"type": "try_again", "request_id": id_, "queue_state": "active"}
            time.sleep(0.002)
        if future["state"] == "failed":
            raise Refused(400, future["result"]["detail"])
        return future["result"]

    # ------------------------------------------------------------------ what they do

    def model(self, model_id):
        if model_id not in self.models:
            raise Refused(400, f"Model {model_id} not found")
        return self.models[model_id]

    def _create(self, model_id, lora):
        self.models[model_id] = Model(self.folder, lora["rank"], lora.get("seed") or 0)
        return {"model_id": model_id, "base_model": self.name, "type": "create_model"}

    def _pass(self, model_id, given, *, backward):
        model, outputs, whole = self.model(model_id), [], 0.0
        for datum in given["data"]:
            tokens = [t for chunk in datum["model_input"]["chunks"] for t in chunk["tokens"]]
            inputs = {name: torch.tensor(value["data"]) for name, value in datum["loss_fn_inputs"].items()}
            tokens = [*tokens, int(inputs["target_tokens"][-1])]
            if not self.weighted and "weights" in inputs and backward:
                raise Refused(400, "loss_fn_inputs: unexpected key weights")
            new = model.logprobs(tokens)
            ratio = (new - inputs["logprobs"]).exp()
            loss = -ratio * inputs["advantages"]
            if given["loss_fn"] == "ppo":
                config = given.get("loss_fn_config") or {}
                bounded = ratio.clamp(config.get("clip_low_threshold", 0.8), config.get("clip_high_threshold", 1.2))
                loss = -torch.minimum(ratio * inputs["advantages"], bounded * inputs["advantages"])
            weights = inputs.get("weights", torch.ones_like(loss))
            output = {"logprobs": {"data": new.tolist(), "dtype": "float32", "shape": [len(new)]}}
            if self.weighted:
                loss = loss * weights
                output["elementwise_loss"] = {"data": loss.tolist(), "dtype": "float32", "shape": [len(loss)]}
                loss = loss / weights.sum()
            whole = whole + loss.sum()
            outputs.append(output)
        if backward:
            whole.backward()
            model.rows += len(given["data"])
        return {"loss_fn_output_type": "scalar", "loss_fn_outputs": outputs, "metrics": {}}

    def _step(self, model_id, params):
        model = self.model(model_id)
        count = max(1, model.rows) if self.weighted else 1
        for group in model.adam.param_groups:
            group.update(lr=params["learning_rate"], betas=(params["beta1"], params["beta2"]), eps=params["eps"],
                         weight_decay=params["weight_decay"])  # fmt: skip
        for p in model.adapters.values():
            if p.grad is not None:
                p.grad /= count
        norm = float(torch.nn.utils.clip_grad_norm_(model.adapters.values(), params.get("grad_clip_norm") or 1e30))
        times = 1
        if self.doubling:
            self.doubling -= 1
            times = 2
        for _ in range(times):
            model.adam.step()
            model.steps += 1
            self.applied.append((model_id, params["learning_rate"]))
        model.adam.zero_grad(set_to_none=True)
        model.rows = 0
        metrics = {"skyrl.ai/grad_norm": norm} | ({"step": float(model.steps)} if self.counts_steps else {})
        return {"metrics": metrics, "type": "optim_step"}

    def _save(self, body):
        model, path = self.model(body["model_id"]), f"tinker://{body['model_id']}/weights/{body['path']}"
        self.saved[path] = (model.weights(), copy.deepcopy(model.adam.state_dict()), model.steps)
        return {"path": path, "type": "save_weights"}

    def _load(self, body):
        model = self.model(body["model_id"])
        if body["path"] not in self.saved:
            raise Refused(404, f"Checkpoint not found: {body['path']}")
        weights, adam, model.steps = self.saved[body["path"]]
        model.put(weights)
        model.adam.load_state_dict(copy.deepcopy(adam))
        return {"type": "load_weights"}

    def _save_sampler(self, body):
        path = f"tinker://{body['model_id']}/sampler_weights/{body['path']}"
        self.samplers[path] = (body["model_id"], self.model(body["model_id"]).weights())
        return {"path": path, "type": "save_weights_for_sampler"}

    def _sample(self, body):
        tokens = tuple(t for chunk in body["prompt"]["chunks"] for t in chunk["tokens"])
        params = body["sampling_params"]
        if body.get("model_path"):
            if body["model_path"] not in self.samplers:
                raise Refused(404, "Checkpoint not found")
            model_id, weights = self.samplers[body["model_path"]]
            model = self.model(model_id)
        else:
            model = self.base = self.base or Model(self.folder, 1, 0)
            weights = {name: torch.zeros_like(p) for name, p in model.adapters.items()}
        before = model.weights()
        model.put(weights)
        try:
            asked = SamplingParams(params["max_tokens"], params["temperature"], params.get("seed") or 0)
            (found,) = model.engine.sample([tokens], body["num_samples"], asked)
            with torch.no_grad():
                prompt = model.logprobs(list(tokens)).tolist() if body.get("prompt_logprobs") else None
        finally:
            model.put(before)
        sequences = [
            {"stop_reason": "length" if c.truncated else "stop", "tokens": list(c.tokens),
             "logprobs": list(c.logprobs) if self.gives_logprobs else None} for c in found
        ]  # fmt: skip
        return {"sequences": sequences, "type": "sample",
                "prompt_logprobs": prompt if self.gives_prompt_logprobs else None}  # fmt: skip

    def _send_archive(self, http, path):
        model_id, weights = self.samplers[path]
        model = self.models.get(model_id) or next(iter(self.models.values()))
        before = model.weights()
        model.put(weights)
        packed = io.BytesIO()
        with tempfile.TemporaryDirectory() as place:
            model.engine._peft.save_pretrained(place, safe_serialization=True, save_embedding_layers=False)
            model.put(before)
            with tarfile.open(fileobj=packed, mode="w:gz") as tar:
                for name in ("adapter_config.json", "adapter_model.safetensors"):
                    tar.add(Path(place) / name, arcname=name)
        data = packed.getvalue()
        http.send_response(200)
        http.send_header("content-length", str(len(data)))
        http.end_headers()
        http.wfile.write(data)
