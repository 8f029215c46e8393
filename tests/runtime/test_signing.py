"""Proofs are signed by a server's identity, and believed by the CAs of its estate alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from binome.core.proofs import Proof, ProofError, Verdict, read, written
from binome.runtime.identity import IdentityError
from binome.runtime.identity.signing import Judge, signer
from tests.runtime.authorities import DAY_MS, ca, identity, now_ms, put


def proof(**more: object) -> Proof:
    given: dict[str, object] = {
        "estate": "littoral",
        "backup": "nightly",
        "data": ("contacts",),
        "method": "dump",
        "vault": "away",
        "copy": "abc",
        "taken_by": "gra-db",
        "at_ms": 1,
        "size_bytes": 2,
        "server": "",
        "began_ms": now_ms(),
        "ended_ms": now_ms(),
        "verdict": Verdict.ALTERED,
        "found": ("contacts/x: it is missing",),
    }
    return msgspec.convert({**given, **more}, Proof)


def test_a_proof_is_believed_where_the_ca_is_known(tmp_path: Path) -> None:
    one = identity(ca(tmp_path / "ca"), tmp_path / "par", "par-spare")
    signed = read(written(signer(one, now_ms())(proof())))
    assert signed.server == "par-spare" and signed.verdict is Verdict.ALTERED
    Judge.of(tmp_path / "par", "littoral").judge(signed)


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": Verdict.PROVEN},
        {"copy": "abd"},
        {"ended_ms": now_ms() + 5},
        {"phases_ms": {"fetch": 1}},
        {"found": ()},
    ],
)
def test_every_word_of_it_is_signed(tmp_path: Path, change: dict[str, object]) -> None:
    one = identity(ca(tmp_path / "ca"), tmp_path / "par", "par-spare")
    signed = signer(one, now_ms())(proof())
    with pytest.raises(ProofError, match="its signature does not fit"):
        Judge.of(tmp_path / "par", "littoral").judge(msgspec.structs.replace(signed, **change))


def test_who_has_signed_is_who_it_says(tmp_path: Path) -> None:
    authority = ca(tmp_path / "ca")
    signed = signer(identity(authority, tmp_path / "par", "par-spare"), now_ms())(proof())
    judge = Judge.of(tmp_path / "par", "littoral")
    for change, words in (
        ({"server": "ams-1"}, "it says that it is of ams-1, and par-spare has signed it"),
        ({"estate": "other"}, "it says that it is of par-spare"),
        ({"signature": ""}, "its signature does not fit"),
        ({"signature": "?"}, "its signature does not fit"),
        ({"certificate": ""}, "nobody has signed it"),
        ({"certificate": authority.pem.decode()}, "nobody has signed it"),
    ):
        with pytest.raises(ProofError, match=words):
            judge.judge(msgspec.structs.replace(signed, **change))


def test_another_ca_and_another_estate_are_not_believed(tmp_path: Path) -> None:
    signed = signer(identity(ca(tmp_path / "ca"), tmp_path / "par", "par-spare"), now_ms())(proof())
    put(ca(tmp_path / "other"), tmp_path / "ams", "ams-1")
    with pytest.raises(ProofError, match="no CA of ours knows"):
        Judge.of(tmp_path / "ams", "littoral").judge(signed)
    with pytest.raises(IdentityError, match="no-such"):
        Judge.of(tmp_path / "no-such", "littoral")


def test_a_certificate_counts_when_it_signed_unless_it_was_revoked(tmp_path: Path) -> None:
    authority = ca(tmp_path / "ca", days=7)
    one = identity(authority, tmp_path / "par", "par-spare")
    judge = Judge.of(tmp_path / "par", "littoral")
    judge.judge(signer(one, now_ms())(proof(ended_ms=now_ms() + 6 * DAY_MS)))
    for days, words in ((8, "from the past"), (-1, "from the future")):
        with pytest.raises(ProofError, match=words):
            judge.judge(signer(one, now_ms())(proof(ended_ms=now_ms() + days * DAY_MS)))
    signed = signer(one, now_ms())(proof())
    judge.judge(signed)
    authority.revoke("par-spare", "stolen", now_ms())
    (tmp_path / "par" / "revoked.pem").write_bytes(authority.revoked(now_ms()).pem)
    with pytest.raises(ProofError, match="was revoked"):
        Judge.of(tmp_path / "par", "littoral").judge(signed)


def test_nobody_signs_with_a_certificate_that_nobody_would_believe(tmp_path: Path) -> None:
    one = identity(ca(tmp_path / "ca"), tmp_path / "par", "par-spare")
    with pytest.raises(IdentityError, match="from the past"):
        signer(one, now_ms() + 8 * DAY_MS)
