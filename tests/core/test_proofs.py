"""Proofs are read as they were written, and what is no proof is refused."""

from __future__ import annotations

import json

import msgspec
import pytest

from binome.core import proofs
from binome.core.proofs import Phase, Proof, ProofError, Verdict

PROOF = Proof(
    estate="littoral",
    backup="nightly",
    data=("contacts",),
    method="dump",
    vault="vault-ams",
    copy="8291b847df1f",
    taken_by="sbg-db",
    at_ms=1_790_000_000_000,
    size_bytes=1000,
    server="par-spare",
    began_ms=1_790_000_100_000,
    ended_ms=1_790_000_160_000,
    verdict=Verdict.PROVEN,
    phases_ms={Phase.FETCH: 10_000, Phase.VERIFY: 5000, Phase.RESTORE: 20_000, Phase.START: 1000, Phase.CHECK: 8000},
    signature="00",
)


def test_a_proof_is_read_as_it_was_written() -> None:
    assert proofs.read(proofs.written(PROOF)) == PROOF


def test_all_but_the_signature_is_signed() -> None:
    assert proofs.told(PROOF) == proofs.told(msgspec.structs.replace(PROOF, signature="11"))
    assert proofs.told(PROOF) != proofs.told(msgspec.structs.replace(PROOF, certificate="another"))
    assert proofs.told(PROOF) != proofs.told(msgspec.structs.replace(PROOF, verdict=Verdict.CORRUPT))


@pytest.mark.parametrize("change", [{"form": 2}, {"verdict": "fine"}, {"more": 1}, {"at_ms": "now"}])
def test_what_is_no_proof_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ProofError, match=r"proof\.json"):
        proofs.read(json.dumps(json.loads(proofs.written(PROOF)) | change).encode())
    with pytest.raises(ProofError, match="cannot be read"):
        proofs.read(b"\xff{")


def test_looking_at_what_was_restored_is_no_part_of_a_restore() -> None:
    assert proofs.restored_ms(PROOF) == 31_000


def test_labels_name_the_copy_and_the_verdict() -> None:
    words = proofs.labels(PROOF)
    assert (words["kind"], words["of"], words["verdict"]) == ("proof", PROOF.copy, "proven")
