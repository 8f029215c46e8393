"""What a server signs so that others believe it later: by the key of its identity, judged by the moment it was made.

A certificate lives days, and what it has signed is read for longer. So it must have been valid when the thing was made,
which it says itself; and it must not have been revoked, whenever that was: whoever has stolen a key can say any time.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from binome.core.proofs import Proof, ProofError, told
from binome.runtime.identity import certificates, files
from binome.runtime.identity.files import IdentityError
from binome.runtime.identity.own import Identity
from binome.runtime.identity.revoked import NOTHING, Revoked
from binome.runtime.identity.revoked import read as read_revoked


def signer(identity: Identity, now_ms: int) -> Callable[[Proof], Proof]:
    """What signs proofs as this server. Raises IdentityError where nobody would believe it now."""
    identity.judge_again(identity.named, now_ms)
    where = identity.folder / "server.pem"
    pem = files.read_key(where)
    key = certificates.read_private(pem, str(where))
    certificate = certificates.pem_of(certificates.read_all(pem, str(where))[:1]).decode()

    def sign(proof: Proof) -> Proof:
        whole = msgspec.structs.replace(proof, server=identity.server, certificate=certificate)
        signature = key.sign(told(whole), ec.ECDSA(hashes.SHA256()))
        return msgspec.structs.replace(whole, signature=b64encode(signature).decode())

    return sign


class Judge:
    """Who believes proofs: with the CAs of an estate, and the newest list of what was revoked."""

    def __init__(self, estate: str, authorities: list[x509.Certificate], revoked: Revoked = NOTHING) -> None:
        self._estate = estate
        self._authorities = authorities
        self._revoked = revoked

    @classmethod
    def of(cls, folder: Path, estate: str) -> Judge:
        """By the files of an identity, whose own key is not needed. Raises IdentityError."""
        ca, lists = folder / "ca.pem", folder / "revoked.pem"
        authorities = certificates.read_all(files.read(ca), str(ca))
        revoked = read_revoked(files.read(lists), authorities, str(lists)) if lists.exists() else NOTHING
        return cls(estate, authorities, revoked)

    def judge(self, proof: Proof) -> None:
        """Raises ProofError, with why, unless the server that a proof names has signed it when it says."""
        try:
            certificate = certificates.read_all(proof.certificate.encode(), "its certificate")[0]
            named = certificates.named(certificate)
        except IdentityError as error:
            raise ProofError(f"nobody has signed it: {error}") from error
        if not certificates.is_signed_by(certificate, self._authorities):
            raise ProofError("it is signed by a key that no CA of ours knows")
        if named.server != proof.server or proof.estate != self._estate:
            raise ProofError(f"it says that it is of {proof.server}, and {named.server} has signed it")
        why = certificates.objection(named, estate=self._estate, now_ms=proof.ended_ms, revoked=self._revoked.serials)
        if why is not None:
            raise ProofError(why)
        public = certificate.public_key()
        try:
            if not isinstance(public, ec.EllipticCurvePublicKey):
                raise InvalidSignature
            public.verify(b64decode(proof.signature, validate=True), told(proof), ec.ECDSA(hashes.SHA256()))
        except (InvalidSignature, ValueError) as error:
            raise ProofError("it was altered: its signature does not fit") from error
