"""`binome run` with people: a test page goes out by a real mail server, and the heartbeat outside is fetched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from typer.testing import CliRunner

from binome.cli.main import app
from tests.cli.mail_side import MailSide
from tests.cli.test_run import ALONE, running


@contextmanager
def outside() -> Iterator[tuple[int, list[str]]]:
    """Whoever stands outside: a port, and the paths that were fetched."""
    fetched: list[str] = []

    class Fetched(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fetched.append(self.path)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the test reads `fetched`."""

    server = HTTPServer(("127.0.0.1", 0), Fetched)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, fetched
    server.shutdown()
    server.server_close()


def until(condition: Callable[[], object], within_s: float = 20) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_a_running_lookout_pages_by_mail_and_pings_outside(tmp_path: Path) -> None:
    with MailSide() as side, outside() as (port, fetched):
        (tmp_path / "url").write_text(f"http://127.0.0.1:{port}/ping/of-ours\n")
        people = (
            "people:\n"
            "  contacts: {ann: {email: ann@example.org}}\n"
            "  routes: [{via: mail}]\n"
            f"  heartbeat: 'file:{tmp_path / 'url'}'\n"
            "  senders:\n"
            f"    mail: {{kind: smtp, host: 127.0.0.1, port: {side.port}, from: pages@example.org, tls: none}}\n"
        )
        with running(tmp_path, ALONE + people) as door:
            until(lambda: fetched)
            result = CliRunner().invoke(app, ["page", "--test", "--socket", str(door)])
            assert result.exit_code == 0, result.output
            assert "taken up" in result.output
            until(lambda: side.mails)
            result = CliRunner().invoke(app, ["incidents", "--json", "--socket", str(door)])
            assert result.exit_code == 0, result.output
    (mail,) = side.mails
    assert fetched == ["/ping/of-ours"]
    assert (mail["From"], mail["To"]) == ("pages@example.org", "ann@example.org")
    assert str(mail["Subject"]).startswith("[alone] info: ")
