"""This server's identity: its key and certificate, the CAs that it trusts, the newest list of what was revoked.

    ca.pem        the CAs, one or, while one takes the other's place, two; put there by a person, never by the network
    server.pem    certificate and key in one file, so that both change at once; of mode 0600
    revoked.pem   the newest list, from whoever had it

All of it is read again when a file changes. A certificate that OpenSSL has found to be signed by a CA of ours is judged
here once more, with our own words, and again as time passes: connections live longer than certificates.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography import x509

from binome.runtime.identity import certificates, files, revoked
from binome.runtime.identity.certificates import Key, Named, moment
from binome.runtime.identity.files import IdentityError
from binome.runtime.identity.revoked import Revoked


class Identity:
    """The identity in a folder, of one server of an estate."""

    def __init__(self, folder: Path, estate: str, server: str) -> None:
        """Reads it. Raises IdentityError where it is missing, or somebody else's."""
        self.folder = folder
        self.estate = estate
        self.server = server
        self.trouble = ""
        self._stamps: tuple[tuple[int, int], ...] = ()
        self.revoked: Revoked = revoked.NOTHING
        self._load()

    @classmethod
    def put(cls, folder: Path, *, ca: bytes, certificate: bytes, key: Key, revoked_list: bytes) -> None:
        """Writes the files of an identity. Raises IdentityError."""
        files.write(folder / "ca.pem", ca)
        if revoked_list:
            files.write(folder / "revoked.pem", revoked_list)
        files.write(folder / "server.pem", certificate + certificates.key_pem(key), secret=True)

    def _load(self) -> None:
        stamps = self._stamps_now()
        ca, own, lists = (self.folder / name for name in ("ca.pem", "server.pem", "revoked.pem"))
        authorities = certificates.read_all(files.read(ca), str(ca))
        pem = files.read_key(own)
        certificate = certificates.read_all(pem, str(own))[0]
        found = certificates.named(certificate)
        if (found.estate, found.server) != (self.estate, self.server):
            name = f"{found.server} of {found.estate}"
            raise IdentityError(f"{own}: this is the identity of {name}, not of {self.server} of {self.estate}")
        key = certificates.read_private(pem, str(own))
        if key.public_key() != certificate.public_key():
            raise IdentityError(f"{own}: the key is not that of the certificate")
        if not certificates.is_signed_by(certificate, authorities):
            raise IdentityError(f"{own}: no CA in {ca} has signed this certificate")
        if lists.exists():
            newest = revoked.read(files.read(lists), authorities, str(lists))
            if newest.number > self.revoked.number:
                self.revoked = newest
        self.named, self.authorities = found, authorities
        self.listening = self._context(ssl.PROTOCOL_TLS_SERVER, authorities)
        self.dialling = self._context(ssl.PROTOCOL_TLS_CLIENT, authorities)
        self._stamps = stamps

    def _context(self, side: int, authorities: list[x509.Certificate]) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # who the other is stands in its certificate's URI, and is judged below
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=certificates.pem_of(authorities).decode())
        own = self.folder / "server.pem"
        try:
            context.load_cert_chain(own)
        except (ssl.SSLError, OSError) as error:
            raise IdentityError(f"{own}: TLS does not take it: {error}") from error
        if side == ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0  # a session that is resumed is not judged again
        return context

    def refresh(self) -> None:
        """Reads the files again where they have changed; what cannot be read leaves all as it was, and is a problem."""
        if self._stamps_now() == self._stamps:
            return
        try:
            self._load()
            self.trouble = ""
        except IdentityError as error:
            self.trouble = str(error)

    def _stamps_now(self) -> tuple[tuple[int, int], ...]:
        stamps = []
        for name in ("ca.pem", "server.pem", "revoked.pem"):
            try:
                found = (self.folder / name).stat()
                stamps.append((found.st_ino, found.st_mtime_ns))
            except OSError:
                stamps.append((0, 0))
        return tuple(stamps)

    def judge(self, der: bytes | None, now_ms: int) -> Named:
        """Who has proved to hold this certificate. Raises IdentityError with why it is not believed."""
        if der is None:
            raise IdentityError("no certificate")
        try:
            found = certificates.named(x509.load_der_x509_certificate(der))
        except ValueError as error:
            raise IdentityError("a certificate that cannot be read") from error
        self.judge_again(found, now_ms)
        return found

    def judge_again(self, found: Named, now_ms: int) -> None:
        """Raises IdentityError where a certificate that was believed is no more."""
        why = certificates.objection(found, estate=self.estate, now_ms=now_ms, revoked=self.revoked.serials)
        if why is not None:
            raise IdentityError(why)

    def adopt(self, pem: bytes) -> bool:
        """Takes a list of what was revoked if it is newer than ours; whether it was. Raises IdentityError."""
        found = revoked.read(pem, self.authorities, "a peer's list")
        if found.number <= self.revoked.number:
            return False
        self.revoked = found  # it counts also where it cannot be written
        files.write(self.folder / "revoked.pem", found.pem)
        return True

    def is_due(self, now_ms: int) -> bool:
        """Whether it is time for a new certificate."""
        return now_ms >= self.named.half_ms

    def install(self, pem: bytes, key: Key, now_ms: int) -> None:
        """Takes a new certificate for `key`. Raises IdentityError, with all as it was, where it is not good for us."""
        certificate = certificates.read_all(pem, "the new certificate")[0]
        found = certificates.named(certificate)
        if (found.estate, found.server) != (self.estate, self.server):
            raise IdentityError("the new certificate is not for us")
        if certificate.public_key() != key.public_key() or not certificates.is_signed_by(certificate, self.authorities):
            raise IdentityError("the new certificate is not for our key, or by no CA of ours")
        self.judge_again(found, now_ms)
        own = certificates.pem_of([certificate]) + certificates.key_pem(key)
        files.write(self.folder / "server.pem", own, secret=True)
        self._load()

    def problems(self, now_ms: int) -> list[str]:
        """What is wrong with it now."""
        found, problems = self.named, [self.trouble] if self.trouble else []
        why = certificates.objection(found, estate=self.estate, now_ms=now_ms, revoked=self.revoked.serials)
        if why is not None:
            problems.append(f"{why}; a new one: binome ca issue {self.server}")
        elif now_ms > found.half_ms + (found.ends_ms - found.half_ms) // 4:
            problems.append(f"the certificate of {self.server} ends {moment(found.ends_ms)} and was not renewed yet")
        return problems
