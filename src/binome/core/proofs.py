"""Proofs: that a copy was restored in another fault domain, and what came out is what was saved.

A proof says of which copy, where, by what and when it was made, how long every phase took, what was compared, and what
was wrong, if anything. It is signed by the server that made it, with the key of its identity, so that whoever can write
into a vault cannot make a copy good. It lies in the vault beside the copy, as a small folder with `proof.json`, and
its facts are in the journal. A proof of a copy that is not good is kept as well: it is what people are paged for.

A proof expires: a copy that could be restored last month may be damaged today, and the engine that read it replaced.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from binome.core.copies import Label

FORM = 1
PROOF = "proof.json"
MOST_PROOF_BYTES = 1 << 20


class ProofError(Exception):
    """A proof that cannot be believed; the message says why."""


class Verdict(StrEnum):
    """What came out of trying to restore a copy. All but the first are failures, by what was wrong."""

    PROVEN = "proven"
    UNREADABLE = "unreadable"  # the vault did not give it: missing or altered chunks, a wrong or missing key
    ALTERED = "altered"  # the files are not those of the manifest, or the manifest is not whole
    UNSAFE = "unsafe"  # it holds what no copy holds: links, devices, paths that lead out, more than it said
    UNRESTORABLE = "unrestorable"  # the engine refused it
    CORRUPT = "corrupt"  # it runs, and what it holds is broken: heap, index
    DIFFERENT = "different"  # it runs, and is not what was saved: rows, schema, references
    EMPTY = "empty"  # it is as it was saved, and far less than what was saved before
    ASTRAY = "astray"  # its time cannot be: of the future, or before one that was taken earlier


class Phase(StrEnum):
    """The phases of a proof, and of a restore, in their order."""

    FETCH = "fetch"
    VERIFY = "verify"
    RESTORE = "restore"
    START = "start"
    CHECK = "check"
    COMPARE = "compare"


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a proof says. Times in milliseconds since 1970; `phases_ms` by `Phase`, those that were reached.

    `copy` is the copy's id in `vault`, `at_ms` the moment that it is a copy of, `taken_by` the server that took it.
    `server` made the proof. `found` are lines for people, none where it is proven; `compared` are counts by what was
    compared (tables, rows, files, references). `signature` is over all the rest, `certificate` the signer's, in PEM.
    """

    form: int = FORM
    estate: str
    backup: str
    data: tuple[str, ...]
    method: str
    vault: str
    copy: str
    taken_by: str
    at_ms: int
    size_bytes: int
    server: str
    began_ms: int
    ended_ms: int
    verdict: Verdict
    found: tuple[str, ...] = ()
    phases_ms: dict[str, int] = {}
    compared: dict[str, int] = {}
    versions: dict[str, str] = {}
    certificate: str = ""
    signature: str = ""


def told(proof: Proof) -> bytes:
    """The bytes that are signed: all but the signature."""
    return msgspec.json.encode(msgspec.structs.replace(proof, signature=""), order="deterministic")


def written(proof: Proof) -> bytes:
    """A proof as it lies in a vault."""
    return msgspec.json.encode(proof, order="deterministic")


def read(raw: bytes) -> Proof:
    """The proof of these bytes, whose signature is still to be judged. Raises ProofError."""
    try:
        proof = msgspec.json.decode(raw, type=Proof)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ProofError(f"{PROOF} cannot be read: {error}") from error
    if proof.form != FORM:
        raise ProofError(f"{PROOF} is of form {proof.form}, and this version knows {FORM}")
    return proof


def restored_ms(proof: Proof) -> int:
    """How long a restore takes by what was measured: from the vault to an engine that answers."""
    return sum(proof.phases_ms.get(phase, 0) for phase in (Phase.FETCH, Phase.RESTORE, Phase.START))


def labels(proof: Proof) -> dict[str, str]:
    """Its labels in a vault, short words by name."""
    return {
        Label.KIND.value: "proof",
        Label.ESTATE.value: proof.estate,
        Label.BACKUP.value: proof.backup,
        Label.METHOD.value: proof.method,
        Label.SERVER.value: proof.server,
        Label.OF.value: proof.copy,
        Label.VERDICT.value: proof.verdict.value,
    }
