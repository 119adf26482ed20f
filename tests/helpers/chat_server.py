"""A small OpenAI-compatible server on loopback, and the ways in which one fails.

`with ChatServer() as server` serves until the block ends. `server.say` makes the reply of a request; faults are entries
of `server.faults`, one a request, before the true reply.
"""

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ChatServer:
    def __init__(self, say=lambda messages: "yes", logprobs=False):
        self.say = say
        """A text, or a dict of words with their log-probabilities, for the messages of a request."""
        self.logprobs = logprobs
        """Whether requests for log-probabilities are taken; otherwise they are refused with 400."""
        self.faults = []
        """slow, drip_head, drip_body, drop, garbage, endless, redirect, or a status code."""
        self.always = ""
        """A fault of every request."""
        self.requests = []
        """Bodies with the Authorization header as `key`."""
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.requests.append(body | {"key": self.headers.get("Authorization")})
                fault = server.faults.pop(0) if server.faults else server.always
                with contextlib.suppress(OSError):
                    server._answer(self, body, fault)
                self.close_connection = True

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def _answer(self, handler, body, fault):
        if fault == "drop":
            handler.connection.close()
            return
        if fault == "slow":
            self.stopping.wait(5)
            return
        if fault == "drip_head":
            self._drip(handler, b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 500)
            return
        if fault == "redirect":
            self._send(handler, 302, b"", {"Location": "http://127.0.0.1:9/elsewhere"})
            return
        if isinstance(fault, int):
            self._send(handler, fault, b'{"error": "no"}', {"Retry-After": "0"})
            return
        if fault == "garbage":
            self._send(handler, 200, b'{"choices": [{"message": 7}]}')
            return
        if fault == "endless":
            handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
            while not self.stopping.is_set():
                handler.wfile.write(b"x" * 65536)
            return
        if body.get("logprobs") and not self.logprobs:
            self._send(handler, 400, b'{"error": "logprobs is not supported"}')
            return
        said = self.say(body["messages"])
        text = said if isinstance(said, str) else max(said, key=said.get)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        if body.get("logprobs") and isinstance(said, dict):
            tops = [{"token": token, "logprob": value, "bytes": None} for token, value in said.items()]
            choice["logprobs"] = {"content": [{"token": text, "logprob": said[text], "top_logprobs": tops}]}
        whole = json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()
        if fault == "drip_body":
            handler.wfile.write(f"HTTP/1.0 200 OK\r\nContent-Length: {len(whole)}\r\n\r\n".encode())
            self._drip(handler, whole)
            return
        self._send(handler, 200, whole)

    def _drip(self, handler, content):
        for byte in content:
            if self.stopping.is_set():
                return
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(0.05)

    def _send(self, handler, status, content, headers=None):
        handler.send_response(status)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)
