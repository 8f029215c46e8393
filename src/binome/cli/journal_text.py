"""How the journal is read by people: a line an entry, and what it says in few words."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime

import msgspec

from binome.core.database import DatabaseSeen
from binome.core.entry import Entry, Fact, UnknownFact
from binome.core.impact import ProductUnusable, ProductUsable
from binome.core.incident import OverrideAsked, SilenceAsked
from binome.core.looking import LookoutsHeard, VerdictsAgreed
from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked, MaintenanceEnding, MaintenanceRefused
from binome.core.plan import PlanCancelled, PlanClosed, PlanMade, StepEnded, StepHastened
from binome.core.scope import Confidence, ScopeChanged, ScopeEnded, ScopeOpened
from binome.core.silence import SiteHeard, SiteSilent
from binome.core.state import VOCABULARY
from binome.core.takeover_facts import DatabaseMoved, StandbyBehind, SwitchoverBegun, TakeoverAttested
from binome.core.verdict import Verdict as Believed
from binome.journal.verify import Verdict

ILLEGIBLE = "illegible"
"""The kind of what says none."""
NAMED = 3
"""So many names of a list are printed; the others are counted."""


def kind_of(entry: Entry) -> str:
    """The kind of fact that an entry holds, known to this version or not."""
    try:
        kind: object = json.loads(bytes(entry.fact))["kind"]
    except (ValueError, KeyError, TypeError):
        return ILLEGIBLE
    return str(kind)


def line_of(entry: Entry) -> str:
    """An entry as a line: number, time of day with its zone, generation, origin, kind, words."""
    return printable(
        f"{entry.sequence:>6}  {_local(entry.at_ms, '%H:%M:%S %Z'):<13}  {entry.generation:>3}  {entry.origin:<11}  "
        f"{kind_of(entry):<17}  {_words_of(entry)}".rstrip()
    )


def day_of(at_ms: int) -> str:
    """The day of a time, for the line above the first entry of it."""
    return _local(at_ms, "%Y-%m-%d")


def _local(at_ms: int, form: str) -> str:
    """A time as this machine's people read it; one that no calendar has, as it is."""
    try:
        return format(datetime.fromtimestamp(at_ms / 1000).astimezone(), form)
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def printable(text: str) -> str:
    """Text without what could command a terminal: a fact may say anything."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _words_of(entry: Entry) -> str:
    return words(VOCABULARY.read(entry), entry.at_ms)


def words(fact: Fact, at_ms: int) -> str:
    """What a fact says beside its kind, in few words; a time on the day that it was written on without the day."""
    match fact:
        case PlanMade():
            said = f"{fact.subject}, {_count(len(fact.steps), 'step')}{_because(fact.why)}"
        case StepEnded():
            verb = "undoing step" if fact.undoing else "step"
            said = f"{fact.plan}: {verb} {fact.step + 1} {fact.result}{_because(fact.detail)}"
        case StepHastened():
            said = f"{fact.plan}: step {fact.step + 1}"
        case PlanCancelled():
            said = f"{fact.plan}{_because(fact.why)}"
        case PlanClosed():
            said = f"{fact.plan}, by {fact.who}{_because(fact.why)}"
        case MaintenanceRefused():
            said = f"{fact.request}: {fact.reason}"
        case MaintenanceEnding():
            said = f"{fact.subject}, asked by {fact.request}"
        case UnknownFact():
            said = _unknown(fact.raw)
        case _:
            said = _asked(fact, at_ms) or _seen(fact) or _of_databases(fact)
            said = said or _fields(msgspec.to_builtins(msgspec.structs.asdict(fact)))
    return said


def _asked(fact: Fact, at_ms: int) -> str:
    """What a person asks for, in words; empty for any other fact."""
    match fact:
        case MaintenanceAsked():
            return f"{fact.who}: {fact.subject} until {_clock(fact.until_ms, at_ms)}{_because(fact.why)}"
        case MaintenanceEndAsked():
            return f"{fact.who}: {fact.subject}"
        case SilenceAsked():
            until = _clock(fact.until_ms, at_ms)
            return f"{fact.who}: no pages about {fact.subject} until {until}{_because(fact.why)}"
        case OverrideAsked():
            begin = f"from {_clock(fact.from_ms, at_ms)} " if fact.from_ms > at_ms else ""
            return f"{fact.who}: {fact.person} is on call {begin}until {_clock(fact.until_ms, at_ms)}"
    return ""


def _clock(at_ms: int, now_ms: int) -> str:
    """A time to the minute; without the day where that is today."""
    return _local(at_ms, "%H:%M" if day_of(now_ms) == day_of(at_ms) else "%Y-%m-%d %H:%M")


def _seen(fact: Fact) -> str:
    """A fact about what was seen, in words; empty for any other."""
    match fact:
        case VerdictsAgreed():
            told = {one: [name for name, agreed in fact.verdicts.items() if agreed.verdict is one] for one in Believed}
            said = "; ".join(f"{verdict}: {_names(names)}" for verdict, names in told.items() if names)
            return f"{said}{_unless(fact.confirmed)}{'; more to come' if fact.more else ''}"
        case LookoutsHeard():
            silent = [f"{name} since {_local(since_ms, '%H:%M:%S')}" for name, since_ms in fact.silent.items()]
            return f"silent: {_names(silent)}" if silent else "all are heard"
        case ScopeOpened(cause=cause) | ScopeChanged(cause=cause):
            since = _local(cause.since_ms, "%H:%M:%S")
            seen = f", seen from {_names(cause.seen_from)}" if cause.seen_from else ""
            confirmed = cause.confidence in (Confidence.CONFIRMED, Confidence.PARTLY)
            count = f"{cause.silent} of {_count(cause.of, 'target')}"
            return f"{fact.scope}: {cause.name} {cause.manner} since {since}, {count}{seen}{_unless(confirmed)}"
        case ScopeEnded():
            return f"{fact.scope}: {fact.why}{f', {fact.into}' if fact.into else ''}"
        case SiteSilent():
            seen = f", seen from {_names(fact.seen_from)}" if fact.seen_from else ""
            return f"{fact.site} for {fact.lasted_ms / 1000:.1f} s{seen}{_unless(fact.confirmed)}"
        case SiteHeard():
            return fact.site
        case ProductUnusable():
            since, services = _local(fact.since_ms, "%H:%M:%S"), _names(fact.services)
            return f"{fact.product} since {since}, without {services}{_unless(fact.confirmed)}"
        case ProductUsable():
            return f"{fact.product} since {_local(fact.since_ms, '%H:%M:%S')}"
    return ""


def _of_databases(fact: Fact) -> str:
    """What a database did, or what was done to it, in words; empty for any other fact."""
    match fact:
        case DatabaseSeen():
            behind = (
                f"{_names(fact.synchronous)} has every write" if fact.synchronous else "nobody else has every write"
            )
            return f"{fact.service}: {fact.primary} is primary, {behind}"
        case DatabaseMoved():
            released = f", {fact.released} is waited for no longer" if fact.released else ""
            return f"{fact.service}: {fact.primary} is primary{released}; {fact.plan}"
        case StandbyBehind():
            return f"{fact.service}: {fact.member} is behind by {fact.behind_ms / 1000:.1f} s at most"
        case SwitchoverBegun():
            return f"{fact.service}: Patroni was asked to move it to {fact.to}; {fact.plan}"
        case TakeoverAttested():
            lossy, sites = "; it may lack writes" if fact.lossy else "", _names(tuple(fact.sites))
            lossy = "; it begins with nothing" if fact.anew else lossy
            return f"{fact.service}: {fact.survivor} goes on, {fact.who} attests that {sites} is off{lossy}"
    return ""


def _names(names: Collection[str]) -> str:
    """The first of some names, and how many others there are."""
    first, others = list(names)[:NAMED], len(names) - NAMED
    return f"{', '.join(first)}{f' and {others:,} more' if others > 0 else ''}"


def _unless(confirmed: bool) -> str:
    return "" if confirmed else "; unconfirmed"


def _unknown(raw: bytes) -> str:
    try:
        values = json.loads(raw)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        return raw.decode(errors="replace")
    return _fields({name: value for name, value in values.items() if name != "kind"})


def _fields(values: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value not in ("", None))


def _because(why: str) -> str:
    return f": {why}" if why else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def verdict_lines(path: str, verdict: Verdict, witnesses: int, *, trusted: bool) -> list[str]:
    """The result of a verification: the finding first, then how far the journal is whole, then who bears witness."""
    lines = []
    if verdict.finding is not None:
        lines.append(f"{verdict.finding.fault}: entry {verdict.finding.sequence}.  {verdict.finding.detail}")
    whole, generation = verdict.head.sequence, verdict.head.generation
    if whole:
        lines.append(f"{path}   whole from entry 1 to {whole:,}, generation {generation}, {verdict.head.hash[:16]}…")
    else:
        lines.append(f"{path}   nothing of it is proven" if verdict.finding else f"{path}   empty")
    if not witnesses:
        lines.append("No signed heads: an end that was cut off, or a chain made anew, would not be seen (--heads).")
    elif verdict.finding is None:
        vouched = "" if trusted else "; nobody has vouched for their keys (--key)"
        lines.append(f"{_count(witnesses, 'signed head')} {'agrees' if witnesses == 1 else 'agree'}{vouched}.")
    return [printable(line) for line in lines]
