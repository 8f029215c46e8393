"""The status as a tired person reads it: the cause first, then what is alone, then where it stands.

Every line is made for a width, without colour, and holds printable characters alone: what targets, peers and files say
is shown with a stand-in for all that could command a terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from binome.cli.backup_text import backups_told
from binome.cli.journal_text import printable
from binome.cli.moments import ago, lasted, moment

WIDEST = 100
_NARROWEST = 40
_GAP = "   "


def status_lines(report: dict[str, Any], width: int) -> list[str]:
    """The estate at a glance, in lines of at most `width` characters (and never more than 100)."""
    width = max(_NARROWEST, min(width, WIDEST))
    blocks = [
        list(_head(report, width)),
        [line for scope in report["scopes"] for line in _scope(scope, report, width)] + _unexplained(report, width),
        [line for words in _dangers(report) for line in wrapped(words, width)],
        [line for words in _wrong(report) for line in wrapped(words, width)],
        [*_sites(report, width), *wrapped(_agents(report), width), *wrapped(_products(report), width)],
        [line for words in backups_told(report) for line in wrapped(words, width)],
        [line for words in _plans(report) for line in wrapped(words, width)],
    ]
    return [printable(line) for line in "\n\n".join("\n".join(block) for block in blocks if block).split("\n")]


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """A text in lines of `width`, those after the first set in. Made printable first: line ends are not its own."""
    return wrap(printable(text), width, subsequent_indent=indent, break_on_hyphens=False) if text else []


def _head(report: dict[str, Any], width: int) -> Iterator[str]:
    """Name, how bad since when; who leads."""
    causes = [one for one in report["scopes"] if not one["stale"]]
    now_ms = report["at_ms"]
    if causes:
        since_ms = min(one["since_ms"] for one in causes)
        state = f"{_count(len(causes), 'cause')}, since {moment(since_ms, now_ms)} ({ago(since_ms, now_ms)})"
    elif report["good"]:
        state = "all is well"
    elif report["view"] == "agreed":
        state = "no cause is known"
    else:
        state = "nothing is agreed"
    quorum = report["quorum"]
    heard = f"{quorum['heard']} of {_count(quorum['groups'], 'lookout group')} heard"
    if quorum["heard"] < quorum["needed"]:
        heard += ": no quorum"
    elif not quorum["confirmed"]:
        heard += ": too few to act on"
    leader = report["leader"]
    known = f"generation {report['generation']}"
    lead = f"lead: {leader}, {known}, {heard}" if leader else f"nobody leads, last {known}, {heard}"
    left, right = printable(f"{report['estate']}{_GAP}{state}"), printable(lead)
    if len(left) + len(_GAP) + len(right) <= width:
        yield left + right.rjust(width - len(left))
    else:
        yield from wrapped(left, width)
        yield from wrapped(right, width)
    if not leader:
        last = f"; {report['led_last']} led last" if report["led_last"] else ""
        words = f"Unconfirmed: what follows is {report['server']}'s own view{last}. Nothing is automatic meanwhile."
        yield from wrapped(words, width)


def _scope(scope: dict[str, Any], report: dict[str, Any], width: int) -> list[str]:
    earlier = [one.replace("/", " ", 1) for one in scope["earlier"]]
    words = [scope["sentence"]]
    if scope["stale"]:
        words.insert(0, "As was agreed before:")
    if earlier:
        words.append(f"It was taken for {', '.join(earlier)} before.")
    words.append(f"[{scope['scope']}, {ago(scope['since_ms'], report['at_ms'])}]")
    return wrapped(" ".join(words), width)


def _unexplained(report: dict[str, Any], width: int) -> list[str]:
    """What fell and has no cause yet."""
    bare = report["unexplained"]
    if not bare["count"]:
        return []
    more = bare["count"] - len(bare["targets"])
    names = ", ".join(bare["targets"]) + (f" and {more:,} more" if more else "")
    return wrapped(f"Down or flapping, without a known cause: {names}.", width)


def _dangers(report: dict[str, Any]) -> Iterator[str]:
    """What is alone; what was said of takeovers; which databases have no primary."""
    now_ms = report["at_ms"]
    doubt = "" if report["view"] == "agreed" else " (unconfirmed)"
    for one in report["alone"]:
        perhaps = "may be alone" if one["since_ms"] is None else "is alone"
        since = "" if one["since_ms"] is None else f" since {_since(one['since_ms'], now_ms)}"
        yield f"{one['service']} {perhaps}{since}: only {listed(one['members'])}; {one['why']}{doubt}"
    for one in report["databases"]:
        if one["leaderless"]:
            yield f"{one['database']} has no primary; {one['primary'] or 'nobody'} was primary last"
    for one in report["takeovers"]:
        yield f"takeover of {one['service']}: {_judged(one)}"
    for one in report["silent_sites"]:
        yield f"{one['site']} says nothing since {_since(one['since_ms'], now_ms)}"
    yield from _attestable(report)
    for one in report.get("rejoins", ()):
        if one["failures"]:
            when = f"; again at {moment(one['again_ms'], now_ms)}" if one["again_ms"] else "; it is tried again now"
            yield f"{one['service']} is not whole: {one['trouble']} (failed {one['failures']} times{when})"


def _attestable(report: dict[str, Any]) -> Iterator[str]:
    """What a person could say where nobody can agree; which members of etcd have not come back."""
    for one in report.get("attestable", ()):
        names = ",".join(one["names"])
        yield f"{one['service']} waits for a person: etcd has no majority, so nothing is automatic"
        yield f"if {listed(one['names'])} are off, and stay off: binome takeover {one['service']} --attest {names}"
    for one in report.get("absent", ()):
        yield f"{one['service']} went on without {one['server']}, whose member of it is not back yet"


def _judged(one: dict[str, Any]) -> str:
    match one["said"]:
        case "shadow":
            return f"{one['survivor']} would have taken over; takeover is set to shadow, and nothing was done"
        case "confirm":
            return f"waits for a person; {one['survivor']} would take over (code {one['code']})"
    return f"refused: {one['said']}"


def _wrong(report: dict[str, Any]) -> Iterator[str]:
    for problem in report["problems"]:
        if problem != "nobody leads" or report["leader"]:
            yield f"wrong: {problem}"


def _sites(report: dict[str, Any], width: int) -> Iterator[str]:
    """A line a site: how many of its targets are up, and which of its lookouts is silent."""
    names = max((len(one["site"]) for one in report["sites"]), default=0)
    peers = {one["peer"]: one for one in report["peers"]}
    for one in report["sites"]:
        lookouts = [peers[name] for name in one["lookouts"] if name in peers and peers[name]["silent"]]
        words = [f"{one['site']:<{names}}{_GAP}{_verdicts(one)}", *map(_silent, lookouts)]
        yield from wrapped(_GAP.join(words), width, " " * (names + len(_GAP)))
    inside = sum(one["of"] for one in report["sites"])
    outside = {verdict: report["targets"][verdict] - sum(one[verdict] for one in report["sites"]) for verdict in _SHOWN}
    total = sum(report["targets"].values()) - inside
    if total:
        yield from wrapped(f"{'outside':<{names}}{_GAP}{_verdicts({**outside, 'of': total})}", width)


_SHOWN = ("up", "down", "flapping", "unsure")


def _verdicts(one: dict[str, Any]) -> str:
    """`12 of 12 up`, or what else is the matter: `2 of 12 up, 8 down, 2 unsure`."""
    others = [f"{one[verdict]:,} {verdict}" for verdict in _SHOWN[1:] if one[verdict]]
    return ", ".join([f"{one['up']:,} of {one['of']:,} up", *others])


def _agents(report: dict[str, Any]) -> str:
    """How many agents are connected here, and which are not, or have fenced their servers."""
    agents = report.get("agents", ())
    if not agents:
        return ""
    said = [f"{sum(one['connected'] for one in agents)} of {len(agents)} connected"]
    for what, names in (
        ("not connected", [one["server"] for one in agents if not one["connected"]]),
        ("fenced themselves", [one["server"] for one in agents if one["fenced"]]),
    ):
        said += [f"{what}: {listed(names)}"] if names else []
    return f"agents: {'; '.join(said)}"


def _silent(peer: dict[str, Any]) -> str:
    last = f"silent for {lasted(peer['silent_ms'] / 1000)}" if peer["heard_ms"] is not None else "never heard"
    why = f" ({peer['why']})" if peer["why"] else ""
    return f"lookout {peer['peer']}: {last}{why}"


def _products(report: dict[str, Any]) -> str:
    """Which products are hit, by what; that the others are not. Those that are hit by the same stand together."""
    titles = {one["scope"]: f"{one['kind']} {one['subject']}" for one in report["scopes"]}
    by: dict[tuple[str, ...], list[str]] = {}
    for one in report["products"]:
        reasons = [titles[name] for name in one["hit_by"]] + [f"{name} (no primary)" for name in one["no_primary"]]
        by.setdefault(tuple(reasons), []).append(one["product"])
    whole = by.pop((), [])
    said = [f"{_are(products)} hit by {listed(list(reasons))}" for reasons, products in by.items()]
    if whole:
        said.append(f"{_are(whole)} not hit{'' if report['view'] == 'agreed' else ', as far as is known here'}")
    return f"{'; '.join(said)}." if said else ""


def _are(names: list[str]) -> str:
    return f"{listed(names)} {'is' if len(names) == 1 else 'are'}"


def _plans(report: dict[str, Any]) -> Iterator[str]:
    for plan in report["plans"]:
        if plan["capability"] == "backup" and plan["state"] == "open":
            continue  # the line of the backup says so
        step = f"step {plan['step']} of {plan['steps']}" if plan["steps"] > 1 else ""
        words = [f"{plan['capability']} of {plan['subject']}: {plan['state']}", step, plan["why"], plan["trouble"]]
        close = f"binome plan close {plan['plan']}" if plan["state"] == "needs-person" else ""
        yield "; ".join(filter(None, [*words, close]))


def _since(at_ms: int, now_ms: int) -> str:
    return f"{moment(at_ms, now_ms)} ({ago(at_ms, now_ms)})"


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *front, last = names
    return f"{', '.join(front)} and {last}" if front else last


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
