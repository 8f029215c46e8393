"""Our own small CA: a folder with a key, and the register of all that the key has signed.

    ca.pem         the CA's certificate, which every server trusts
    ca.key         its key, of mode 0600; encrypted where a passphrase was given
    register.json  what was issued and revoked, and where the passphrase is kept (never itself)
    revoked.pem    the signed list of what was revoked (revoked.py)

What is issued or revoked stands in the register, durably, before anybody gets it. One process at a time changes it.
A list whose number is behind the register's, because a crash came between the two, is signed anew from the register.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from binome.runtime.identity import certificates, files, revoked
from binome.runtime.identity.certificates import MAX_DAYS, Key, Named, moment
from binome.runtime.identity.files import IdentityError
from binome.runtime.identity.revoked import Revoked

KEPT_MS = 90 * 86_400_000
"""How long what has ended stays in the register and on the list."""
OFTEN = 20
"""So many certificates for one server within an hour are enough: nobody may fill the register."""
_BEHIND_MS = 3_600_000


class Issued(msgspec.Struct, frozen=True):
    """One certificate that was issued. Times are in milliseconds since 1970; `serial` is in hex."""

    serial: str
    server: str
    begins_ms: int
    ends_ms: int
    at_ms: int
    how: str
    revoked_ms: int | None = None
    why: str = ""


class Register(msgspec.Struct, frozen=True):
    """All of it. `number` is that of the newest list; `elsewhere` are serials that a newer list than ours had."""

    estate: str
    days: int
    passphrase: str = ""
    number: int = 0
    issued: tuple[Issued, ...] = ()
    elsewhere: dict[str, int] = {}


class Paper(NamedTuple):
    """A certificate that was issued, in PEM, and its line of the register."""

    pem: bytes
    line: Issued


class Authority:
    """The CA in a folder. `passphrase` is asked for when the key is first used; None where it needs none."""

    def __init__(self, folder: Path, passphrase: Callable[[], str] | None = None) -> None:
        """Opens a CA. Raises IdentityError where the folder holds none."""
        self.folder = folder
        self._passphrase = passphrase
        self._key: Key | None = None
        where = folder / "ca.pem"
        self.pem = files.read(where)
        self.certificate = certificates.read_all(self.pem, str(where))[0]
        self.register()

    @classmethod
    def make(
        cls, folder: Path, estate: str, *, days: int, now_ms: int, passphrase: str | None = None, where: str = ""
    ) -> Authority:
        """Makes a new CA; its certificates will live `days`. Raises IdentityError, also where there is one already."""
        if not 1 <= days <= MAX_DAYS:
            raise IdentityError(f"certificates of {days} days: expected 1 to {MAX_DAYS}")
        if passphrase == "":
            raise IdentityError("the passphrase is empty")
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise IdentityError(f"{folder}: {error.strerror}") from error
        with files.alone(folder):
            there = [name for name in ("ca.pem", "ca.key", "register.json") if (folder / name).exists()]
            if there:
                raise IdentityError(f"{folder} has a CA already: {', '.join(there)}")
            key = certificates.new_key()
            certificate = certificates.authority(estate, key, now_ms)
            locked = certificates.key_pem(key, None if passphrase is None else passphrase.encode())
            files.write(folder / "ca.key", locked, secret=True)
            _write(folder, Register(estate, days, where))
            files.write(folder / "ca.pem", certificates.pem_of([certificate]))
        return cls(folder, None if passphrase is None else lambda: passphrase)

    def register(self) -> Register:
        """What was issued and revoked until now. Raises IdentityError."""
        path = self.folder / "register.json"
        try:
            return msgspec.json.decode(files.read(path), type=Register)
        except msgspec.MsgspecError as error:
            raise IdentityError(f"{path}: this is no register of a CA: {error}") from error

    def issue(
        self, server: str, address: str | None, public: ec.EllipticCurvePublicKey, now_ms: int, how: str = "issued"
    ) -> Paper:
        """A certificate for the key of a server; in the register when this returns. Raises IdentityError."""
        key = self._signing_key(now_ms)
        with files.alone(self.folder):
            register = self.register()
            certificate = certificates.issued(
                self.certificate,
                key,
                public,
                estate=register.estate,
                server=server,
                address=address,
                life=timedelta(days=register.days),
                now_ms=now_ms,
            )
            found = certificates.named(certificate)
            line = Issued(f"{found.serial:x}", server, found.begins_ms, found.ends_ms, now_ms, how)
            kept = tuple(one for one in register.issued if one.ends_ms + KEPT_MS > now_ms)
            _write(self.folder, msgspec.structs.replace(register, issued=(*kept, line)))
        return Paper(certificates.pem_of([certificate]), line)

    def renew(self, holder: Named, request: bytes, servers: Mapping[str, str | None], now_ms: int) -> bytes:
        """A new certificate for exactly the name in `holder`, the certificate that its sender has just proved to hold.

        `servers` are those of the estate, with their addresses. Raises IdentityError: nothing is given to one that was
        revoked, that is of another estate, or whose server the estate has no more.
        """
        register = self.register()
        if holder.estate != register.estate:
            raise IdentityError(f"this is the CA of {register.estate}, and you are of another estate")
        if holder.server not in servers:
            raise IdentityError("the estate has no such server any more")
        serial = f"{holder.serial:x}"
        is_revoked = any(one.serial == serial and one.revoked_ms is not None for one in register.issued)
        if is_revoked or serial in register.elsewhere:
            raise IdentityError("your certificate was revoked")
        lately = [one for one in register.issued if one.server == holder.server and one.at_ms > now_ms - 3_600_000]
        if len(lately) >= OFTEN:
            raise IdentityError(f"{len(lately)} certificates were issued to you within an hour")
        public = certificates.requested(request)
        return self.issue(holder.server, servers[holder.server], public, now_ms, "renewed").pem

    def revoke(self, name: str, why: str, now_ms: int) -> tuple[Issued, ...]:
        """Revokes all certificates of a server that have not ended, or the one of a serial; returns them.

        Signs a new list in any case. Raises IdentityError where nothing was issued to `name`.
        """
        key = self._signing_key(now_ms)
        with files.alone(self.folder):
            register = self.register()
            if not any(name in (one.server, one.serial) for one in register.issued):
                raise IdentityError(f"nothing was issued to {name}")
            marked = tuple(
                msgspec.structs.replace(one, revoked_ms=now_ms, why=why)
                if name in (one.server, one.serial) and one.revoked_ms is None and one.ends_ms > now_ms
                else one
                for one in register.issued
            )
            new = tuple(one for one, before in zip(marked, register.issued, strict=True) if one != before)
            register = msgspec.structs.replace(register, issued=marked, number=register.number + 1)
            _write(self.folder, register)
            self._sign_list(register, key, now_ms)
        return new

    def adopt(self, found: Revoked, now_ms: int) -> None:
        """Takes in a list that is newer than the register, as after this CA was put back from an old copy."""
        with files.alone(self.folder):
            register = self.register()
            if found.number <= register.number:
                return
            ours = {one.serial for one in register.issued if one.revoked_ms is not None}
            others = {f"{serial:x}": at_ms for serial, at_ms in found.serials.items() if f"{serial:x}" not in ours}
            register = msgspec.structs.replace(
                register, number=found.number + bool(ours - {f"{one:x}" for one in found.serials}), elsewhere=others
            )
            _write(self.folder, register)
            self._sign_list(register, self._signing_key(now_ms), now_ms)

    def revoked(self, now_ms: int) -> Revoked:
        """The newest list; signed anew where a crash kept it behind the register. Raises IdentityError."""
        path = self.folder / "revoked.pem"
        with files.alone(self.folder):
            register = self.register()
            if register.number == 0:
                return revoked.NOTHING
            if path.exists():
                found = revoked.read(files.read(path), [self.certificate], str(path))
                if found.number >= register.number:
                    return found
            return self._sign_list(register, self._signing_key(now_ms), now_ms)

    def doubt(self, now_ms: int) -> str:
        """What is odd about this server's clock, measured by the register; empty where nothing is."""
        newest_ms = max((one.at_ms for one in self.register().issued), default=0)
        if now_ms > newest_ms - _BEHIND_MS:
            return ""
        return (
            f"it is {moment(now_ms)} here, but a certificate was issued {moment(newest_ms)} already: look at the clock"
        )

    def _signing_key(self, now_ms: int) -> Key:
        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        if not begins.timestamp() * 1000 <= now_ms < ends.timestamp() * 1000:
            raise IdentityError(
                f"it is {moment(now_ms)} here, and this CA is valid from {begins:%Y-%m-%d} to {ends:%Y-%m-%d}: "
                "look at the clock, or make a new CA"
            )
        if self._key is None:
            where = self.folder / "ca.key"
            passphrase = self._passphrase().encode() if self._passphrase else None
            self._key = certificates.read_private(files.read_key(where), str(where), passphrase)
        return self._key

    def _sign_list(self, register: Register, key: Key, now_ms: int) -> Revoked:
        serials = {
            int(one.serial, 16): one.revoked_ms
            for one in register.issued
            if one.revoked_ms is not None and one.ends_ms + KEPT_MS > now_ms
        }
        serials |= {
            int(serial, 16): at_ms for serial, at_ms in register.elsewhere.items() if at_ms + _LONGEST_MS > now_ms
        }
        made = revoked.signed(self.certificate, key, register.number, serials, now_ms)
        files.write(self.folder / "revoked.pem", made.pem)
        return made


_LONGEST_MS = MAX_DAYS * 86_400_000 + KEPT_MS
"""After so long a serial whose end we do not know has ended."""


def _write(folder: Path, register: Register) -> None:
    content = msgspec.json.format(msgspec.json.encode(register), indent=1)
    files.write(folder / "register.json", content + b"\n", secret=True)
