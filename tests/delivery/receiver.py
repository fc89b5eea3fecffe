"""A receiver of webhooks in a process of its own, which can be killed and started again."""

from __future__ import annotations

import http.server
import json
import sys
from pathlib import Path
from typing import ClassVar


class Receiver(http.server.BaseHTTPRequestHandler):
    """Writes every body, and what came with it, as a line of a file."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[list[int]] = []
    log: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        code = self.answers.pop(0) if self.answers else 204
        if code < 300:
            line = {"headers": dict(self.headers), "body": json.loads(body), "raw": body}
            with self.log.open("a") as file:
                file.write(json.dumps(line) + "\n")
        self.send_response(code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    port, log, *codes = sys.argv[1:]
    Receiver.log, Receiver.answers = Path(log), [int(code) for code in codes]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Receiver)
    print(server.server_address[1], flush=True)
    server.serve_forever()
