"""What lookouts say to each other: a small union of messages, each a frame of msgpack.

    who dialled                        who listens
                                       ◄ Hello        who listens speaks first: nothing of ours is on its way then
    Hello ►                                           that could hide a refusal; both compare, and say what differs
    Beat ► every 100 ms                ◄ Took         that it was taken; not to who hears our own beats, which say so
    Verdicts ► whole once, then changes
    Revoked ► to who has an older list
    Pages ► what became of pages, when it is new and now and then
    Ask ►                              ◄ Answer
    Refused ►                          ◄ Refused      the last word of who does not go on

What an agent and a lookout say to each other, on the connection that the agent dialled; the rest is as above:

    an agent                           a lookout
    Report ► every 500 ms              ◄ Standing     from who leads, to one that has fenced itself
    Done ►                             ◄ Order        a command; only lookouts say so, and only where they were dialled

Nobody says who he is: that stands in his certificate. What does not fit is a breach, and ends the connection.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from binome.core.plan import Command, Outcome
from binome.shown import shown

if TYPE_CHECKING:  # the messages are an agent's too, which has no room for the estate
    from binome.estate import Estate

PROTOCOL = 2
MAX_BYTES = 1 << 20
"""The longest frame."""
SAID_LENGTH = 200
PAGES_BYTES = 64 << 10
"""The most that is told of pages in one frame."""

_Short = Annotated[str, msgspec.Meta(max_length=100)]
_Name = Annotated[str, msgspec.Meta(max_length=255)]
_Long = Annotated[str, msgspec.Meta(max_length=2000)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
_Few = msgspec.Meta(max_length=1000)


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """What one side runs on: `model` is a hash of each section of the estate, `boot` another one after each start.

    `revoked` is the number of the newest list of revoked certificates that it has.
    """

    protocol: _Count
    version: _Short
    estate: _Short
    model: Annotated[dict[_Short, _Short], _Few]
    boot: _Short
    revoked: _Count = 0
    role: Literal["lookout", "agent"] = "lookout"


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """A heartbeat. `ages` are milliseconds since each of the others was last heard, by the sender's monotonic clock.

    Who was never heard is not in it. `at_ms` is what the sender believes to be the time since 1970. `jobs` are
    milliseconds since the sender last knew a job to beat (heartbeats.py).
    """

    sequence: _Count
    at_ms: _Count
    ages: Annotated[dict[_Name, _Count], _Few]
    jobs: Annotated[dict[_Name, _Count], _Few] = {}


class Took(msgspec.Struct, frozen=True, tag="took"):
    """That a beat was taken."""

    sequence: _Count


class Verdicts(msgspec.Struct, frozen=True, tag="verdicts"):
    """Verdicts by target. The whole list comes in parts, from the one that `begins` to the one that `ends`."""

    of: dict[_Name, msgspec.Raw]
    begins: bool = False
    ends: bool = False


class Revoked(msgspec.Struct, frozen=True, tag="revoked"):
    """A signed list of what was revoked."""

    pem: bytes


class Job(msgspec.Struct, frozen=True):
    """Long work of an agent, by the plan that began it: it goes on by itself, and is told of until another begins."""

    id: _Name
    service: _Name
    state: Literal["running", "done", "failed"]
    detail: _Long = ""


class Report(msgspec.Struct, frozen=True, tag="report"):
    """An agent's heartbeat. `fenced`: it has fenced itself and waits for the leader's word. `problems`: for people.

    `jobs` are the newest of each service.
    """

    sequence: _Count
    generation: _Count  # the newest that has spoken there
    fenced: bool = False
    problems: Annotated[list[_Long], _Few] = []
    jobs: Annotated[list[Job], _Few] = []


class Standing(msgspec.Struct, frozen=True, tag="standing"):
    """What the journal says of an agent's server, in the leader's generation. `free`: nothing is taken over from it."""

    generation: _Count
    free: bool


class Order(msgspec.Struct, frozen=True, tag="order"):
    """A command for the agent's server."""

    number: _Count
    of: Command


class Done(msgspec.Struct, frozen=True, tag="done"):
    """What came of an order."""

    number: _Count
    of: Outcome


class Pages(msgspec.Struct, frozen=True, tag="pages"):
    """Receipts and acknowledgements of pages, as core/paging_notes.py encodes them."""

    told: Annotated[bytes, msgspec.Meta(max_length=PAGES_BYTES)]


class Renew(msgspec.Struct, frozen=True, tag="renew"):
    """Asks for a new certificate for the sender's own name; `request` is the proof that it holds the new key."""

    request: Annotated[bytes, msgspec.Meta(max_length=16_384)]


class Renewed(msgspec.Struct, frozen=True, tag="renewed"):
    """The new certificate, in PEM."""

    certificate: Annotated[bytes, msgspec.Meta(max_length=65_536)]


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """That it is not done, and why: nothing was done."""

    why: Annotated[str, msgspec.Meta(max_length=2000)]


Request = Renew
Reply = Renewed | Refused


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """A request; its answer has the same number."""

    number: _Count
    of: Request


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """The answer to a request."""

    number: _Count
    of: Reply


Message = Hello | Beat | Took | Verdicts | Report | Standing | Order | Done | Revoked | Pages | Ask | Answer | Refused

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)
encode = _encoder.encode


class BreachError(Exception):
    """The other side said what it must not say."""


def decode(frame: bytes) -> Message:
    """The message in a frame. Raises BreachError."""
    try:
        return _decoder.decode(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BreachError(f"a message that is none: {shown(str(error), SAID_LENGTH)}") from error


def model_of(estate: Estate) -> dict[str, str]:
    """A hash of each section of an estate: equal exactly where the files mean the same."""
    return {section: _hash(value) for section, value in estate.as_json().items()}


def _hash(value: Any) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def version() -> str:
    """The version of this program."""
    from importlib import metadata  # noqa: PLC0415 - two megabytes, which an agent does without

    return metadata.version("binome")


def difference(ours: Hello, theirs: Hello) -> str:
    """Why two lookouts must not work together, naming what differs; empty where they may.

    Two that decide by other rules, or on another platform, would each be right and together wrong.
    """
    for what, here, there in (
        ("protocol", ours.protocol, theirs.protocol),
        ("version", ours.version, theirs.version),
        ("estate", ours.estate, theirs.estate),
    ):
        if here != there:
            return f"another {what}: {shown(str(there))} there, {shown(str(here))} here"
    sections = {name for name in (*ours.model, *theirs.model) if ours.model.get(name) != theirs.model.get(name)}
    return f"another estate file: it differs in {_names(sections)}" if sections else ""


def apart(ours: Hello, theirs: Hello) -> str:
    """Why a lookout and an agent must not work together; empty where they may.

    An agent decides nothing, and is told in its own words what to do: it may be of another version, or on an older
    file, while these are being brought to all.
    """
    for what, here, there in (("protocol", ours.protocol, theirs.protocol), ("estate", ours.estate, theirs.estate)):
        if here != there:
            return f"another {what}: {shown(str(there))} there, {shown(str(here))} here"
    return ""


def _names(sections: set[str]) -> str:
    names = [shown(name) for name in sorted(sections)]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def part(values: Mapping[str, bytes], limit: int) -> dict[str, msgspec.Raw]:
    """The first of some values, of about `limit` bytes together, so that a heartbeat never waits long behind them."""
    found: dict[str, msgspec.Raw] = {}
    size = 0
    for name, value in values.items():
        if size >= limit:
            break
        found[name] = msgspec.Raw(value)
        size += len(name) + len(value)
    return found
