"""Asking an engine from inside its own server, so that the answer does not depend on the network between the sites."""

from __future__ import annotations

import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from binome.lab import network


def ask(
    server: str,
    endpoint: tuple[str, int],
    path: str,
    *,
    body: Any = None,
    method: str | None = None,
    timeout_s: float = 1,
) -> Any:
    """One HTTP request to (address, port) from within a server's namespace.

    Returns the JSON of the answer (None where it is no JSON), whatever its status. Raises OSError where there is none.
    """
    try:
        return json.loads(fetch(server, endpoint, path, body=body, method=method, timeout_s=timeout_s))
    except ValueError:
        return None


def fetch(
    server: str,
    endpoint: tuple[str, int],
    path: str,
    *,
    body: Any = None,
    method: str | None = None,
    timeout_s: float = 1,
) -> bytes:
    """The same, as it came."""
    address, port = endpoint
    connection = HTTPConnection(address, port)
    connection.sock = network.socket_in(server, address)
    try:
        connection.sock.settimeout(timeout_s)
        connection.sock.connect((address, port))
        payload = None if body is None else json.dumps(body)
        connection.request(method or ("GET" if body is None else "POST"), path, payload)
        return connection.getresponse().read()
    except HTTPException as error:
        raise OSError(f"{server} {address}:{port}{path}: {error}") from error
    finally:
        connection.close()


def haproxy_says(path: Path, command: str, timeout_s: float = 1) -> str:
    """The answer of HAProxy's runtime socket. Raises OSError where there is none."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
        connection.sendall(f"{command}\n".encode())
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts).decode()
