"""A small server of Ray's Jobs API over real HTTP. It can ask for a token, drop, drip, be old, or be another server."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JOB = {"submission_id": "a/b", "status": "RUNNING", "entrypoint": "x", "message": "[red]", "start_time": 2000}


class JobsServer(ThreadingHTTPServer):
    """Its one job is `job`, whose log is `log`; `mode` is good, drop, drip, text or old."""

    daemon_threads = True
    mode = "good"
    token = ""
    log = "one\ntwo\n"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.job = dict(JOB)
        self.seen: list[tuple[str, str]] = []
        """Method and path of each request."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class JsonHandler(BaseHTTPRequestHandler):
    """Answers with JSON, and prints nothing."""

    def _send(self, body, status=200, raw=False):
        data = (body if raw else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class _Handler(JsonHandler):
    timeout = 2
    server: JobsServer

    def do_GET(self):
        server = self.server
        server.seen.append((self.command, self.path))
        if server.mode == "drop":
            return
        if server.token and self.headers.get("Authorization") != f"Bearer {server.token}":
            return self._send({}, 401)
        if server.mode == "drip":
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(600):
                    self.wfile.write(b" ")
                    time.sleep(0.1)
            except OSError:
                pass
            return None
        if server.mode == "text":
            return self._send("page", 200, raw=True)
        answers = {
            "/api/version": {"version": "4", "ray_version": "2.52.0"}, "/api/jobs/": [server.job, {"type": "DRIVER"}],
            "/api/jobs/a%2Fb": server.job, "/api/jobs/a%2Fb/logs": {"logs": server.log},
            "/api/jobs/a%2Fb/stop": {"stopped": server.job["status"] == "RUNNING"},
        }  # fmt: skip
        if self.path not in answers or server.mode == "old":
            return self._send({}, 404)
        if self.path.endswith("/stop"):
            server.job["status"] = "STOPPED"
        return self._send(answers[self.path], 200)

    do_POST = do_GET


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    """The server, at work while the block runs."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def jobs_server() -> Iterator[JobsServer]:
    """The server, at work while the block runs."""
    with JobsServer() as made, serving(made):
        yield made
