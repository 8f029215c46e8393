"""Who a server is: our own CA, short certificates, and what was revoked (docs/identity.md)."""

from binome.runtime.identity.authority import Authority, Issued
from binome.runtime.identity.certificates import DEFAULT_DAYS, MAX_DAYS, Key, Named, moment, new_key, request
from binome.runtime.identity.files import IdentityError
from binome.runtime.identity.own import Identity

__all__ = [
    "DEFAULT_DAYS",
    "MAX_DAYS",
    "Authority",
    "Identity",
    "IdentityError",
    "Issued",
    "Key",
    "Named",
    "moment",
    "new_key",
    "request",
]
