"""One thing that is looked at, as people read it: what is agreed, who says what, the cause, what it takes down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from binome.cli.journal_text import printable
from binome.cli.moments import ago, moment
from binome.cli.status_text import WIDEST, listed, wrapped


def explained_lines(report: dict[str, Any], width: int) -> list[str]:
    """All about one thing, in lines of at most `width` characters (and never more than 100)."""
    width = max(40, min(width, WIDEST))
    targets = report["targets"]
    whole = len(targets) == 1 and not report["left_off"]
    blocks = [
        wrapped(_title(report), width),
        [line for scope in report["scopes"] for line in wrapped(f"{scope['sentence']} [{scope['scope']}]", width)],
        list(_one(targets[0], report["at_ms"], width)) if whole else list(_several(report, width)),
        [line for words in _products(report) for line in wrapped(words, width)],
    ]
    return [printable(line) for line in "\n\n".join("\n".join(block) for block in blocks if block).split("\n")]


def _title(report: dict[str, Any]) -> str:
    own = "" if report["view"] == "agreed" else "; unconfirmed: nobody leads, this is one lookout's own view"
    name, kind = report["name"], report["kind"]
    if len(report["targets"]) == 1 and not report["left_off"]:
        agreed = report["targets"][0]["agreed"]
        return f"{kind} {name} is {_believed(agreed, report['at_ms'])}{own}"
    return f"{kind} {name}: {report['up']:,} of {report['of']:,} targets up{own}"


def _believed(agreed: dict[str, Any], now_ms: int) -> str:
    since = agreed["since_ms"]
    return (
        f"{agreed['verdict']} since {moment(since, now_ms)} ({ago(since, now_ms)})" if since else str(agreed["verdict"])
    )


def _one(target: dict[str, Any], now_ms: int, width: int) -> Iterator[str]:
    """A target: how it is asked, what each vantage point says, what the last look from here found."""
    place = (
        f" at {target['address']}" + (f" port {target['port']}" if target["port"] else "") if target["address"] else ""
    )
    pace = f"every {_s(target['every_ms'])}, down after {target['fall']}, up after {target['rise']}"
    yield from wrapped(f"asked by {target['probe']}{place}, {pace}, at most {_s(target['timeout_ms'])} each", width)
    names = max((len(one["vantage"]) for one in target["vantages"]), default=0)
    sites = max((len(one["site"]) for one in target["vantages"]), default=0)
    for one in target["vantages"]:
        where = f"{one['vantage']:<{names}}   {one['site']:<{sites}}   "
        yield from wrapped(f"{where}{_word(one, now_ms)}", width, " " * len(where))
    if target["last"] is not None:
        last = target["last"]
        yield from wrapped(f"last look from here: {last['answer']} in {last['took_ms']:g} ms: {last['said']}", width)


def _word(one: dict[str, Any], now_ms: int) -> str:
    """What a vantage point says; that of one who is silent counts for nothing."""
    if one["verdict"] is None:
        said = "has said nothing yet"
    else:
        words = f": {one['said']}" if one["said"] else ""
        said = f"{one['verdict']} since {moment(one['since_ms'], now_ms)}{words}"
    silent = "" if one["heard"] else "; it is silent now, and has no word"
    return f"{said}{silent}"


def _several(report: dict[str, Any], width: int) -> Iterator[str]:
    """Many targets: those that are not up with what is said of them; the others are counted."""
    names = max((len(one["target"]) for one in report["targets"] if one["agreed"]["verdict"] != "up"), default=0)
    for one in report["targets"]:
        agreed = one["agreed"]
        if agreed["verdict"] != "up":
            seen = f", seen by {', '.join(agreed['by'])}" if agreed["by"] else ""
            against = "".join(f", {vantage} says {word}" for vantage, word in agreed["dissent"].items())
            said = f": {agreed['said']}" if agreed["said"] else ""
            words = f"{_believed(agreed, report['at_ms'])}{seen}{against}{said}"
            yield from wrapped(f"{one['target']:<{names}}   {words}", width)
    if report["left_off"]:
        yield f"{report['left_off']:,} targets are left off"
    if report["up"] == report["of"]:
        yield "All of it is up."


def _products(report: dict[str, Any]) -> Iterator[str]:
    """What it would take down; products of which the same is said stand together."""
    what = report["name"]
    if not report["products"]:
        yield f"If {what} is lost no product is touched."
    alike: dict[tuple[Any, ...], list[str]] = {}
    for one in report["products"]:
        alike.setdefault((one["outcome"], *one["why"]), []).append(one["product"])
    for (outcome, *why), products in alike.items():
        names, one = listed(products), len(products) == 1
        if outcome is None:
            yield f"{names} {'needs' if one else 'need'} {listed(why)}."
        else:
            becomes = f"{'is' if one else 'are'} {_OUTCOMES.get(outcome, outcome)}"
            yield f"If {what} is lost {names} {becomes}: {'; '.join(why)}."


_OUTCOMES = {
    "manual": "waiting for a person",
    "restore": "restored from a copy",
}
"""The outcomes that are no words of a sentence by themselves."""


def _s(length_ms: int) -> str:
    return f"{length_ms / 1000:g} s"
