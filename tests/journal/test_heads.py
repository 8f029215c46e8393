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
from binome.journal import heads
from binome.journal.heads import HeadError, SignedHead
from tests.journal.store_suite import chain

KEY = Ed25519PrivateKey.generate()


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
