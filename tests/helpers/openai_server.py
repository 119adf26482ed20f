"""An OpenAI-compatible server on loopback, and the ways in which one behaves badly. A thread of the test process.

`with FakeServer() as server` serves until the block ends. `server.say` makes the text of a reply. Faults are entries of
`server.faults`, one a request, before the true reply, or `server.always`. It bills what it computes, once for each
Idempotency-Key: a key that comes again gets the first reply, as a server does that honours it.
"""

import contextlib
import hashlib
import json
import random
import socket
import threading
import time
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS = "river stone lamp cloud seven paper orange window quiet train bread ladder".split()


def some_words(body, count=8):
    """Words by the messages; with a temperature also by the seed, and by chance without one."""
    source = json.dumps(body["messages"], sort_keys=True)
    if body.get("temperature", 1.0):
        source += str(body["seed"]) if body.get("seed") is not None else str(random.random())
    rng = random.Random(hashlib.sha256(source.encode()).digest())
    return " ".join(rng.choice(WORDS) for _ in range(count))


class FakeServer:
    def __init__(self, say=some_words, *, logprobs=True, key="", refuses=(), max_tokens_name="", system=True,
                 seed=True, several=True, streaming=True, reasoning="", limit=None, delay_s=0.0, models=("m",),
                 retry_after="1", honours_keys=True, prompt_logprobs=False, port=0):  # fmt: skip
        self.say = say
        """A text, or a dict of words with their log-probabilities, for the body of a request."""
        self.logprobs, self.key, self.refuses, self.max_tokens_name = logprobs, key, set(refuses), max_tokens_name
        self.system, self.seed, self.several, self.streaming = system, seed, several, streaming
        self.reasoning, self.delay_s, self.models, self.retry_after = reasoning, delay_s, models, retry_after
        self.limit = limit
        """(requests, seconds): more are turned away with 429."""
        self.honours_keys, self.prompt_logprobs = honours_keys, prompt_logprobs
        self.faults = []
        """A name of `_FAULTS`, or a status code."""
        self.always = ""
        self.usage = "true"
        """true, none, negative, zero, absurd, or words."""
        self.requests = []
        """Bodies of chat completions with `key` and `idempotency` of their headers."""
        self.gets = 0
        self.billed = Counter()
        """How often each Idempotency-Key was billed."""
        self.most_at_once = self._at_once = 0
        self.stopping = threading.Event()
        self._replies, self._times, self._connections, self._lock = {}, [], set(), threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self):
                super().setup()
                server._connections.add(self.connection)

            def finish(self):
                server._connections.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with contextlib.suppress(OSError), server._counted():
                    server._post(self, body)

            def do_GET(self):
                server.gets += 1
                with contextlib.suppress(OSError):
                    if not server._refuses_key(self):
                        server._json(self, 200, {"object": "list", "data": [{"id": m} for m in server.models]})

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass  # of a client that closed its connection

        self._http = Quiet(("127.0.0.1", port), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End it, with the connections that are open. Again: nothing."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._http.shutdown()
            self._http.server_close()
            for connection in list(self._connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @property
    def bills(self):
        return sum(self.billed.values())

    @contextlib.contextmanager
    def _counted(self):
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    # ------------------------------------------------------------------ one request

    def _post(self, handler, body):
        if not handler.path.endswith("/chat/completions"):
            if not self._refuses_key(handler):
                self._echo(handler, body)
            return
        with self._lock:
            idempotency = handler.headers.get("Idempotency-Key")
            self.requests.append(body | {"key": handler.headers.get("Authorization"), "idempotency": idempotency})
            fault = self.faults.pop(0) if self.faults else self.always
            limited = self._is_limited()
        if self._refuses_key(handler):
            return
        if limited:
            self._json(handler, 429, _error("Too many requests"), {"Retry-After": self._when()})
            return
        if fault and self._early_fault(handler, fault):
            return
        if problem := self._refusal(body):
            self._json(handler, 400, problem)
            return
        reply = self._reply(idempotency, body)
        self.stopping.wait(self.delay_s)
        self._deliver(handler, body, reply, fault)

    def _echo(self, handler, body):
        """The older completions API, for log-probabilities of the prompt."""
        if not self.prompt_logprobs:
            self._json(handler, 404, _error("No such place"))
            return
        words = body["prompt"].split()
        logprobs = {"tokens": words, "token_logprobs": [None, *(-1.0 for _ in words[1:])]}
        self._json(handler, 200, {"choices": [{"index": 0, "text": body["prompt"], "logprobs": logprobs}]})

    def _is_limited(self):
        if self.limit is None:
            return False
        most, seconds = self.limit
        now = time.monotonic()
        self._times = [t for t in self._times if t > now - seconds]
        if len(self._times) >= most:
            return True
        self._times.append(now)
        return False

    def _when(self):
        if self.retry_after == "date":
            return formatdate(time.time() + 1.0, usegmt=True)
        return self.retry_after

    def _refuses_key(self, handler):
        given = handler.headers.get("Authorization", "")
        if not self.key or given == f"Bearer {self.key}":
            return False
        self._json(handler, 401, _error(f"Incorrect key provided: {given}", code="invalid_api_key"))
        return True

    def _refusal(self, body):
        for name in ("max_tokens", "max_completion_tokens"):
            if self.max_tokens_name and name in body and name != self.max_tokens_name:
                other = self.max_tokens_name
                return _error(f"Unsupported parameter: '{name}'. Use '{other}' instead.", param=name)
        for name in sorted(self.refuses & set(body)):
            return _error(f"Unsupported value: '{name}' is not supported with this model.", param=name)
        if not self.system and any(m["role"] == "system" for m in body["messages"]):
            return _error("System role not supported")
        return None

    def _reply(self, idempotency, body):
        with self._lock:
            if self.honours_keys and idempotency in self._replies:
                return self._replies[idempotency]
        made = self._make(body)
        with self._lock:
            if self.honours_keys and idempotency in self._replies:
                return self._replies[idempotency]
            self.billed[idempotency] += 1
            self._replies[idempotency] = made
        return made

    def _make(self, body):
        given = body if self.seed else {n: v for n, v in body.items() if n != "seed"}
        count = body.get("n", 1) if self.several else 1
        choices = []
        for place in range(count):
            said = self.say(given | {"seed": f"{given['seed']}.{place}"} if place and "seed" in given else given)
            text = said if isinstance(said, str) else max(said, key=said.get)
            message = {"role": "assistant", "content": text}
            if self.reasoning:
                message["reasoning_content"] = self.reasoning
            choice = {"index": place, "message": message, "finish_reason": "stop"}
            if body.get("logprobs") and self.logprobs:
                choice["logprobs"] = {"content": _logprobs(said, body.get("top_logprobs", 0))}
            choices.append(choice)
        reply = {"id": "1", "object": "chat.completion", "model": body.get("model", "m"), "choices": choices}
        prompt = sum(len(m["content"].split()) + 4 for m in body["messages"])
        completion = sum(len(c["message"]["content"].split()) for c in choices)
        lies = {"true": (prompt, completion), "negative": (-5, -7), "zero": (0, 0), "absurd": (10**12, 10**12),
                "words": ("many", None)}  # fmt: skip
        if self.usage in lies:
            tokens = lies[self.usage]
            reply["usage"] = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        return reply

    # ------------------------------------------------------------------ faults and delivery

    def _early_fault(self, handler, fault):
        """Faults of a server that computes nothing; True where it was one."""
        if isinstance(fault, int):
            said = f"no, {handler.headers.get('Authorization', '')}" if fault == 400 else "no"
            self._json(handler, fault, _error(said), {"Retry-After": "0"})
        elif fault == "drop":
            handler.close_connection = True
        elif fault == "slow":
            self.stopping.wait(60)
            handler.close_connection = True
        elif fault == "drip_head":
            self._drip(handler, b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 500)
        elif fault == "redirect":
            self._send(handler, 302, b"", {"Location": "http://127.0.0.1:9/elsewhere"})
        elif fault == "endless":
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
            while not self.stopping.is_set():
                handler.wfile.write(b"x" * 65536)
        elif fault == "no_credit":
            self._json(handler, 429, _error("You exceeded your quota", code="insufficient_quota"))
        elif fault == "too_long":
            self._json(
                handler, 400, _error("This model's maximum context length is 8 tokens", code="context_length_exceeded")
            )
        else:
            return False
        return True

    def _deliver(self, handler, body, reply, fault):
        """Faults of a server that computed, and billed, a reply."""
        key = handler.headers.get("Authorization", "")
        bodies = {
            "garbage": b'{"choices": [{"message": 7}]}',
            "not_json": b"\xff\xfe{",
            "html": b"<!doctype html><title>Welcome</title>",
            "empty": json.dumps(reply | {"choices": []}).encode(),
            "error_in_reply": json.dumps({"error": {"message": f"broken for {key}"}}).encode(),
            "no_finish": json.dumps(_with(reply, finish_reason=None)).encode(),
            "length": json.dumps(_with(reply, finish_reason="length")).encode(),
            "filtered": json.dumps(_with(reply, finish_reason="content_filter", message={"content": None})).encode(),
            "tools": json.dumps(_with(reply, message={"content": None, "tool_calls": [{"id": "1"}]})).encode(),
            "echo_key": json.dumps(_with(reply, message={"content": f"Your key is {key}."})).encode(),
            "other_model": json.dumps(reply | {"model": "another"}).encode(),
            "half_character": json.dumps(_with(reply, message={"content": "ends in \ud83d"})).encode(),
        }  # fmt: skip
        if fault == "drop_after":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{")
            handler.close_connection = True
        elif body.get("stream") and self.streaming:
            self._stream(handler, reply, fault)
        elif fault == "drip_body":
            whole = json.dumps(reply).encode()
            handler.wfile.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(whole)}\r\n\r\n".encode())
            self._drip(handler, whole)
        elif fault == "packed":
            self._send(handler, 200, b"zzzz", {"Content-Encoding": "gzip"})
        else:
            self._send(handler, 200, bodies.get(fault) or json.dumps(reply).encode())

    def _stream(self, handler, reply, fault):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        handler.close_connection = True
        message = reply["choices"][0]["message"]
        if "reasoning_content" in message:
            self._event(handler, {"reasoning_content": message["reasoning_content"]})
        for place, word in enumerate(message["content"].split(" ")):
            if fault == "stream_garbage" and place == 2:
                handler.wfile.write(b"data: {not json\n\n")
                return
            if fault == "stream_cut" and place == 2:
                return
            if fault == "stream_slow":
                self.stopping.wait(30 if place else 0.3)
            self._event(handler, {"content": word if place == 0 else f" {word}"})
        self._event(handler, {}, reply["choices"][0]["finish_reason"])
        if "usage" in reply:
            handler.wfile.write(f"data: {json.dumps({'choices': [], 'usage': reply['usage']})}\n\n".encode())
        handler.wfile.write(b"data: [DONE]\n\n")

    def _event(self, handler, delta, finish=None):
        data = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        handler.wfile.write(f": comment\ndata: {json.dumps(data)}\n\n".encode())
        handler.wfile.flush()

    def _drip(self, handler, content):
        handler.close_connection = True
        for byte in content:
            if self.stopping.is_set():
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)

    def _json(self, handler, status, data, headers=None):
        self._send(handler, status, json.dumps(data).encode(), headers)

    def _send(self, handler, status, content, headers=None):
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json" if content[:1] == b"{" else "text/plain")
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)


def _error(message, param=None, code=None):
    return {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}


def _with(reply, **changes):
    """The reply with another first choice."""
    first = dict(reply["choices"][0])
    for name, value in changes.items():
        first[name] = {**first[name], **value} if isinstance(value, dict) else value
    return reply | {"choices": [first, *reply["choices"][1:]]}


def _logprobs(said, top):
    if isinstance(said, str):
        return [
            {"token": w, "logprob": -0.5, "top_logprobs": [{"token": w, "logprob": -0.5}][:top]} for w in said.split()
        ]
    tops = [{"token": token, "logprob": value, "bytes": None} for token, value in said.items()]
    token = max(said, key=said.get)
    return [{"token": token, "logprob": said[token], "top_logprobs": tops[:top]}]
