"""The stand-in for the team's own web service: stateless, answers every request with the name of its server.

It is one file of the standard library alone, because it runs with the rights of `nobody`, which may not look into our
virtual environment.
"""

from __future__ import annotations

import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answer = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(self.answer)))
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that the base class has
        """Says nothing: four lines a second for each edge would hide what matters."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing: an edge that closes its check early is no error of ours."""


def _serve(name: str, address: str, port: int) -> None:
    _Handler.answer = f"{name}\n".encode()
    if ":" in address:
        _Server.address_family = socket.AF_INET6
    _Server((address, port), _Handler).serve_forever()


if __name__ == "__main__":
    _serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
