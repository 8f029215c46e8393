"""What `binome backup show` says of the newest proof of a copy: what came out, and whether it can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from binome.cli.copies import at
from binome.core.copies import Label, Stored
from binome.core.proofs import MOST_PROOF_BYTES, PROOF, Proof, ProofError, read
from binome.estate import Estate
from binome.ports_of_copies import Vault, VaultError


class Believed(NamedTuple):
    """A proof, where it could be read, and why it is not believed; empty where it is."""

    proof: Proof | None
    why: str

    @property
    def line(self) -> str:
        """For a person."""
        if self.proof is None:
            return f"NOT BELIEVED: {self.why}"
        said = f"{self.proof.verdict.value} on {self.proof.server}, {at(self.proof.ended_ms)}"
        return f"{said}; NOT BELIEVED: {self.why}" if self.why else f"{said}; its signature is good"


async def newest(estate: Estate, vault: Vault, stored: Sequence[Stored], copy: Stored, tls: Path) -> Believed | None:
    """The newest proof of a copy, judged; None where it has none."""
    of_it = (one for one in stored if one.labels.get(Label.KIND) == "proof" and one.labels.get(Label.OF) == copy.id)
    one = next(of_it, None)
    if one is None:
        return None
    try:
        proof = read(await vault.read(one.id, PROOF, MOST_PROOF_BYTES))
    except (VaultError, ProofError) as error:
        return Believed(None, str(error))
    if proof.copy != copy.id:
        return Believed(proof, "it is of another copy")
    if proof.verdict.value != one.labels.get(Label.VERDICT):
        return Believed(proof, f"its label says {one.labels.get(Label.VERDICT)}")
    return Believed(proof, _objection(proof, estate.estate, tls))


def _objection(proof: Proof, estate: str, tls: Path) -> str:
    """Why a proof's signature is not believed here; empty where it is."""
    try:
        signing = import_module("binome.runtime.identity.signing")
        files = import_module("binome.runtime.identity.files")
    except ModuleNotFoundError:
        return "its signature cannot be verified here: pip install 'binome[agreement]'"
    try:
        signing.Judge.of(tls, estate).judge(proof)
    except files.IdentityError as error:
        return f"its signature cannot be verified here: {error}"
    except ProofError as error:
        return str(error)
    return ""
