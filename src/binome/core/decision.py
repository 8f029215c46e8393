"""What a decision is, and what those who decide may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from binome.core.entry import Draft
from binome.core.plan import Command, Plan

if TYPE_CHECKING:
    from binome.core.backup_facts import BackupSlice
    from binome.core.impact import ImpactSlice
    from binome.core.incident import IncidentSlice
    from binome.core.looking import LookingSlice
    from binome.core.maintenance import MaintenanceSlice
    from binome.core.scope import ScopeSlice
    from binome.core.silence import SilenceSlice
    from binome.core.takeover import TakeoverSlice


class Decision(NamedTuple):
    """What is to be written down, what is to be carried out, and when to decide again if nothing happens before.

    `record` is made durable first; `execute` holds only commands of plans that are durable already.
    """

    record: tuple[Draft, ...] = ()
    execute: tuple[Command, ...] = ()
    wake_at_ms: int | None = None


class View(Protocol):
    """The state, as deciders see it: nothing of it is theirs to change."""

    @property
    def plans(self) -> Mapping[str, Plan]:
        """The plans that have not ended, by id."""

    @property
    def maintenance(self) -> MaintenanceSlice:
        """What maintenance knows."""

    @property
    def looking(self) -> LookingSlice:
        """What is agreed of every target."""

    @property
    def scope(self) -> ScopeSlice:
        """The causes that are known."""

    @property
    def silence(self) -> SilenceSlice:
        """The sites that are silent."""

    @property
    def takeover(self) -> TakeoverSlice:
        """The databases, and what was said of their losses."""

    @property
    def impact(self) -> ImpactSlice:
        """Which products could not be used, and when."""

    @property
    def incident(self) -> IncidentSlice:
        """What people hear of, and what they say."""

    @property
    def backups(self) -> BackupSlice:
        """The newest copies and proofs of backups, and the jobs that make them."""

    def plan_of(self, subject: str) -> Plan | None:
        """The plan that holds a subject."""
