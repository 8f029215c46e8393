"""The notations of single values: names, durations, sizes, shares, addresses, secrets.

Each is a type that pydantic reads from the file and writes back in the same notation, so that a model printed
as JSON is an estate file again. A value that could become an option or a word of a shell is refused here, once:
nothing further down needs to quote.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any, LiteralString
from urllib.parse import urlsplit

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from binome.estate.problem import character_name
from binome.estate.text import AmbiguousInteger
from binome.shown import shown

_NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST = r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.?"
_PATH = r"/[A-Za-z0-9._/-]*"
_URL = (
    r"https?://[A-Za-z0-9._~/?&=%:@+,#-]+"  # no character that means something to a shell inside quotes, or ends them
)
_SFTP = rf"sftp:([a-z_][a-z0-9_-]*@)?{_HOST}:{_PATH}"
_ZONE = r"[A-Za-z0-9]+(/[A-Za-z0-9_+-]+)*"
_DURATION = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,9})?)(B|KiB|MiB|GiB|TiB)")
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,10})?)%")
_SECRET = re.compile(rf"(env:[A-Z][A-Z0-9_]*|file:{_PATH})")
_SPACES = "\u00a0\u202f"  # the no-break spaces of French typography
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}")
_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_UNITS_BYTES = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20, "KiB": 2**10, "B": 1}


WRONG: LiteralString = "estate"
WRONG_VALUE: LiteralString = "estate-value"


def wrong(found: str, expected: str, remedy: str) -> PydanticCustomError:
    """An error that pydantic collects with the others, and that becomes a Problem with its place."""
    return PydanticCustomError(WRONG, "{found}", {"found": found, "expected": expected, "remedy": remedy})


def wrong_value(value: Any, expected: str, remedy: str) -> PydanticCustomError:
    """The same for one value; the Problem says the key that the value is of."""
    context = {"found": seen(value), "expected": expected, "remedy": remedy}
    return PydanticCustomError(WRONG_VALUE, "{found}", context)


def wrong_hidden(found: str, expected: str, remedy: str) -> PydanticCustomError:
    """The same for a value that may be a secret, and so must not reach a terminal or a log."""
    context = {"found": f"{found} (the value is not shown)", "expected": expected, "remedy": remedy}
    return PydanticCustomError(WRONG_VALUE, "{found}", context)


def seen(value: Any) -> str:
    """How an error names a value that it found."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, AmbiguousInteger):
        return f"{shown(str(value))}, a number with a leading zero (YAML 1.1 reads it as octal, 1.2 does not)"
    return f"the number {value}" if isinstance(value, int | float) else seen_text(value)


def seen_text(text: str) -> str:
    """A text in quotes; characters that may look like others, or like nothing, are named."""
    strange = sorted({character for character in text[:1000] if not " " <= character <= "~"})
    named = ", ".join(map(character_name, strange[:3]))
    return f'"{shown(text)}"' + (f", which has {named}" if named else "")


def _text(value: Any, expected: str, remedy: str) -> str:
    if not isinstance(value, str):
        raise wrong_value(value, expected, remedy)
    return str(value)


def _matching(pattern: str, expected: str, remedy: str, most: int) -> Callable[[Any], str]:
    compiled = re.compile(pattern)

    def read(value: Any) -> str:
        if isinstance(value, bool | int | float) and compiled.fullmatch(str(value).lower()):
            raise wrong_value(value, expected, "Quote it if it is meant.")
        text = _text(value, expected, remedy)
        if len(text) > most or not compiled.fullmatch(text):
            raise wrong_value(text, expected, remedy)
        return text

    return read


def _quantity(
    pattern: re.Pattern[str], units: dict[str, int], expected: str, remedy: str, least: int = 0
) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        found = pattern.fullmatch(value) if isinstance(value, str) else None
        amount = round(float(found[1]) * units[found[2]]) if found else None
        if amount is None or not least <= amount <= 2**53:
            raise wrong_value(value, expected, remedy)
        return amount

    return read


def _quantity_text(units: dict[str, int], smallest: str) -> Callable[[int], str]:
    def write(amount: int) -> str:
        for unit, factor in units.items():
            if amount and amount % factor == 0:
                return f"{amount // factor}{unit}"
        return f"0{smallest}"

    return write


def _read_share(value: Any) -> float:
    found = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if not found or float(found[1]) > 100:
        raise wrong_value(value, "a share such as 99.99%", "Write it with its percent sign, at most 100%.")
    return round(float(found[1]) / 100, 12)


def _share_text(share: float) -> str:
    return f"{share * 100:.10f}".rstrip("0").rstrip(".") + "%"


def _read_address(value: Any) -> str:
    text = _text(value, "an IP address", "Write one such as 10.20.1.10.")
    try:
        address = ipaddress.ip_address(text if "%" not in text else "")  # a zone (fe80::1%eth0) may be any text at all
    except ValueError:
        raise wrong_value(text, "an IP address", "Write one such as 10.20.1.10, without a prefix length.") from None
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise wrong_value(text, "the address of one server", "Write the address that other servers reach it by.")
    return str(address)


def _read_party(value: Any) -> str:
    remedy = "Write one such as ns1.example or 192.0.2.53."
    text = _text(value, "a host name or an IP address", remedy)
    try:
        return str(ipaddress.ip_address(text if "%" not in text else ""))
    except ValueError:
        looks_like_one = text.rpartition(".")[2].isdigit()
        if looks_like_one or len(text) > 253 or not re.fullmatch(_HOST, text):
            raise wrong_value(text, "a host name or an IP address", remedy) from None
    return text


def _read_option(value: Any) -> str | int | float | bool:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and not isinstance(value, AmbiguousInteger) and len(value) <= 1000:
        return _read_line(value) if value else ""
    raise wrong_value(value, "a text, a number, true or false", "Write one of them.")


def _read_line(value: Any) -> str:
    text = _text(value, "a text of one line", "Write the text, quoted.")
    if not 0 < len(text) <= 1000 or not text.isprintable():
        raise wrong_value(text, "a text of one line, of characters that can be seen", "Write it in one line.")
    return text


def _read_url(value: Any) -> str:
    remedy = 'Write one such as "https://sms.example/send".'
    text = _text(value, "a URL", remedy)
    try:
        parts = urlsplit(text)
        host, port, password = parts.hostname or "", parts.port, parts.username
    except ValueError:
        host, port, password = "", None, None
    if password is not None or (not host and "@" in text):
        raise wrong_hidden(
            "a URL with a password in it",
            "a URL without a password",
            "Take it out, and say where it is kept: secret: env:NAME.",
        )
    if len(text) > 2000 or not re.fullmatch(_URL, text) or not re.fullmatch(_HOST, host) or port == 0:
        raise wrong_value(text, "an http or https URL", remedy)
    return text


def _read_vault_url(value: Any) -> str:
    remedy = 'Write one such as "rest:https://vault.example:8000/" or "sftp:backup@vault.example:/srv/vault".'
    text = _text(value, "where restic finds the vault", remedy)
    if text.startswith("rest:"):
        _read_url(text.removeprefix("rest:"))
        return text
    if len(text) > 500 or not re.fullmatch(_SFTP, text):
        raise wrong_value(text, "where restic finds the vault", remedy)
    return text


def _read_date(value: Any) -> date:
    text = _text(value, "a date", "Write it as 2027-06-30.")
    try:
        return date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        raise wrong_value(text, "a date", "Write it as 2027-06-30.") from None


def _read_moment(value: Any) -> datetime:
    expected, remedy = "a day and a time", 'Write it as "2026-12-24 18:00".'
    text = _text(value, expected, remedy)
    try:
        return datetime.strptime(text if _MOMENT.fullmatch(text) else "", "%Y-%m-%d %H:%M")
    except ValueError:
        raise wrong_value(text, expected, remedy) from None


def _read_template(value: Any) -> str:
    expected, remedy = "a text of characters that can be seen", "Write it on one line, with {to} and {text} in it."
    text = _text(value, expected, remedy).strip()
    if not text or len(text) > 4000 or not text.isprintable():
        raise wrong_hidden("no text that can be sent", expected, remedy)
    return text


def _read_reason(value: Any) -> str:
    text = _text(value, "a sentence", "Say why, in one line.").strip()
    if len(text) > 500:
        raise wrong_value(text, "a sentence of at most 500 characters", "Say why, in one line.")
    if not text or not all(character.isprintable() or character in _SPACES for character in text):
        raise wrong_value(text, "a sentence of one line, of characters that can be seen", "Say why, in one line.")
    return text


def _read_secret(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 255 or not _SECRET.fullmatch(value):
        expected, remedy = "env:NAME or file:/path", "Keep the secret in the environment or in a file, and say where."
        if value is None:
            raise wrong_value(value, expected, remedy)
        raise wrong_hidden("not the place of a secret", expected, remedy)
    return value


def _schema(pattern: str, description: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "description": description, **more})


_NAME_EXPECTED = "a name of at most 48 lower-case letters and digits, with - between them"

Name = Annotated[
    str,
    BeforeValidator(_matching(_NAME, _NAME_EXPECTED, "Write one such as sbg-db.", 48)),
    _schema(_NAME, _NAME_EXPECTED, maxLength=48),
]
HostName = Annotated[
    str,
    BeforeValidator(_matching(_HOST, "a host name", "Write it in lower case, such as app.littoral.example.", 253)),
    _schema(_HOST, "a host name"),
]
AnyName = Annotated[
    str,
    BeforeValidator(_matching(_HOST, "a name from this file", "Name what the finding is about.", 253)),
    _schema(_HOST, "the name of anything in this file"),
]
Party = Annotated[
    str,
    BeforeValidator(_read_party),
    WithJsonSchema({"type": "string", "description": "a host name or an IP address"}),
]
HeaderName = Annotated[
    str,
    BeforeValidator(_matching(r"[A-Za-z0-9-]+", "the name of a header", "Write one such as X-Site.", 100)),
    _schema(r"[A-Za-z0-9-]+", "the name of a header"),
]
OptionName = Annotated[
    str,
    BeforeValidator(_matching(r"[a-z][a-z0-9_-]*", "the name of an option", "Write it in lower case.", 48)),
    _schema(r"[a-z][a-z0-9_-]*", "the name of an option"),
]
UserName = Annotated[
    str,
    BeforeValidator(_matching(r"[a-z_][a-z0-9_-]*", "a name in a database", "Write one such as watcher.", 63)),
    _schema(r"[a-z_][a-z0-9_-]*", "a name in a database"),
]
Line = Annotated[str, BeforeValidator(_read_line), WithJsonSchema({"type": "string"})]
Option = Annotated[
    str | int | float | bool,
    BeforeValidator(_read_option),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
FolderPath = Annotated[
    str,
    BeforeValidator(_matching(_PATH, "an absolute path", "Write one such as /srv/vault.", 255)),
    _schema(_PATH, "an absolute path of letters, digits, ., _ and -"),
]
FilePath = Annotated[
    str,
    BeforeValidator(_matching(_PATH, "an absolute path", "Write one such as /etc/binome/tls/ca.pem.", 255)),
    _schema(_PATH, "an absolute path of letters, digits, ., _ and -"),
]
VaultUrl = Annotated[
    str,
    BeforeValidator(_read_vault_url),
    WithJsonSchema({"type": "string", "description": "rest: with a URL behind it, or sftp:USER@HOST:/PATH"}),
]
UrlPath = Annotated[
    str,
    BeforeValidator(_matching(r"/[A-Za-z0-9._~/?&=%:@+,-]*", "the path of a URL", "Write one such as /health.", 255)),
    _schema(r"/[A-Za-z0-9._~/?&=%:@+,-]*", "the path of a URL"),
]
Secret = Annotated[str, BeforeValidator(_read_secret), _schema(_SECRET.pattern, "env:NAME or file:/path")]
Email = Annotated[
    str,
    BeforeValidator(
        _matching(
            rf"[A-Za-z0-9][A-Za-z0-9._+-]*@{_HOST}",
            "an e-mail address",
            "Write one such as ops-1@example.org.",
            254,
        )
    ),
    _schema(rf"[A-Za-z0-9][A-Za-z0-9._+-]*@{_HOST}", "an e-mail address"),
]
Phone = Annotated[
    str,
    BeforeValidator(_matching(r"\+[0-9]{6,15}", "a phone number", 'Write it as "+33600000001", quoted.', 16)),
    _schema(r"\+[0-9]{6,15}", "a phone number in international form"),
]
TimeOfDay = Annotated[
    str,
    BeforeValidator(_matching(r"([01][0-9]|2[0-3]):[0-5][0-9]", "a time of day", 'Write it as "02:00".', 5)),
    _schema(r"([01][0-9]|2[0-3]):[0-5][0-9]", "a time of day"),
]
Handover = Annotated[
    str,
    BeforeValidator(
        _matching(
            r"((Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?([01][0-9]|2[0-3]):[0-5][0-9]",
            "a day and time",
            'Write it as "Mon 09:00".',
            9,
        )
    ),
    _schema(r"((Mon|Tue|Wed|Thu|Fri|Sat|Sun) )?([01][0-9]|2[0-3]):[0-5][0-9]", "a day and time such as Mon 09:00"),
]
Zone = Annotated[
    str,
    BeforeValidator(_matching(_ZONE, "a time zone", "Write one such as Europe/Paris.", 64)),
    _schema(_ZONE, "a time zone such as Europe/Paris"),
]
Address = Annotated[
    str, BeforeValidator(_read_address), WithJsonSchema({"type": "string", "description": "an IP address"})
]
Url = Annotated[
    str,
    BeforeValidator(_read_url),
    WithJsonSchema({"type": "string", "format": "uri", "pattern": "^https?://"}),
]
Day = Annotated[
    date,
    BeforeValidator(lambda value: value if isinstance(value, date) else _read_date(value)),
    WithJsonSchema({"type": "string", "format": "date"}),
]
Moment = Annotated[
    datetime,
    BeforeValidator(lambda value: value if isinstance(value, datetime) else _read_moment(value)),
    PlainSerializer(lambda value: value.strftime("%Y-%m-%d %H:%M"), return_type=str),
    _schema(_MOMENT.pattern, "a day and a time such as 2026-12-24 18:00"),
]
Template = Annotated[str, BeforeValidator(_read_template), WithJsonSchema({"type": "string"})]
JsonPath = Annotated[
    str,
    BeforeValidator(
        _matching(
            r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", "a way through JSON", "Write one such as messages.0.status.", 200
        )
    ),
    _schema(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", "a way through JSON such as messages.0.status"),
]
Reason = Annotated[str, BeforeValidator(_read_reason), WithJsonSchema({"type": "string"})]
_DURATION_REMEDY = "Write it with its unit: 350ms, 2s, 10m, 6h or 1d."
_DURATION_SCHEMA = _schema(_DURATION.pattern.replace("?:", ""), "a duration such as 350ms, 2s, 10m, 6h or 1d")

Milliseconds = Annotated[
    int,
    BeforeValidator(_quantity(_DURATION, _UNITS_MS, "a duration", _DURATION_REMEDY)),
    PlainSerializer(_quantity_text(_UNITS_MS, "s"), return_type=str),
    _DURATION_SCHEMA,
]
Interval = Annotated[
    int,
    BeforeValidator(_quantity(_DURATION, _UNITS_MS, "a duration of at least 1ms", _DURATION_REMEDY, least=1)),
    PlainSerializer(_quantity_text(_UNITS_MS, "s"), return_type=str),
    _DURATION_SCHEMA,
]
Bytes = Annotated[
    int,
    BeforeValidator(_quantity(_SIZE, _UNITS_BYTES, "a size", "Write it with its unit: 512MiB or 16GiB.")),
    PlainSerializer(_quantity_text(_UNITS_BYTES, "B"), return_type=str),
    _schema(_SIZE.pattern.replace("?:", ""), "a size such as 16GiB"),
]
Share = Annotated[
    float,
    BeforeValidator(_read_share),
    PlainSerializer(_share_text, return_type=str),
    _schema(_SHARE.pattern.replace("?:", ""), "a share such as 99.99%"),
]


def _whole_number(least: int, most: int) -> BeforeValidator:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong_value(value, f"a whole number from {least} to {most}", _number_remedy(value))
        return value

    return BeforeValidator(read)


def _number_remedy(value: Any) -> str:
    if isinstance(value, AmbiguousInteger):
        return "Write it without leading zeros."
    if isinstance(value, str) and value.isdecimal():
        return "Remove the quotes."
    return "Choose one in that range." if type(value) in (int, float) else "Write it in digits."


def _read_amount(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        raise wrong_value(value, "a number of at least 0", "Write it in digits, such as 300.")
    return value


GoodStatus = Annotated[
    int, _whole_number(200, 299), WithJsonSchema({"type": "integer", "minimum": 200, "maximum": 299})
]
Port = Annotated[int, _whole_number(1, 65535), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 65535})]
Status = Annotated[int, _whole_number(100, 599), WithJsonSchema({"type": "integer", "minimum": 100, "maximum": 599})]
Few = Annotated[int, _whole_number(0, 20), WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 20})]
Count = Annotated[int, _whole_number(1, 100_000), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": 100_000})]
Amount = Annotated[float, BeforeValidator(_read_amount), WithJsonSchema({"type": "number", "minimum": 0})]
