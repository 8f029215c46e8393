"""`binome ca`: what it makes, whom it gives what, and how it ends where it cannot."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from binome.cli.main import app
from binome.runtime.identity import Authority, Identity, IdentityError, files, new_key, request
from binome.runtime.identity.certificates import named, read_all
from tests.runtime.authorities import DAY_MS, now_ms

FILE = """\
estate: littoral
sites: {gra: {}, sbg: {}}
servers:
  a: {site: gra, address: 10.0.0.1}
  b: {site: sbg, address: "2001:db8::2"}
lookout: {on: [a, b]}
"""


class Desk:
    """A folder with an estate file, where somebody gives commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = folder / "ca"
        self.estate = folder / "estate.yaml"
        self.estate.write_text(FILE)

    def run(self, *arguments: str) -> Result:
        words = ["ca", *arguments, "--ca", str(self.ca)]
        if arguments[0] in ("init", "issue"):
            words += ["--estate", str(self.estate)]
        return CliRunner().invoke(app, words)

    def good(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.good(*arguments, "--json"))

    def issue(self, server: str) -> Identity:
        into = self.folder / server
        self.good("issue", server, "--into", str(into))
        return Identity(into, "littoral", server)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_keys_are_their_owners_alone_and_nothing_else_lies_about(desk: Desk) -> None:
    desk.good("init")
    desk.issue("a")
    assert modes(desk.ca) == {"ca.pem": 0o644, "ca.key": 0o600, "register.json": 0o600, ".lock": 0o600}
    assert modes(desk.folder / "a") == {"ca.pem": 0o644, "server.pem": 0o600}
    for folder in (desk.ca, desk.folder / "a"):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o022 == 0


def test_a_certificate_is_what_openssl_takes_it_for(desk: Desk) -> None:
    desk.good("init")
    desk.issue("b")
    told = subprocess.run(
        ["openssl", "x509", "-in", str(desk.folder / "b" / "server.pem"), "-noout", "-text"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for words in ("URI:binome://littoral/b", "DNS:b", "IP Address:2001:DB8:0:0:0:0:0:2", "CA:FALSE", "prime256v1"):
        assert words in told
    checked = subprocess.run(
        ["openssl", "verify", "-CAfile", str(desk.ca / "ca.pem"), str(desk.folder / "b" / "server.pem")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_a_certificate_begins_an_hour_ago_and_lives_as_long_as_was_said(desk: Desk) -> None:
    desk.good("init", "--days", "2")
    found = desk.issue("a").named
    assert abs(found.begins_ms - (now_ms() - 3_600_000)) < 60_000
    assert abs(found.ends_ms - (now_ms() + 2 * DAY_MS)) < 60_000


def test_what_was_issued_and_revoked_is_listed(desk: Desk) -> None:
    desk.good("init")
    assert desk.good("list") == "Nothing was issued yet.\n"
    desk.issue("a")
    first = desk.issue("b")
    desk.issue("b")
    assert desk.json("revoke", f"{first.named.serial:x}", "--why", "a disk was sold")["number"] == 1
    states = [(one["server"], one["state"], one["why"]) for one in desk.json("list")]
    assert states == [("a", "valid", ""), ("b", "revoked", "a disk was sold"), ("b", "valid", "")]
    told = desk.good("revoke", "b")
    assert told.startswith("revoked: b, serial ") and "is list 2." in told
    assert [one["state"] for one in desk.json("list")] == ["valid", "revoked", "revoked"]
    assert "Nothing of it was still valid." in desk.good("revoke", "b")
    lines = desk.good("list").splitlines()
    assert len(lines) == 4 and max(map(len, lines)) <= 100 and lines[2].strip() == "a disk was sold"


def test_a_list_is_what_openssl_takes_it_for(desk: Desk) -> None:
    desk.good("init")
    own = desk.issue("a")
    desk.good("revoke", "a")
    told = subprocess.run(
        ["openssl", "crl", "-in", str(desk.ca / "revoked.pem"), "-noout", "-text", "-CAfile", str(desk.ca / "ca.pem")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{own.named.serial:X}" in told.stdout and "verify OK" in told.stderr


def test_a_key_with_a_passphrase_is_useless_without_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    word = desk.folder / "word"
    word.write_text("correct horse\n")
    desk.good("init", "--passphrase", f"file:{word}")
    assert b"ENCRYPTED" in (desk.ca / "ca.key").read_bytes()
    assert b"horse" not in (desk.ca / "register.json").read_bytes()
    desk.issue("a")
    word.write_text("battery staple\n")
    result = desk.run("issue", "a", "--into", str(desk.folder / "x"))
    assert (result.exit_code, "wrong passphrase" in result.stderr) == (3, True)
    monkeypatch.setenv("WORD", "correct horse")
    desk.good("issue", "a", "--into", str(desk.folder / "x"), "--passphrase", "env:WORD")
    word.unlink()
    assert "No such file" in desk.run("revoke", "a").stderr
    assert desk.json("list")[0]["state"] == "valid", "reading needs no passphrase"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("init",), 3, "has a CA already"),
        (("init", "--days", "0"), 2, "--days"),
        (("issue", "c"), 2, "has no server c; nothing was done."),
        (("issue", "a", "--passphrase", "env:NOT_SET_ANYWHERE"), 3, "the variable NOT_SET_ANYWHERE is not set"),
        (("issue", "a", "--passphrase", "hunter2"), 3, "expected env:NAME or file:PATH"),
        (("revoke", "c"), 2, "nothing was issued to c; nothing was done."),
    ],
)
def test_what_cannot_be_ends_with_one_line_and_the_code_that_says_why(
    desk: Desk, arguments: tuple[str, ...], code: int, words: str
) -> None:
    desk.good("init")
    before = (desk.ca / "register.json").read_bytes()
    result = desk.run(*arguments)
    assert (result.exit_code, words in result.stderr) == (code, True), result.output
    assert result.stdout == ""
    assert (desk.ca / "register.json").read_bytes() == before


@pytest.mark.parametrize("command", ["issue", "list", "revoke"])
def test_without_a_ca_there_is_one_line(desk: Desk, command: str) -> None:
    result = desk.run(command, *(() if command == "list" else ("a",)))
    assert (result.exit_code, result.stderr.count("\n")) == (3, 1), result.output


@pytest.mark.parametrize("content", [b"", b"{", b'{"estate": 3, "days": 7}', b"\xff", b"[" * 100_000])
def test_a_register_that_is_none_is_said(desk: Desk, content: bytes) -> None:
    desk.good("init")
    (desk.ca / "register.json").write_bytes(content)
    result = desk.run("list")
    assert (result.exit_code, "this is no register of a CA" in result.stderr) == (3, True), result.output


def test_another_estates_file_is_refused(desk: Desk) -> None:
    desk.good("init")
    desk.estate.write_text(FILE.replace("littoral", "autre"))
    result = desk.run("issue", "a")
    assert (result.exit_code, "is the CA of littoral" in result.stderr) == (2, True)


def test_a_key_that_others_may_read_is_not_used(desk: Desk) -> None:
    desk.good("init")
    own = desk.issue("a")
    (own.folder / "server.pem").chmod(0o640)
    with pytest.raises(IdentityError, match="others may read this key"):
        Identity(own.folder, "littoral", "a")
    (desk.ca / "ca.key").chmod(0o604)
    assert "others may read this key" in desk.run("issue", "a", "--into", str(desk.folder / "x")).stderr


def test_a_clock_that_went_back_is_said_before_anything_is_issued(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.good("init")
    authority = Authority(desk.ca)
    authority.issue("a", None, new_key().public_key(), now_ms() + 2 * 3_600_000)
    result = desk.run("issue", "a")
    assert (result.exit_code, "look at the clock" in result.stderr) == (3, True)
    monkeypatch.setattr("binome.cli.ca._now_ms", lambda: now_ms() - 3 * DAY_MS)
    assert "this CA is valid from" in desk.run("revoke", "a").stderr


# -- renewal, as the CA sees it


def renewed(desk: Desk, holder: Identity, servers: tuple[str, ...] = ("a", "b"), wanted: bytes | None = None) -> bytes:
    wanted = request(new_key(), "littoral", holder.server) if wanted is None else wanted
    return Authority(desk.ca).renew(holder.named, wanted, dict.fromkeys(servers), now_ms())


def test_one_gets_a_certificate_for_ones_own_name_whatever_one_asks_for(desk: Desk) -> None:
    desk.good("init")
    pem = renewed(desk, desk.issue("b"), wanted=request(new_key(), "littoral", "a"))
    assert named(read_all(pem, "it")[0]).server == "b"
    assert [one["how"] for one in desk.json("list")] == ["issued", "renewed"]


def test_who_was_revoked_or_does_not_belong_gets_nothing(desk: Desk) -> None:
    desk.good("init")
    a, b = desk.issue("a"), desk.issue("b")
    desk.good("revoke", "b")
    with pytest.raises(IdentityError, match="revoked"):
        renewed(desk, b)
    with pytest.raises(IdentityError, match="no such server any more"):
        renewed(desk, a, servers=("b",))
    a.named = a.named._replace(estate="autre")
    with pytest.raises(IdentityError, match="another estate"):
        renewed(desk, a)
    assert len(desk.json("list")) == 2


def tampered() -> bytes:
    """A request whose key its sender does not hold."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    one, other = (x509.load_pem_x509_csr(request(new_key(), "littoral", "a")) for _ in range(2))
    der, strange = (csr.public_bytes(serialization.Encoding.DER) for csr in (one, other))
    theirs = other.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    ours = one.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert ours in der and theirs in strange
    return x509.load_der_x509_csr(der.replace(ours, theirs)).public_bytes(serialization.Encoding.PEM)


def rsa() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(generate_private_key(65537, 2048), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"junk", "no signing request"),
        (tampered, "not signed by the key that it is for"),
        (rsa, "not on the curve P-256"),
    ],
)
def test_a_request_that_proves_nothing_gets_nothing(desk: Desk, make: Any, words: str) -> None:
    desk.good("init")
    with pytest.raises(IdentityError, match=words):
        renewed(desk, desk.issue("a"), wanted=make())
    assert len(desk.json("list")) == 1


def test_nobody_can_fill_the_register(desk: Desk) -> None:
    desk.good("init")
    own = desk.issue("a")
    with pytest.raises(IdentityError, match="within an hour"):
        for _ in range(30):
            renewed(desk, own)
    assert len(desk.json("list")) == 20


# -- when something broke off


def test_a_crash_between_register_and_list_leaves_nobody_unrevoked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.good("init")
    a, b = desk.issue("a"), desk.issue("b")
    desk.good("revoke", "a")

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Authority, "_sign_list", crash)
        with pytest.raises(KeyboardInterrupt):
            Authority(desk.ca).revoke("b", "", now_ms())
    found = Authority(desk.ca).revoked(now_ms())
    assert (found.number, set(found.serials)) == (2, {a.named.serial, b.named.serial})


def test_a_ca_from_an_old_copy_learns_what_it_does_not_know(desk: Desk) -> None:
    desk.good("init")
    a, b = desk.issue("a"), desk.issue("b")
    copy = (desk.ca / "register.json").read_bytes()
    desk.good("revoke", "a")
    known = Authority(desk.ca).revoked(now_ms())
    (desk.ca / "register.json").write_bytes(copy)
    (desk.ca / "revoked.pem").unlink()
    authority = Authority(desk.ca)
    authority.adopt(known, now_ms())
    with pytest.raises(IdentityError, match="revoked"):
        renewed(desk, a)
    desk.good("revoke", "b")
    found = authority.revoked(now_ms())
    assert (found.number, set(found.serials)) == (2, {a.named.serial, b.named.serial})


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server.pem"
    files.write(path, b"old", secret=True)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(IdentityError, match="No space left"):
        files.write(path, b"new", secret=True)
    assert path.read_bytes() == b"old"
    assert modes(tmp_path) == {"server.pem": 0o600}
