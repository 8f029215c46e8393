"""Backups as the status shows them: the newest copy and the newest proof of each, what a restore would take and lose.

What is shown is what the journal knows, on every lookout. A backup that no leader has read of yet is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from binome.core.backup_concerns import Concern, concerns, measured, sentence_of
from binome.core.backup_facts import InVault
from binome.core.backups import is_scheduled, next_moment
from binome.core.state import State
from binome.estate import Estate


def backups(estate: Estate, state: State, now_ms: int) -> Iterator[dict[str, Any]]:
    """A row a backup, in the order of the file; docs/backups.md names every key."""
    wrong: dict[str, list[Concern]] = {}
    for one in concerns(estate, state, now_ms):
        wrong.setdefault(one.backup, []).append(one)
    for name, backup in estate.backups.items() if is_scheduled(estate) else ():
        known = state.backups.known.get(name)
        if known is None:
            continue
        found = measured(backup, known)
        yield {
            "backup": name,
            "data": list(backup.of),
            "next_ms": next_moment(backup, known.since_ms, now_ms),
            "copy_ms": max((one.copy.at_ms for one in known.vaults.values() if one.copy is not None), default=None),
            "size_bytes": known.size_bytes or None,
            "proven_ms": found.copy_at_ms if found else None,
            "restored_ms": found.restored_ms if found else None,
            "damaged_ms": known.damaged_ms or None,
            "vaults": [{"vault": vault, **_vault(known.in_vault(vault))} for vault in backup.to],
            "jobs": [_job(one.what, one.server, one.begun_ms) for one in state.backups.working(name)],
            "failed": [{"what": what, "why": one.why, "times": one.times} for what, one in known.failures.items()],
            "wrong": [_wrong(one, backup.of) for one in wrong.get(name, ())],
        }


def _vault(there: InVault) -> dict[str, Any]:
    copy, tried, proven = there.copy, there.tried, there.proven
    return {
        "copy": copy.id if copy else None,
        "copy_ms": copy.at_ms if copy else None,
        "proven_ms": proven.copy_at_ms if proven else None,
        "proof_ms": tried.made_ms if tried else None,
        "verdict": tried.verdict if tried else None,
        "found": tried.found if tried else "",
        "restored_ms": proven.restored_ms if proven else None,
    }


def _job(what: str, server: str, begun_ms: int) -> dict[str, Any]:
    return {"what": what, "server": server, "begun_ms": begun_ms}


def _wrong(one: Concern, of: tuple[str, ...]) -> dict[str, Any]:
    return {"wrong": one.wrong.value, "sentence": sentence_of(one, of), "since_ms": one.since_ms, "why": one.why}


def measures(rows: list[dict[str, Any]], now_ms: int) -> dict[str, dict[str, float]]:
    """What `binome check --measured` reads of backups: seconds by measure, of those that are proven in every vault."""
    return {
        row["backup"]: {
            "restore_s": row["restored_ms"] / 1000,
            "age_s": max(0, now_ms - row["proven_ms"]) / 1000,
        }
        for row in rows
        if row["restored_ms"] is not None
    }
