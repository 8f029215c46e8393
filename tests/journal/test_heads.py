"""Heads are signed, believed only where the signature is good, and kept where the journal is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from binome.core.entry import Head
from binome.estate import load as load_estate
from binome.journal import heads
from binome.journal.heads import HeadError, SignedHead
from binome.journal.keepers import domains_of, keepers
from tests.journal.store_suite import chain

EXAMPLES = Path(__file__).parents[2] / "examples"
KEY = Ed25519PrivateKey.generate()
LITTORAL = load_estate((EXAMPLES / "littoral" / "estate.yaml").read_bytes())


def signed(key_file: Path, sequence: int = 3, name: str = "a") -> SignedHead:
    head = chain(sequence, name=name)[-1].head
    return heads.sign(heads.key_at(key_file), head, estate="littoral", signer="gra-db", at_ms=1000)


def test_a_key_is_made_once_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "head.key"
    first = heads.public(heads.key_at(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert heads.public(heads.key_at(path)) == first
    assert [one.name for one in tmp_path.iterdir()] == ["head.key"]
    path.chmod(0o640)
    with pytest.raises(HeadError, match="chmod 600"):
        heads.key_at(path)


def test_of_two_who_make_a_key_at_once_one_makes_it(tmp_path: Path) -> None:
    heads._make_key(tmp_path / "head.key")
    first = (tmp_path / "head.key").read_bytes()
    heads._make_key(tmp_path / "head.key")
    assert (tmp_path / "head.key").read_bytes() == first


def test_what_is_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.key"
    path.write_text("no key")
    path.chmod(0o600)
    with pytest.raises(HeadError, match="no private key"):
        heads.key_at(path)
    with pytest.raises(HeadError, match="No such file"):
        heads.key_at(tmp_path / "no-such-folder" / "head.key")


def test_a_head_that_was_signed_is_believed(tmp_path: Path) -> None:
    head = signed(tmp_path / "key")
    assert heads.objection(head) is None
    assert heads.objection(head, [head.key]) is None
    assert head.head == Head(3, chain(3)[-1].hash, 1)
    assert signed(tmp_path / "key") == head


@given(st.sampled_from([field.name for field in msgspec.structs.fields(SignedHead)]))
def test_a_head_that_was_changed_is_not(field: str) -> None:
    head = heads.sign(KEY, Head(3, "ab" * 32, 1), estate="littoral", signer="gra-db", at_ms=1000)
    value = getattr(head, field)
    changed = replace(head, **{field: value + 1 if isinstance(value, int) else value[:-1] + "0f"[value[-1] == "0"]})
    assert heads.objection(changed) is not None


def test_another_key_is_not_trusted(tmp_path: Path) -> None:
    ours, theirs = signed(tmp_path / "ours"), signed(tmp_path / "theirs")
    assert heads.objection(theirs, [ours.key]) == f"signed with another key, {theirs.key}"


def test_heads_lie_in_files_and_the_newest_stays(tmp_path: Path) -> None:
    old, new = signed(tmp_path / "key", 3), signed(tmp_path / "key", 5)
    folder = tmp_path / "heads"
    folder.mkdir()
    heads.write(folder, old)
    path = heads.write(folder, new)
    heads.write(folder, new)
    assert heads.load_all([folder]) == {path: new}
    for contradiction in (old, signed(tmp_path / "key", 5, name="b")):
        with pytest.raises(HeadError, match="entry 5 was signed already"):
            heads.write(folder, contradiction)
    assert heads.load(path) == new


def test_what_is_no_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="no such folder"):
        heads.load_all([tmp_path / "none"])
    for content in (b"", b"{}", b'{"estate": "littoral"}', b"\xff", b"[]"):
        (tmp_path / "x.head").write_bytes(content)
        with pytest.raises(HeadError, match=r"x\.head: this is no signed head"):
            heads.load_all([tmp_path])


# -- who keeps copies


def test_copies_lie_with_other_hosters_first_and_in_other_sites() -> None:
    for server in LITTORAL.servers:
        copies = keepers(LITTORAL, server)
        sites = [LITTORAL.servers[name].site for name in (server, *copies)]
        assert len(set(sites)) == 3, f"{server}: {copies}"
    assert keepers(LITTORAL, "gra-db") == ("par-watch", "sbg-edge")
    assert keepers(LITTORAL, "par-watch") == ("gra-edge", "sbg-edge")


def test_two_names_of_one_building_are_one() -> None:
    estate = load_estate(b"""
hosters: {one: {}}
sites: {a: {hoster: one, in: [house]}, b: {hoster: one, in: [house]}, c: {hoster: one}}
domains: {house: {kind: building}}
servers: {a-1: {site: a}, b-1: {site: b}, c-1: {site: c}, c-2: {site: c}}
""")
    assert domains_of(estate, "a-1") == {"a", "house", "one"}
    assert keepers(estate, "a-1", 1) == ("c-1",)
    assert keepers(estate, "a-1") == ("c-1", "b-1")
    assert keepers(estate, "c-2", 1) == ("a-1",)


def test_of_equal_servers_those_that_watch_keep_copies() -> None:
    estate = load_estate(b"""
sites: {a: {}, b: {}}
domains: {rack: {kind: rack, in: b}}
servers: {a-1: {site: a, in: [rack]}, b-1: {site: b, in: [rack]}, b-2: {site: b}, b-3: {site: b}}
lookout: {on: [a-1, b-1, b-3]}
""")
    assert domains_of(estate, "a-1") == {"a", "b", "rack"}
    assert keepers(estate, "a-1", 1) == ("b-3",)


def test_a_small_estate_has_fewer_copies() -> None:
    assert keepers(load_estate(b"{sites: {a: {}}, servers: {x: {site: a}}}"), "x") == ()
    assert keepers(load_estate(b"{sites: {a: {}}, servers: {x: {site: a}, y: {site: a}}}"), "x") == ("y",)
