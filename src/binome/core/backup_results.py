"""What a job of a backup tells: a few values on their way from the command that did it to the fact in the journal.

    binome backup take --json, binome backup prove --json ► told: short, for the agent's reports ► fact_of: a fact

What does not make sense on either side is a job that failed: nobody can say that it went well. An agent needs only the
first half, and has no room for the estate.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from binome.core.backup_facts import DAMAGED, TAKE, CopyTaken, Ended, ProofMade, Work
from binome.core.proofs import Phase, Verdict

LONGEST = 1_900
"""Bytes of what is told: a report of an agent has room for it."""
MOST_FOUND = 300
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Ms = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]


class _Taken(msgspec.Struct, frozen=True):
    """Of `binome backup take --json`."""

    at_ms: _Ms
    size_bytes: _Ms
    stored: dict[str, _Id]
    failed: dict[str, str] = {}


class _Proof(msgspec.Struct, frozen=True):
    """Of `binome backup prove --json`."""

    vault: str
    copy: _Id
    at_ms: _Ms
    verdict: Verdict
    phases_ms: dict[str, _Ms] = {}
    found: tuple[str, ...] = ()


class _Proven(msgspec.Struct, frozen=True):
    """The same as it is told."""

    vault: str
    copy: _Id
    at_ms: _Ms
    verdict: Verdict
    restored_ms: _Ms
    found: str = ""


def told(verb: str, said: bytes) -> str:
    """What a command said on standard output, as its job is told of. Raises ValueError where that makes no sense."""
    short = _short_copy(said) if verb == TAKE else _short_proof(said)
    text = msgspec.json.encode(short).decode()
    if len(text) > LONGEST:
        raise ValueError(f"it said more than {LONGEST} bytes")
    return text


def _short_copy(said: bytes) -> _Taken:
    taken = msgspec.json.decode(said, type=_Taken)
    if not taken.stored:
        raise ValueError("no vault has the copy")
    failed = {vault: why[:MOST_FOUND] for vault, why in taken.failed.items()}
    return msgspec.structs.replace(taken, failed=failed)


def _short_proof(said: bytes) -> _Proven:
    proof = msgspec.json.decode(said, type=_Proof)
    restored_ms = sum(proof.phases_ms.get(phase, 0) for phase in (Phase.FETCH, Phase.RESTORE, Phase.START))
    found = proof.found[0][:MOST_FOUND] if proof.found else ""
    return _Proven(proof.vault, proof.copy, proof.at_ms, proof.verdict, restored_ms, found)


def fact_of(work: Work, text: str) -> Ended:
    """The fact of a job that has done its work. Raises ValueError where what was told of it makes no sense."""
    if work.verb == TAKE:
        taken = msgspec.json.decode(text, type=_Taken)
        return CopyTaken(
            job=work.plan,
            backup=work.backup,
            server=work.server,
            copy_at_ms=taken.at_ms,
            size_bytes=taken.size_bytes,
            stored=taken.stored,
            failed=taken.failed,
        )
    proof = msgspec.json.decode(text, type=_Proven)
    if (proof.vault, proof.copy) != (work.arguments["vault"], work.arguments["copy"]):
        raise ValueError("it is the proof of another copy")
    return ProofMade(
        job=work.plan,
        backup=work.backup,
        server=work.server,
        vault=proof.vault,
        copy=proof.copy,
        copy_at_ms=proof.at_ms,
        verdict=proof.verdict,
        restored_ms=proof.restored_ms,
        found=proof.found,
        damaged=work.what == DAMAGED,
    )


def arguments_of(order: dict[str, Any]) -> list[str]:
    """The words of the command line behind `binome backup take` or `prove`, by what an agent was ordered."""
    if "vault" not in order:
        return [order["backup"]]
    damage = ["--damage"] if order["what"] == DAMAGED else []
    return [order["backup"], order["copy"], "--vault", order["vault"], *damage]
