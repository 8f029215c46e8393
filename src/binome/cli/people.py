"""A lookout's part towards people: its pager with its outbox and senders, its desk, the acknowledgement page, the door.

Nothing here keeps a lookout from looking: what cannot be opened, read or loaded is a problem that is told, and the rest
goes on. An estate without contacts has nobody to page; then there is only the door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from binome.cli.answers import answers
from binome.core import oncall
from binome.core.paging_notes import Told, decoded, frames
from binome.core.state import State
from binome.core.verdict import Judged
from binome.drivers import notify
from binome.drivers.notify.shared.ping import ping
from binome.estate import Estate
from binome.ports import Clock, Observer, StoreError
from binome.render import Folders, RenderError
from binome.render.places import ACK_PORT, address_of
from binome.runtime import ack
from binome.runtime.desk import Desk
from binome.runtime.door import Shown as Answers
from binome.runtime.outbox import open_outbox
from binome.runtime.outside import Outside
from binome.runtime.pager import Pager, words
from binome.runtime.peer_messages import PAGES_BYTES
from binome.runtime.ticks import Ticks

AGAIN_S = 5.0
"""How often everything that the others may have missed is told again."""


class Others(Protocol):
    """The other lookouts, as cli/lookouts.py has them."""

    def heard(self) -> Collection[str]:
        """Those that are heard now."""

    def gone(self) -> Collection[str]:
        """Those that have been silent for so long that nothing they tell would come in time."""

    def tell(self, told: bytes) -> None:
        """Tells all of them what became of pages, as far as they are reached."""


class People:
    """What one lookout has to do with people."""

    def __init__(
        self,
        estate: Estate,
        server: str,
        folders: Folders,
        clock: Clock,
        *,
        state: Callable[[], State],
        led: Callable[[], bool],
        own: Callable[[], Mapping[str, Judged]],
        others: Callable[[], Others],
        troubles: Callable[[], Sequence[str]],
        changed: Callable[[], None],
        ticks: Ticks,
    ) -> None:
        self._estate, self._server, self._clock, self._others, self._state = estate, server, clock, others, state
        self._problems: list[str] = []
        self.zone = self._zone()
        self._key = self._read_key(Path(folders.data) / "ack.key")
        loaded = notify.load(estate.people.senders, notify.secret_of)
        self._problems += loaded.problems
        people = estate.people if self._key else estate.people.model_copy(update={"acknowledge": None})
        outbox, problem = open_outbox(Path(folders.data) / "outbox.sqlite")
        self._problems += [problem] if problem else []
        lookouts = estate.lookout.on if estate.lookout else ()
        before = lookouts[: lookouts.index(server)] if server in lookouts else ()

        def made(with_outbox: bool) -> Pager:
            return Pager(
                people,
                estate=estate.estate,
                name=server,
                rank=len(before),
                outbox=outbox if with_outbox else None,
                senders=loaded.senders,
                clock=clock,
                order=self._order,
                words=words(people, self.zone, self._key),
                tell=self._told,
                ahead=lambda: len(set(before).difference(others().gone())),
            )

        try:
            self.pager = made(True)
        except StoreError as error:
            self._problems.append(f"the outbox cannot be read: {error}")
            self.pager = made(False)
        self.desk = Desk(
            estate,
            server,
            self.pager,
            clock,
            state=state,
            led=led,
            own=own,
            heard=lambda: others().heard(),
            troubles=troubles,
            changed=changed,
            ticks=ticks,
        )

        place = people.heartbeat
        self._outside = Outside(partial(ping, place, notify.secret_of), clock) if place is not None else None

    @property
    def observers(self) -> Sequence[Observer]:
        """Who has something to record where this lookout leads."""
        return (self.desk,)

    def answers(self) -> Mapping[str, Answers]:
        """What people may ask at the door."""
        return answers(self._estate, self._state, self.desk, self.zone, self._clock)

    def heard(self, told: bytes) -> None:
        """Takes what another lookout tells of pages. Raises ValueError for what is none."""
        self.pager.hear(decoded(told))

    async def run(self) -> None:
        """Pages until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.pager.run())
            group.create_task(self.desk.run())
            group.create_task(self._tell_again())
            if self._outside is not None:
                group.create_task(self._outside.run())
            if self._key:
                group.create_task(self._show())

    def problems(self) -> list[str]:
        """What keeps pages from going out, or from being acknowledged; that nobody outside would notice our end."""
        outside = self._outside.problems() if self._outside is not None else ()
        return [*self._problems, *self.pager.problems(), *outside]

    def _told(self, told: Sequence[Told]) -> None:
        for frame in frames(told, PAGES_BYTES):
            self._others().tell(frame)

    async def _tell_again(self) -> None:
        while True:
            await self._clock.sleep(AGAIN_S)
            self._told(self.pager.told())

    async def _show(self) -> None:
        """Serves the acknowledgement page."""
        server = ack.AckServer(self._estate.people, self.pager, self._key, self.zone, self._clock)
        try:
            listening = await ack.listen(server, address_of(self._estate, self._server), ACK_PORT)
        except (RenderError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            self._problems.append(f"nobody can acknowledge by a link here: port {ACK_PORT}: {reason}")
            return
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            listening.close()

    def _order(self, at_ms: int) -> Sequence[str]:
        return oncall.on_call(self._estate.people, self.zone, at_ms, self._state().incident.overrides).order

    def _zone(self) -> ZoneInfo:
        name = self._estate.people.rota.zone
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._problems.append(f"no time zone {name} is known here: the rota is read as UTC.  Install tzdata.")
            return ZoneInfo("UTC")

    def _read_key(self, path: Path) -> bytes:
        if self._estate.people.acknowledge is None:
            return b""
        try:
            return ack.read_key(path)
        except ValueError as error:
            self._problems.append(f"pages carry no link: {error}")
        except OSError as error:
            self._problems.append(f"pages carry no link: {path}: {error.strerror}.  Copy it from another lookout.")
        return b""
