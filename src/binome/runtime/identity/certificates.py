"""Certificates: what is in them, how they are made, and why one is not believed.

A server is who its certificate says, `binome://ESTATE/SERVER` in the alternative names, and nothing that it says of
itself counts. Keys are on the curve P-256, which every TLS in use takes. A certificate begins an hour before it was
made, so that a clock that is some minutes behind finds it valid, and it is renewed at half of its life, so that one
that is some minutes ahead does no harm either.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from binome.runtime.identity.files import IdentityError
from binome.shown import shown

Key = ec.EllipticCurvePrivateKey

BACKDATED = timedelta(hours=1)
"""How long before it is made a certificate begins."""
CA_LIFE = timedelta(days=3650)
DEFAULT_DAYS = 7
MAX_DAYS = 365

_CLOCKS = "look at the clocks"
_SCHEME = "binome"
_NOBODY = x509.Name([])
"""The subject of a server's certificate: where etcd has users, its gateway refuses clients with a common name."""
_PEM = serialization.Encoding.PEM


class Named(NamedTuple):
    """Whom a certificate is about, and from when to when (milliseconds since 1970) it is valid."""

    estate: str
    server: str
    serial: int
    begins_ms: int
    ends_ms: int

    @property
    def half_ms(self) -> int:
        """When half of its life is over: from then on it is renewed."""
        return (self.begins_ms + self.ends_ms) // 2


def moment(ms: int) -> str:
    """A time as people read it, in UTC."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def uri(estate: str, server: str) -> str:
    """The name of a server in its certificate."""
    return f"{_SCHEME}://{estate}/{server}"


# -- keys


def new_key() -> Key:
    """A new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key, passphrase: bytes | None = None) -> bytes:
    """A private key in PEM; encrypted where there is a passphrase."""
    locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase is not None:
        locked = serialization.BestAvailableEncryption(passphrase)
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, locked)


def read_private(pem: bytes, where: str, passphrase: bytes | None = None) -> Key:
    """The private key in PEM. Raises IdentityError."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except TypeError as error:  # one that is encrypted and no passphrase, or the other way round
        missing = "it is encrypted: give its passphrase" if passphrase is None else "it is not encrypted"
        raise IdentityError(f"{where}: {missing}") from error
    except ValueError as error:
        wrong = "no private key in PEM" if passphrase is None else "no private key in PEM, or a wrong passphrase"
        raise IdentityError(f"{where}: {wrong}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise IdentityError(f"{where}: no key on an elliptic curve")
    return key


# -- making


def authority(estate: str, key: Key, now_ms: int) -> x509.Certificate:
    """The certificate of a new CA, signed by itself."""
    name = _named(f"Binôme CA of {estate}")
    builder = _begun(name, name, key.public_key(), now_ms, CA_LIFE)
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def issued(
    ca: x509.Certificate,
    key: Key,
    public: ec.EllipticCurvePublicKey,
    *,
    estate: str,
    server: str,
    address: str | None,
    life: timedelta,
    now_ms: int,
) -> x509.Certificate:
    """A certificate for `public`, which is `server`'s. Engines find its name and address in it too."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri(estate, server)), x509.DNSName(server)]
    names += [x509.IPAddress(ipaddress.ip_address(one)) for one in (address, "127.0.0.1") if one]
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        _begun(_NOBODY, ca.subject, public, now_ms, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(uses, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(signer, critical=False)
        .sign(key, hashes.SHA256())
    )


def request(key: Key, estate: str, server: str) -> bytes:
    """A signing request for our own name; the proof that we hold the key. Whoever signs goes by the connection."""
    builder = x509.CertificateSigningRequestBuilder(_NOBODY)
    name = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri(estate, server))])
    return builder.add_extension(name, critical=False).sign(key, hashes.SHA256()).public_bytes(_PEM)


def requested(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key that a request is for. Raises IdentityError where it is none, or its sender does not hold the key."""
    try:
        asked = x509.load_pem_x509_csr(pem)
        public, good = asked.public_key(), asked.is_signature_valid
    except Exception as error:  # whatever a parser of foreign bytes may raise
        raise IdentityError("this is no signing request") from error
    if not good:
        raise IdentityError("the request is not signed by the key that it is for")
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise IdentityError("the request is for a key that is not on the curve P-256")
    return public


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _begun(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now_ms: int, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.fromtimestamp(now_ms // 1000, UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


# -- reading


def read_all(pem: bytes, where: str) -> list[x509.Certificate]:
    """Every certificate in PEM, at least one. Raises IdentityError."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise IdentityError(f"{where}: no certificate in PEM") from error


def pem_of(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates in PEM."""
    return b"".join(one.public_bytes(_PEM) for one in certificates)


def named(certificate: x509.Certificate) -> Named:
    """Whom a certificate is about. Raises IdentityError where it does not name exactly one server of an estate."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        uris = []
    found = [one.removeprefix(f"{_SCHEME}://").split("/") for one in uris if one.startswith(f"{_SCHEME}://")]
    if len(found) != 1 or len(found[0]) != 2 or not all(found[0]):
        raise IdentityError(f"a certificate that does not name one server as {_SCHEME}://ESTATE/SERVER")
    estate, server = found[0]
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Named(estate, server, certificate.serial_number, *(round(one.timestamp() * 1000) for one in (begins, ends)))


def objection(found: Named, *, estate: str, now_ms: int, revoked: Collection[int]) -> str | None:
    """Why a certificate that our CA has signed is not believed now, in words; None where it is."""
    whose = shown(found.server)
    if found.estate != estate:
        return f"{whose} has a certificate of another estate"
    if found.serial in revoked:
        return f"{whose} has a certificate that was revoked (serial {found.serial:x})"
    if now_ms < found.begins_ms:
        begins = moment(found.begins_ms)
        return (
            f"{whose} has a certificate from the future: it begins {begins}, and it is {moment(now_ms)} here; {_CLOCKS}"
        )
    if now_ms > found.ends_ms:
        ends = moment(found.ends_ms)
        return f"{whose} has a certificate from the past: it ended {ends}, and it is {moment(now_ms)} here; {_CLOCKS}"
    return None


def is_signed_by(certificate: x509.Certificate, authorities: Iterable[x509.Certificate]) -> bool:
    """Whether one of these CAs has signed the certificate."""
    for one in authorities:
        try:
            certificate.verify_directly_issued_by(one)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False
