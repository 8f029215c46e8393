"""The list of what was revoked: an X.509 CRL with a number, signed by the CA.

The list with the highest number counts, and no older one ever takes its place. It does not expire: a list that ended
while the CA is away would shut every server out at the very time that they need each other. What it costs is said in
docs/identity.md. Whoever holds a newer list hands it on; its signature is all that makes it true.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from binome.runtime.identity.certificates import Key
from binome.runtime.identity.files import IdentityError

_FOR_EVER = timedelta(days=36_500)


class Revoked:
    """A list that one of our CAs has signed: its number, and when (milliseconds since 1970) each serial was revoked."""

    def __init__(self, pem: bytes, number: int, serials: Mapping[int, int]) -> None:
        self.pem = pem
        self.number = number
        self.serials = serials


NOTHING = Revoked(b"", 0, {})
"""Before anything was revoked."""


def signed(ca: x509.Certificate, key: Key, number: int, serials: Mapping[int, int], now_ms: int) -> Revoked:
    """A new list."""
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(ca.subject).last_update(now)
    builder = builder.next_update(now + _FOR_EVER).add_extension(x509.CRLNumber(number), critical=False)
    for serial, at_ms in sorted(serials.items()):
        at = datetime.fromtimestamp(at_ms // 1000, UTC)
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
        builder = builder.add_revoked_certificate(one.build())
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return Revoked(pem, number, dict(serials))


def read(pem: bytes, authorities: Iterable[x509.Certificate], where: str) -> Revoked:
    """The list in PEM. Raises IdentityError where it is none, or no CA of ours has signed it."""
    try:
        found = x509.load_pem_x509_crl(pem)
        number = found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        serials = {one.serial_number: round(one.revocation_date_utc.timestamp() * 1000) for one in found}
        good = any(
            found.issuer == ca.subject and found.is_signature_valid(public)
            for ca in authorities
            if isinstance(public := ca.public_key(), ec.EllipticCurvePublicKey)
        )
    except Exception as error:  # whatever a parser of foreign bytes may raise
        raise IdentityError(f"{where}: no list of revoked certificates in PEM") from error
    if not good:
        raise IdentityError(f"{where}: a list of revoked certificates that none of our CAs has signed")
    return Revoked(pem, number, serials)
