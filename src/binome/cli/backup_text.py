"""Backups in the status: a line each, and one for what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from binome.cli.moments import ago, lasted, moment


def backups_told(report: dict[str, Any]) -> Iterator[str]:
    """The newest copy and the newest proven one of each backup, and what a restore would take and lose."""
    now_ms = report["at_ms"]
    for one in report.get("backups", ()):
        if one["copy_ms"] is None and not (one["jobs"] or one["wrong"]):
            continue  # its time has not come yet
        copy = f"copy of {moment(one['copy_ms'], now_ms)}" if one["copy_ms"] is not None else "no copy yet"
        working = [_working(job, now_ms) for job in one["jobs"]]
        yield "; ".join([f"backup {one['backup']}: {copy}", _proven(one, now_ms), *working])
        for what in one["wrong"]:
            why = f" ({what['why']})" if what["why"] else ""
            yield f"wrong: {what['sentence']}, since {moment(what['since_ms'], now_ms)}{why}"


def _proven(one: dict[str, Any], now_ms: int) -> str:
    if one["restored_ms"] is None:
        proven = [there["vault"] for there in one["vaults"] if there["proven_ms"] is not None]
        return f"proven in {', '.join(proven)} alone" if proven else "not proven"
    takes, loses = lasted(one["restored_ms"] / 1000), ago(one["proven_ms"], now_ms)
    return f"proven of {moment(one['proven_ms'], now_ms)}: a restore takes {takes} and loses {loses}"


def _working(job: dict[str, Any], now_ms: int) -> str:
    does = {"copy": "it is taken", "damaged": "a damaged copy is tried"}
    words = does.get(job["what"], f"it is proven from {job['what']}")
    return f"{words} on {job['server']} since {ago(job['begun_ms'], now_ms)}"
