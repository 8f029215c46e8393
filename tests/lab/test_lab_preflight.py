"""`binome preflight` in the lab: good where reality is as the file says, and each deviation by its name."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import binome
from binome.lab import inside
from binome.lab.guard import passing_lab
from binome.lab.lab import Lab
from binome.lab.process import Program
from tests.lab.conftest import LITTORAL

pytestmark = pytest.mark.lab
OURS = str(Path(binome.__file__).parents[1])
BINOME = str(Path(sys.executable).with_name("binome"))
FROM = "par-watch"
ROLE = "watcher"

WRONG_CLOCK = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Wrong(BaseHTTPRequestHandler):
    def date_time_string(self, timestamp=None):
        import time
        return super().date_time_string(time.time() + 5)
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments): pass
HTTPServer((sys.argv[1], int(sys.argv[2])), Wrong).serve_forever()
"""
TLS = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[3])
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
while True:
    connection, _ = listener.accept()
    try:
        context.wrap_socket(connection, server_side=True).close()
    except OSError:
        pass
"""


class Flights:
    """Runs preflights in a lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.password = lab.folder / "watcher.password"
        self.password.write_text("a password of the lab")
        self.estate = lab.folder / "preflight.yaml"
        lab.run_sql("database", lab.primary("database"), f"create role {ROLE} login password 'a password of the lab'")
        self.says()

    def says(self, more: str = "") -> None:
        """What the file says besides."""
        self.estate.write_text(LITTORAL.read_text() + more)

    def fly(self, *arguments: str, code: int, login: bool = True) -> dict[str, Any]:
        """A preflight from a server of the lab: check → subject → found, of those that are not good."""
        log = self.lab.folder / "logs" / "preflight.log"
        log.unlink(missing_ok=True)
        credentials = ["--user", ROLE, "--password", f"file:{self.password}"] if login else []
        command = (BINOME, "preflight", str(self.estate), *arguments, *credentials, "--json")
        process = self.lab.spawn(FROM, Program(command, environment={"PYTHONPATH": OURS}), "preflight.log")
        assert process.wait(60) == code, log.read_text()
        said = json.loads(log.read_text())
        self.said = said
        return {
            state: {(one["check"], one["subject"]): one["found"] for one in said["checks"] if one["state"] == state}
            for state in ("bad", "unknown", "good")
        }

    def until(self, check: str, subject: str, state: str, *arguments: str) -> str:
        """What a check found, as soon as it has come to a state."""
        ends_s = time.monotonic() + 40
        while True:
            for code in (1, 0):
                try:
                    found = self.fly(*arguments, code=code)
                except AssertionError:
                    if code == 0:
                        raise
                    continue
                break
            if (check, subject) in found[state]:
                return str(found[state][check, subject])
            assert time.monotonic() < ends_s, found


@pytest.fixture(scope="module")
def flights() -> Iterator[Flights]:
    with passing_lab(LITTORAL.read_bytes(), say=print) as lab:
        yield Flights(lab)


def test_littoral_is_as_its_file_says(flights: Flights) -> None:
    found = flights.fly(code=0)
    assert (found["bad"], found["unknown"]) == ({}, {})
    kinds = {check for check, _ in found["good"]}
    assert kinds == {
        *("server-answers", "member-answers", "port-open", "etcd-members", "etcd-leader", "patroni-members", "clock"),
        *("patroni-roles", "patroni-synchronous", "patroni-settings", "postgresql-checksums", "postgresql-commit"),
        *("edge-backends", "edge-states"),
    }
    assert "clock of par-spare, ams-vault: nothing runs there that tells the time" in flights.said["not_asked"]
    assert {("port-open", f"lookout@{one}:7117") for one in ("gra-edge", "sbg-edge", "par-watch")} <= found[
        "good"
    ].keys()
    assert flights.said["took_s"] < 10


def test_without_credentials_what_they_tell_is_unknown(flights: Flights) -> None:
    found = flights.fly("gra-db", code=4, login=False)
    assert found["bad"] == {}
    assert set(found["unknown"]) == {("postgresql-checksums", "database@gra-db"), ("postgresql-commit", "database")}


def test_an_asynchronous_standby(flights: Flights) -> None:
    lab = flights.lab
    primary = lab.primary("database")
    address = str(lab.estate.servers[primary].address)
    for wanted in (False, True):
        inside.ask(primary, (address, 8008), "/config", body={"synchronous_mode": wanted}, method="PATCH", timeout_s=5)
        if not wanted:
            said = flights.until("patroni-synchronous", "database", "bad")
            standby = next(one for one in lab.estate.services["database"].on if one != primary)
            assert said == f"{standby} is asynchronous; {primary} waits for no standby"
            (settings,) = [one["found"] for one in flights.said["checks"] if one["check"] == "patroni-settings"]
            assert settings == "synchronous_mode is false, and true is rendered"
    flights.until("patroni-synchronous", "database", "good")


def test_a_role_that_does_not_wait_for_the_standby(flights: Flights) -> None:
    primary = flights.lab.primary("database")
    flights.lab.run_sql("database", primary, "create role reports; alter role reports set synchronous_commit = local")
    found = flights.fly(code=1)
    assert found["bad"] == {("postgresql-commit", "database"): "1 sets it: role reports sets local"}
    flights.lab.run_sql("database", primary, "alter role reports reset synchronous_commit")
    assert flights.fly(code=0)["bad"] == {}


def test_a_backend_that_was_edited(flights: Flights) -> None:
    lab = flights.lab
    file = lab.folder / "servers" / "gra-edge" / "etc" / "binome" / "edge.haproxy.cfg"
    rendered = file.read_text()
    edited = rendered.replace("server sbg-web 10.20.2.11:8000", "server sbg-web 10.20.1.11:8000")
    edited = edited.replace("    server gra-web", "    server old-web 10.20.2.11:8000\n    server gra-web")
    for text in (edited, rendered):
        file.write_text(text)
        for pid in running(lab, "gra-edge", "haproxy"):
            os.kill(pid, signal.SIGTERM)
        lab.wait_for(lambda: ["its end"] if running(lab, "gra-edge", "haproxy") else [], "the edge", 10)
        lab.spawn("gra-edge", Program(("haproxy", "-db", "-f", str(file))), "gra-edge.edge.haproxy.log")
        if text is edited:
            said = flights.until("edge-backends", "edge@gra-edge", "bad")
            moved = "web has sbg-web at 10.20.1.11:8000, not at 10.20.2.11:8000"
            assert said == f"web has a server old-web at 10.20.2.11:8000; {moved}"
    flights.until("edge-states", "edge@gra-edge", "good")


def test_a_clock_that_is_wrong_and_a_certificate_of_others(flights: Flights) -> None:
    lab = flights.lab
    chain = foreign_certificate(lab.folder, "db.littoral.example")
    ours = foreign_certificate(lab.folder, "ours.example")
    started = [
        lab.spawn("gra-web", Program((sys.executable, "-c", WRONG_CLOCK, "10.20.1.11", "8099")), "clock.log"),
        lab.spawn("gra-db", Program((sys.executable, "-c", TLS, "10.20.1.12", "8443", str(chain))), "tls.log"),
    ]
    probes = (
        '\nprobes:\n  inner: {kind: http, on: gra-web, url: "http://10.20.1.11:8099/"}\n'
        f"  papers: {{kind: tls, on: gra-db, address: 10.20.1.12, port: 8443, host: db.littoral.example, ca: {ours}}}\n"
    )
    flights.says(probes)
    try:
        said = flights.until("clock", "gra-web", "bad")
        assert said.startswith(("5.", "4.")) and "ahead" in said
        refused = flights.until("certificate", "papers", "bad")
        assert refused.startswith("its certificate is refused"), refused
        bad = {one["subject"] for one in flights.said["checks"] if one["state"] == "bad"}
        assert bad == {"gra-web", "papers"}
    finally:
        flights.says()
        for one in started:
            one.kill()


def test_a_site_that_is_cut_off_hangs_nobody(flights: Flights) -> None:
    lab = flights.lab
    primary = lab.primary("database")
    site = next(site for site in ("gravelines", "strasbourg") if primary not in lab.servers_of(site))
    lab.cut(site)
    try:
        found = flights.fly(code=1)
        assert flights.said["took_s"] < 10
        silent = {subject for (check, subject), said in found["bad"].items() if said == "no answer within 3000 ms"}
        assert {subject.partition("@")[2].partition(":")[0].partition("/")[0] or subject for subject in silent} == {
            *lab.servers_of(site)
        }
        assert ("clock", primary) in found["good"]
        assert {("clock", server) for server in lab.servers_of(site)} <= found["unknown"].keys()
    finally:
        lab.heal(site)
        lab.wait_until_whole()


def test_a_member_that_was_stopped(flights: Flights) -> None:
    """Last: it ends with a member that is not there."""
    lab = flights.lab
    for pid in running(lab, "sbg-db", "etcd"):
        os.kill(pid, signal.SIGKILL)
    found = flights.fly(code=1)
    assert ("member-answers", "coordination@sbg-db") in found["bad"]
    assert found["bad"]["member-answers", "coordination@sbg-db"] == "connection refused"
    assert ("etcd-members", "coordination") in found["good"], "the others still list it"


def running(lab: Lab, server: str, program: str) -> list[int]:
    """The processes of a program on a server of the lab."""
    found = []
    for pid in lab.pids(server):
        with suppress(OSError):  # it has ended
            first = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]
            found += [pid] if Path(first).name == program else []
    return found


def foreign_certificate(folder: Path, host: str) -> Path:
    """A certificate that nobody believes but who has it, with its key, in one file."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=90))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    plain = serialization.NoEncryption()
    file = folder / f"{host}.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    return file
