"""Manifests, what differs from them, the sources of a backup, where keys are kept."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.analysis.outcome import Platform
from binome.analysis.times import Measured
from binome.core.copies import Fault, Faulty, File, Manifest, ManifestError, Stored, compared, opened, sealed
from binome.core.sources import SourceError, sources
from binome.core.vault_keys import Doubt, kept
from binome.estate import load

MANIFEST = Manifest(
    estate="littoral",
    backup="nightly",
    method="dump",
    server="gra-db",
    data=("contacts",),
    began_ms=1,
    at_ms=2,
    ended_ms=3,
    size_bytes=4,
    versions={"pg_dump": "15.1"},
    fingerprints={"contacts": {"tables": {"public.t": [1, "00", "ff"]}}},
    files={"contacts/a": File(4, "00")},
)


def test_a_manifest_comes_back_as_it_was() -> None:
    assert opened(sealed(MANIFEST)) == msgspec.structs.replace(MANIFEST, seal=opened(sealed(MANIFEST)).seal)
    assert sealed(opened(sealed(MANIFEST))) == sealed(MANIFEST)


@given(st.data())
def test_a_manifest_that_was_cut_or_altered_is_not_believed(data: st.DataObject) -> None:
    raw = sealed(MANIFEST)
    place = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(ManifestError):
        opened(raw[:place])
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[place]))
    changed = raw[:place] + bytes([other]) + raw[place + 1 :]
    with suppress(ManifestError):
        assert opened(changed) == opened(raw), "what was read from altered bytes says the same"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"at_ms": 9}, "its seal does not fit"),
        ({"size_bytes": 9}, "its seal does not fit"),
        ({"fingerprints": {}}, "its seal does not fit"),
        ({"form": 2}, "is of form 2, and this version knows 1"),
    ],
)
def test_every_word_of_it_is_sealed(change: dict[str, object], words: str) -> None:
    altered = msgspec.json.encode(msgspec.structs.replace(opened(sealed(MANIFEST)), **change))
    with pytest.raises(ManifestError, match=words):
        opened(altered)


def test_what_differs_has_a_name() -> None:
    expected = {name: File(10, name) for name in ("same", "gone", "cut", "grown", "altered", "link")}
    found = {
        "same": File(10, "same"),
        "cut": File(9, ""),
        "grown": File(11, ""),
        "altered": File(10, "x"),
        "link": None,
        "more": File(0, ""),
    }
    assert compared(expected, found) == (
        Faulty("altered", Fault.ALTERED),
        Faulty("cut", Fault.TRUNCATED),
        Faulty("gone", Fault.MISSING),
        Faulty("grown", Fault.GROWN),
        Faulty("link", Fault.NO_FILE),
        Faulty("more", Fault.EXTRA),
    )


def test_the_size_that_labels_say() -> None:
    assert Stored("a", 0, {"bytes": "12"}).size_bytes == 12
    assert Stored("a", 0, {}).size_bytes is None and Stored("a", 0, {"bytes": "-1"}).size_bytes is None


ESTATE = """
sites: {gra: {}, sbg: {}, ams: {}}
servers:
  gra-db: {site: gra, address: 10.0.1.1}
  sbg-db: {site: sbg, address: 10.0.2.1}
  ams-1: {site: ams, address: 10.0.3.1}
  bare: {site: ams}
services:
  database: {kind: postgresql, on: [gra-db, sbg-db]}
  other: {kind: postgresql, on: [bare]}
  web: {kind: http, on: [gra-db, sbg-db]}
data:
  contacts: {in: database}
  orders: {in: database, database: shop, user: reader, password: "env:P", socket: /run/pg}
  lone: {in: other}
  uploads: {in: web, paths: [/srv/uploads]}
  pages: {in: web}
vaults:
  away: {kind: restic, on: ams-1, path: /srv/vault, key: "env:K", key_on: KEY_ON}
  second: {kind: directory, on: ams-1, path: /srv/second}
backups:
  dumps: {of: [contacts, orders], method: dump, every: 1d, to: away}
  base: {of: [contacts, orders], method: basebackup, every: 1d, to: away}
  files: {of: uploads, method: files, every: 1d, to: away}
  code: {of: pages, method: git, every: 1d, to: away}
  wrong: {of: uploads, method: dump, every: 1d, to: away}
  far: {of: lone, method: dump, every: 1d, to: second}
"""


def estate(key_on: str = "[ams-1]") -> str:
    return ESTATE.replace("KEY_ON", key_on)


def test_the_sources_of_a_backup() -> None:
    one = load(estate().encode())
    contacts, orders = sources(one, "dumps", "sbg-db")
    assert (contacts.host, contacts.database, contacts.user) == ("10.0.2.1", "contacts", ""), "this server is a member"
    assert orders[2:] == ("/run/pg", 5432, "shop", "reader", "env:P", ())
    elsewhere = sources(one, "dumps", "ams-1")
    assert [source.host for source in elsewhere] == ["10.0.1.1", "10.0.1.1"], "a socket is of the member alone"
    (base,) = sources(one, "base", "gra-db")
    assert (base.name, base.data) == ("contacts", ("contacts", "orders")), "one server is copied once"
    assert sources(one, "files", "gra-db")[0].paths == ("/srv/uploads",)


@pytest.mark.parametrize(
    ("backup", "server", "words"),
    [
        ("files", "ams-1", "data.uploads lies on gra-db, sbg-db, and ams-1 cannot read it"),
        ("code", "gra-db", "nothing says where data.pages lies.  Add paths: to data.pages"),
        ("wrong", "gra-db", "lives in web, of kind http, and dump and basebackup copy postgresql"),
        ("far", "ams-1", "bare has no address.  Add address: to servers.bare"),
    ],
)
def test_what_cannot_be_copied_is_said(backup: str, server: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        sources(load(estate().encode()), backup, server)


@pytest.mark.parametrize(
    ("key_on", "doubts"),
    [
        ("[]", [Doubt.NOWHERE]),
        ("[ams-1]", [Doubt.ONLY_BESIDE_COPIES]),
        ("[bare]", [Doubt.ONLY_BESIDE_COPIES]),  # of one site with the vault
        ("[gra-db, sbg-db]", [Doubt.ONLY_BESIDE_SOURCE]),
        ("[ams-1, gra-db]", []),
    ],
)
def test_where_a_key_is_kept(key_on: str, doubts: list[Doubt]) -> None:
    found = kept(Platform(load(estate(key_on).encode()), Measured()), "away")
    assert list(found.doubts) == doubts


def test_what_a_key_stands_beside_is_named() -> None:
    found = kept(Platform(load(estate("[bare, gra-db]").encode()), Measured()), "away").holders
    assert found == (("bare", "site ams", ""), ("gra-db", "", "server gra-db"))
