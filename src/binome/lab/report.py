"""The report of a demonstration: `report.json` for programs, `report.html` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from binome.lab import chart, outside
from binome.lab.clients import PATIENCES_S
from binome.lab.demo import Outcome, Recovery
from binome.lab.errors import LabError
from binome.lab.faults import KEEPS_PRIMARY, WORDS

NAMED_AT_MOST = 100
Report = Mapping[str, Any]
"""The record of `report.json`."""


def as_json(outcome: Outcome) -> Report:
    """The record of `report.json`. Times are in seconds, those of events from the fault."""
    evidence = outcome.evidence
    return {
        "estate": outcome.estate,
        "fault": outcome.fault,
        "site": outcome.site,
        "good": outcome.good,
        "acknowledged": evidence.acknowledged,
        "lost": len(evidence.lost),
        "unknown_found": evidence.unknown_found,
        "unknown_missing": evidence.unknown_missing,
        "double_primary": len(evidence.double_primary),
        "lost_ids": evidence.lost[:NAMED_AT_MOST],
        "double_primary_ids": evidence.double_primary[:NAMED_AT_MOST],
        "unanswered": outcome.unanswered,
        "flows": outcome.flows,
        "outage_s": outcome.outage_s,
        "outage_impatient_s": outcome.outage_impatient_s,
        "new_primary_s": outcome.new_primary_s,
        "verdict_s": outcome.verdict_s,
        "scope": outcome.scope,
        "time_to_redundancy_s": outcome.time_to_redundancy_s,
        "patience_s": list(PATIENCES_S.values()),
        "pages": outside.as_json(outcome.pages),
        "events": [{"at_s": event.at_s, "what": event.what} for event in outcome.events],
        "engines": outcome.engines,
        **(_recovery(outcome.recovery) if outcome.recovery else {}),
    }


def _recovery(one: Recovery) -> Report:
    """What is said of a platform that came back out of a vault."""
    return {
        "lost_beyond_backup": len(one.lost_beyond),
        "recovery": {
            "backup": one.backup,
            "vault": one.vault,
            "proven": one.proven,
            "point_s": one.point_s,
            "restored_s": one.restored_s,
            "same": one.same,
            "phases_s": one.phases_s,
        },
    }


def check_writable(folder: Path) -> None:
    """Raises LabError where a report could not be written to `folder`: better known before than after a fire."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "writable", "yes\n" * 1024)
        (folder / "writable").unlink()
    except OSError as error:
        raise LabError(f"the report cannot be written to {folder}: {error.strerror}.  Choose another: --out") from None


def write(outcome: Outcome, folder: Path, more: Report | None = None, more_page: str = "") -> None:
    """Writes both files into `folder`, each whole or not at all: of the outcome, and what more there is to say.

    Raises LabError where that cannot be done.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        record = {**as_json(outcome), **(more or {})}
        write_whole(folder / "report.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        write_whole(folder / "report.html", page(outcome, more_page))
    except OSError as error:
        raise LabError(f"the report cannot be written to {folder}: {error.strerror}.  Free some space.") from None


def write_whole(path: Path, text: str) -> None:
    """Writes a file whole or not at all. Raises OSError."""
    temporary = path.with_name(path.name + ".new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def verdict(report: Report) -> str:
    """The answer, in one sentence."""
    if report["lost"]:
        return f"{report['lost']:,} acknowledged writes are lost."
    if report["double_primary"]:
        return f"{report['double_primary']:,} writes were acknowledged by a second primary."
    if not report.get("recovery", {"same": True})["same"]:
        return "What was restored is not what was saved."
    if not report["flows"]:
        return "Nothing acknowledged was lost, but writes never flowed again."
    if "recovery" in report:
        point_s, beyond = -report["recovery"]["point_s"], report["lost_beyond_backup"]
        words = (
            f"{beyond:,} acknowledged in the {point_s:.1f} s after it are gone"
            if beyond
            else "nothing after it is gone"
        )
        return f"Everything up to the newest copy is there; {words}."
    if report["time_to_redundancy_s"] is None:
        return "Nothing acknowledged was lost, but the pair is not whole again."
    return f"{report['acknowledged']:,} writes were acknowledged, and all of them are there."


def figures(report: Report) -> list[tuple[str, str, str]]:
    """The summary: what was measured, its value, and how to read it."""
    found, missing = report["unknown_found"], report["unknown_missing"]
    patient_s, impatient_s = report["patience_s"]
    rows = [
        ("acknowledged", f"{report['acknowledged']:,}", "writes that the clients were told are done"),
        ("lost", f"{report['lost']:,}", "of those, not there any more"),
        (
            "unknown",
            f"{found + missing:,}",
            f"writes without an answer: {found:,} there, {missing:,} not; either is right",
        ),
        ("by two primaries", f"{report['double_primary']:,}", "acknowledged by another than the one primary"),
    ]
    for operation, noun in (("write", "writes"), ("read", "reads"), ("web", "web pages")):
        patient, impatient = report["outage_s"][operation], report["outage_impatient_s"][operation]
        never = report["unanswered"][operation]
        meaning = (
            f"longest silence, patience {patient_s:g} s; {impatient:.2f} s at {impatient_s:g} s; {never:,} in vain"
        )
        rows.append((f"outage of {noun}", f"{patient:.2f} s", meaning))
    rows.append(("verdict", _seconds(report["verdict_s"]), report["scope"] or "the lookouts agreed on no cause"))
    if "recovery" in report:
        return rows + _recovered(report)
    if report["fault"] not in KEEPS_PRIMARY:
        rows.append(
            ("new primary", _seconds(report["new_primary_s"]), "from the fault until there was a primary again")
        )
    rows.append(("pair whole again", _seconds(report["time_to_redundancy_s"]), "from the fault until it was"))
    return rows


def _recovered(report: Report) -> list[tuple[str, str, str]]:
    """The rows of a platform that came back out of a vault."""
    one, beyond = report["recovery"], report["lost_beyond_backup"]
    proven = "proven" if one["proven"] else "not proven"
    phases = ", ".join(f"{name} {value:.1f} s" for name, value in one["phases_s"].items())
    return [
        (
            "recovery point",
            f"{one['point_s']:.1f} s",
            f"the moment that {one['backup']} is of, {proven}, from {one['vault']}",
        ),
        ("lost beyond it", f"{beyond:,}", "writes acknowledged after that moment, which no copy has"),
        ("new primary", _seconds(report["new_primary_s"]), "from the fault until there was one, empty"),
        ("restored", _seconds(one["restored_s"]), phases),
    ]


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"


def page(outcome: Outcome, more: str = "") -> str:
    """The HTML page: self-contained, without scripts, readable in light and dark, on paper and on a phone.

    `more` is HTML that stands before the last heading.
    """
    report = as_json(outcome)
    fault = WORDS[outcome.fault]
    rows = "\n".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td><td>{escape(meaning)}</td></tr>"
        for name, value, meaning in figures(report)
    )
    events = "\n".join(
        f"<tr><td>{event.at_s:+.2f} s</td><td>{escape(event.what)}</td></tr>" for event in outcome.events
    )
    versions = ", ".join(f"{name} {version}" for name, version in outcome.engines.items())
    return f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(outcome.estate)}: {escape(outcome.site)} {fault}</title>
<style>{_STYLE}</style>
<main>
<h1>{escape(outcome.estate)}: {escape(outcome.site)} {fault}</h1>
<p class="{"good" if outcome.good else "bad"}">{escape(verdict(report))}</p>
<figure>
{chart.timeline(outcome)}
<figcaption>Every mark is one answer that a client got: how far right, when; how high, how long it had waited for it.
Where there are no marks, nobody got an answer. {chart.LEGEND}</figcaption>
</figure>
<h2>What was measured</h2>
<table class="figures">{rows}</table>
<h2>What happened</h2>
<table class="events">{events}</table>
{more}<h2>How to read this</h2>
<p>Two clients wrote, read and fetched pages through both edges all the time, and wrote down every attempt before they
sent it. A separate judge then compared their logs with the rows that the surviving primary holds. What a client was
told is done must be there; what it got no answer for may be there or not.</p>
<p>Engines: {escape(versions)}. All of it ran on one machine: one kernel, one disk, one clock. Ending a process keeps
what the kernel has in memory, so this is no power cut, and the sites had no distance between them.</p>
</main>
</html>
"""


_STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1d1d1b; --paper: #fff; --soft: #6b6b66; --line: #d9d8d2;
  --write: #0b5fa5; --read: #8a6d00; --web: #7a7a75; --mark: #b3261e; --good: #14692f; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #ecebe6; --paper: #171716; --soft: #a3a29b; --line: #3a3a37;
    --write: #6db3f2; --read: #d8b43c; --web: #8d8d87; --mark: #ff8a80; --good: #7fd196; --bad: #ff8a80;
  }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2rem 1rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
.good, .bad { font-size: 1.15rem; font-weight: 600; margin: .3rem 0 1.5rem; }
.good { color: var(--good); }
.bad { color: var(--bad); }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .5rem; }
svg { width: 100%; height: auto; display: block; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; font-weight: 400; padding: .3rem .8rem .3rem 0; }
tr > * { border-bottom: 1px solid var(--line); }
.figures td:nth-child(2) { white-space: nowrap; font-weight: 600; }
.figures td:nth-child(3) { color: var(--soft); }
.events td:first-child { white-space: nowrap; text-align: right; width: 6rem; }
"""
