"""Metrics: what one lookout knows as numbers, in the text format 0.0.4 that Prometheus reads.

`FAMILIES` is the table of all of them: a name, a type, a sentence, and where the samples come from. docs/looking.md has
the same table; a test fails where one of them is missing there. Labels hold names of the estate alone. What targets say
is in none of them: free text would make a new series each time.

A verdict is a number: 1 up, 0 down, 0.5 flapping, NaN unsure. With NaN no comparison holds, so that what is not known
raises no alert of its own and is no good news either.

The listener is bound to the server's own address, and lets in who comes from an address of the estate, as the
statistics of its edges do. The text is made at most once a second, however many ask, and a slice at a time: between
two slices the loop goes on, so that ten thousand targets hold nothing up.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from math import isnan
from typing import Literal, NamedTuple

from binome.core.verdict import Verdict
from binome.estate import Estate
from binome.ports import Clock
from binome.runtime.backup_report import backups
from binome.runtime.listener import Answer, Answering, Listener, Request
from binome.runtime.peer_messages import version
from binome.runtime.report import Sources, databases, quorum
from binome.runtime.turns import Turns, at_once, in_turns

AT_ONCE = 16
KEPT_S = 1.0
SLICE = 500
"""So many samples are written at once."""
CONTENT = "text/plain; version=0.0.4; charset=utf-8"

_NUMBER = {Verdict.UP: 1.0, Verdict.DOWN: 0.0, Verdict.FLAPPING: 0.5, Verdict.UNSURE: float("nan")}

Sample = tuple[Mapping[str, str], float]
"""Labels and a value."""


class Family(NamedTuple):
    """A metric: its name, what it counts and in which unit, and its samples."""

    name: str
    type: Literal["gauge", "counter"]
    help: str
    samples: Callable[[Sources], Iterable[Sample]]


def exposition(sources: Sources) -> str:
    """Every metric that has samples now, as text."""
    return at_once(slices(sources))


def slices(sources: Sources) -> Turns[str]:
    """The same a slice at a time."""
    text: list[str] = []
    for family in FAMILIES:
        lines = _written(family, sources)
        while some := list(islice(lines, SLICE)):
            text += some
            if len(some) == SLICE:
                yield None
        yield None
    return "".join(text)


def answering(sources: Sources, clock: Clock) -> Answering:
    """What a listener for metrics answers."""
    kept = Answer(404)
    until_s = float("-inf")
    making: asyncio.Future[Answer] | None = None

    async def made() -> Answer:
        nonlocal kept, until_s, making
        try:
            kept = Answer(200, (await in_turns(slices(sources))).encode(), CONTENT)
            until_s = clock.monotonic_s() + KEPT_S
        finally:
            making = None
        return kept

    def answer(request: Request) -> Answer | Awaitable[Answer]:
        nonlocal making
        if request.target.partition(b"?")[0] != b"/metrics":
            return Answer(404)
        if request.method != b"GET":
            return Answer(405)
        if clock.monotonic_s() < until_s:
            return kept
        if making is None:
            making = asyncio.ensure_future(made())
        return asyncio.shield(making)  # who hangs up leaves it to the others

    return answer


def listener(estate: Estate, sources: Sources, clock: Clock) -> Listener:
    """The listener for metrics, not open yet. It lets in the addresses of the estate's servers."""
    addresses = frozenset(ipaddress.ip_address(one.address) for one in estate.servers.values() if one.address)
    return Listener(answering(sources, clock), admits=lambda address: _admitted(address, addresses), at_once=AT_ONCE)


def _admitted(address: str, addresses: frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> bool:
    try:
        return ipaddress.ip_address(address) in addresses
    except ValueError:
        return False


def _written(family: Family, sources: Sources) -> Iterator[str]:
    head = f"# HELP {family.name} {family.help}\n# TYPE {family.name} {family.type}\n"
    for labels, value in family.samples(sources):
        named = ",".join(f'{name}="{label(words)}"' for name, words in labels.items())
        yield (
            f"{head}{family.name}{{{named}}} {_number(value)}\n" if named else f"{head}{family.name} {_number(value)}\n"
        )
        head = ""


def _number(value: float) -> str:
    if isnan(value):
        return "NaN"
    return str(int(value)) if value == int(value) else repr(float(value))


def label(value: str) -> str:
    """A label's value: backslash, quote and line end as the format escapes them, all that is not printable too."""
    if value.isprintable() and "\\" not in value and '"' not in value:
        return value  # nearly always
    return "".join(
        {"\\": r"\\", '"': r"\"", "\n": r"\n"}.get(letter)
        or (letter if letter.isprintable() else letter.encode("unicode_escape").decode().replace("\\", r"\\"))
        for letter in value
    )


def _one(value: float) -> list[Sample]:
    return [({}, value)]


def _maybe(value: float | None) -> list[Sample]:
    return [] if value is None else _one(value)


def _info(sources: Sources) -> list[Sample]:
    loop = sources.loop
    return [({"estate": loop.estate.estate, "server": loop.name, "version": version()}, 1)]


def _agreed(sources: Sources) -> Iterator[Sample]:
    looking = sources.loop.state.looking
    for target in sources.watch.targets:
        yield {"target": target.name}, _NUMBER[looking.verdict(target.name)]


def _own(sources: Sources) -> Iterator[Sample]:
    return (({"target": name}, _NUMBER[one.verdict]) for name, one in sources.watch.own().items())


def _by_verdict(sources: Sources) -> Iterator[Sample]:
    looking, own = sources.loop.state.looking, sources.watch.own()
    for view, counted in (
        ("agreed", Counter(looking.verdict(target.name) for target in sources.watch.targets)),
        ("own", Counter(one.verdict for one in own.values())),
    ):
        for verdict in Verdict:
            yield {"view": view, "verdict": verdict.value}, counted[verdict]


def _probes(sources: Sources) -> Iterator[Sample]:
    return (({"target": name}, one.took_s) for name, one in tuple(sources.findings.items()))


def _heard(sources: Sources) -> Iterator[Sample]:
    heard = sources.watch.heard()
    return (({"lookout": one}, one in heard) for one in sources.watch.tally.vantages)


def _leader(sources: Sources) -> list[Sample]:
    loop = sources.loop
    leader = loop.name if loop.journal.generation is not None else sources.standing().leader
    return [({"server": leader}, 1)] if leader else []


def _scopes(sources: Sources) -> Iterator[Sample]:
    counted = Counter(one.cause.kind.value for one in sources.loop.state.scope.open.values())
    return (({"kind": kind}, count) for kind, count in sorted(counted.items()))


def _plans(sources: Sources) -> Iterator[Sample]:
    counted = Counter((one.capability, one.state) for one in sources.loop.state.plans.values())
    return (({"capability": capability, "state": state}, count) for (capability, state), count in counted.items())


def _primaries(sources: Sources) -> Iterator[Sample]:
    for one in databases(sources.loop.state):
        yield {"database": one["database"], "server": one["primary"]}, not one["leaderless"]


def _synchronous(sources: Sources) -> Iterator[Sample]:
    for one in databases(sources.loop.state):
        yield {"database": one["database"]}, len(one["synchronous"])


def _copies(sources: Sources) -> Iterator[Sample]:
    now_ms = sources.loop.clock.now_ms()
    for one in backups(sources.loop.estate, sources.loop.state, now_ms):
        if one["copy_ms"] is not None:
            yield {"backup": one["backup"]}, (now_ms - one["copy_ms"]) / 1000


def _proven(sources: Sources) -> Iterator[Sample]:
    now_ms = sources.loop.clock.now_ms()
    for one in backups(sources.loop.estate, sources.loop.state, now_ms):
        for there in one["vaults"]:
            if there["proven_ms"] is not None:
                labels = {"backup": one["backup"], "vault": there["vault"]}
                yield labels, (now_ms - there["proven_ms"]) / 1000


def _restores(sources: Sources) -> Iterator[Sample]:
    for one in backups(sources.loop.estate, sources.loop.state, sources.loop.clock.now_ms()):
        if one["restored_ms"] is not None:
            yield {"backup": one["backup"]}, one["restored_ms"] / 1000


def _lacking(sources: Sources) -> Iterator[Sample]:
    for one in backups(sources.loop.estate, sources.loop.state, sources.loop.clock.now_ms()):
        yield {"backup": one["backup"]}, not one["wrong"]


FAMILIES = (
    Family("binome_info", "gauge", "Always 1; which estate, server and version this is.", _info),
    Family("binome_target_agreed", "gauge", "What is agreed: 1 up, 0 down, 0.5 flapping, NaN unsure.", _agreed),
    Family("binome_target_own", "gauge", "The same as this lookout alone believes.", _own),
    Family("binome_targets", "gauge", "Targets by what is believed of them, agreed and by this lookout.", _by_verdict),
    Family("binome_probe_seconds", "gauge", "How long this lookout's last look at a target took.", _probes),
    Family(
        "binome_prober_lag_seconds",
        "gauge",
        "How late this lookout was when it last woke; above 0.25 its looks are unsure.",
        lambda sources: _one(sources.lag_s()),
    ),
    Family("binome_lookout_heard", "gauge", "Whether a lookout is heard here; its own is 1.", _heard),
    Family(
        "binome_lookout_groups_heard",
        "gauge",
        "Groups of lookouts in different fault domains that are heard here.",
        lambda sources: _one(quorum(sources.watch)["heard"]),
    ),
    Family(
        "binome_lookout_groups_needed",
        "gauge",
        "Groups that it takes to agree.",
        lambda sources: _one(quorum(sources.watch)["needed"]),
    ),
    Family(
        "binome_leads",
        "gauge",
        "Whether this lookout leads.",
        lambda sources: _one(sources.loop.journal.generation is not None),
    ),
    Family("binome_leader", "gauge", "1 for who leads, as known here; no sample where nobody does.", _leader),
    Family(
        "binome_generation",
        "gauge",
        "The newest generation in this lookout's journal.",
        lambda sources: _one(sources.loop.state.head.generation),
    ),
    Family(
        "binome_journal_entries_total",
        "counter",
        "Entries of the journal, as far as this lookout has them.",
        lambda sources: _one(sources.loop.state.head.sequence),
    ),
    Family("binome_scopes_open", "gauge", "Agreed causes that are not over, by kind.", _scopes),
    Family("binome_plans", "gauge", "Plans that have not ended, by capability and state.", _plans),
    Family(
        "binome_problems",
        "gauge",
        "What is wrong with this lookout itself; binome status names it.",
        lambda sources: _one(len(sources.problems())),
    ),
    Family(
        "binome_etcd_size_bytes",
        "gauge",
        "What etcd holds, when it was asked last.",
        lambda sources: _maybe(sources.standing().size_bytes),
    ),
    Family(
        "binome_etcd_append_seconds",
        "gauge",
        "How long this lookout's last append took.",
        lambda sources: _maybe(sources.standing().append_s),
    ),
    Family(
        "binome_database_primary", "gauge", "Which server is primary: 1; 0 for who was last, if none is.", _primaries
    ),
    Family("binome_database_synchronous", "gauge", "Standbys that have every acknowledged write.", _synchronous),
    Family("binome_backup_copy_age_seconds", "gauge", "How old the newest copy is.", _copies),
    Family("binome_backup_proven_age_seconds", "gauge", "How old the newest proven copy in a vault is.", _proven),
    Family("binome_backup_restore_seconds", "gauge", "How long a restore takes, as proofs measured.", _restores),
    Family("binome_backup_good", "gauge", "Whether copies and proofs are young enough, and good.", _lacking),
)
