"""Requests: which facts people may put into the journal, and in which bounds.

Everything else in the journal was decided. What is admitted here is what every lookout will fold for ever, so it is
read strictly, and what it says more than its kind has fields for is let go.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from binome.core import incident, maintenance, plan, takeover
from binome.core.entry import Fact

LONGEST = 200
LONGEST_OF = {"why": 500, "text": 500}
LATEST_MS = 253_402_300_799_999  # the year 9999, the last that calendars can show
_REQUEST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_KINDS: dict[Any, type[Fact]] = {
    kind.__struct_config__.tag: kind
    for kind in (*maintenance.REQUESTS, *plan.REQUESTS, *takeover.REQUESTS, *incident.REQUESTS)
}


def admitted(request: Any, said: Any) -> Fact:
    """The fact that a person's words, decoded from JSON, make. Raises ValueError, saying why they make none."""
    if not isinstance(request, str) or not _REQUEST.fullmatch(request):
        raise ValueError("request: expected 1 to 64 letters, digits, dots, hyphens or underscores")
    kind = said.get("kind") if isinstance(said, dict) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"fact: expected one of the kinds {', '.join(_KINDS)}")
    try:
        fact = msgspec.convert(said, _KINDS[kind])
    except msgspec.ValidationError as error:
        raise ValueError(f"fact: {error}") from None
    values = msgspec.structs.asdict(fact)
    if values["request"] != request:
        raise ValueError("fact: it is of another request")
    for name, value in values.items():
        longest = LONGEST_OF.get(name, LONGEST)
        if isinstance(value, str) and not (len(value) <= longest and value.isprintable()):
            raise ValueError(f"{name}: expected one line of at most {longest} characters")
        if isinstance(value, int) and not 0 <= value <= LATEST_MS:
            raise ValueError(f"{name}: expected milliseconds since 1970, at most {LATEST_MS}")
    return fact
