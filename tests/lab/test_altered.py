"""The lab's copy of an estate says what it was told to say, and else what people wrote."""

from __future__ import annotations

import pytest

from binome.estate import load
from binome.estate.model import PostgresqlService
from binome.lab.altered import altered
from tests.lab.conftest import LITTORAL


def database(text: bytes) -> PostgresqlService:
    service = load(text).services["database"]
    assert isinstance(service, PostgresqlService)
    return service


def test_keys_that_are_there_change_in_their_place() -> None:
    before = LITTORAL.read_bytes()
    after = altered(before, "database", {"act_after": "350ms", "cooldown": "1s"})
    assert (database(before).act_after_ms, database(before).cooldown_ms) == (2000, 600_000)
    assert (database(after).act_after_ms, database(after).cooldown_ms) == (350, 1000)
    changed = [(old, new) for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    assert changed == [(b"    act_after: 2s", b"    act_after: 350ms"), (b"    cooldown: 10m", b"    cooldown: 1s")]


@pytest.mark.parametrize("form", ["block", "flow"])
def test_keys_that_are_missing_are_added(form: str) -> None:
    text = LITTORAL.read_bytes().replace(b"    act_after: 2s\n", b"")
    if form == "flow":
        begin, end = text.index(b"    kind: postgresql"), text.index(b"  web:\n    kind: http")
        flow = b"{kind: postgresql, on: [gra-db, sbg-db], needs: [coordination], replication: synchronous}\n"
        text = text[:begin].rstrip() + b" " + flow + text[end:]
    after = altered(text, "database", {"act_after": "350ms"})
    assert (database(text).act_after_ms, database(after).act_after_ms) == (2000, 350)
    assert database(after).on == database(text).on


def test_another_section() -> None:
    text = LITTORAL.read_bytes()
    after = load(altered(text, "vault-par", {"path": "/srv/lab", "url": '"rest:http://10.20.3.10:8000/"'}, "vaults"))
    assert (after.vaults["vault-par"].path, after.vaults["vault-par"].url) == (
        "/srv/lab",
        "rest:http://10.20.3.10:8000/",
    )
    assert after.vaults["vault-ams"] == load(text).vaults["vault-ams"]
