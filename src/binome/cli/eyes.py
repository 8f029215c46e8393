"""A lookout's eyes: everything that looks, listens and turns what it finds into what the loop may record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from binome.cli.secret import SecretError, secret
from binome.core.target import heartbeats, named_addresses, targets
from binome.drivers.probe import load
from binome.estate import Estate
from binome.ports import Clock, Etcd, Observer, Surroundings
from binome.render import RenderError
from binome.render.places import HEARTBEAT_PORT, METRICS_PORT, address_of
from binome.runtime.databases import Databases
from binome.runtime.heartbeats import Heartbeats, listen
from binome.runtime.listener import Listener
from binome.runtime.prober import Prober
from binome.runtime.ticks import Ticks
from binome.runtime.watch import Hearing, Watch


class Eyes:
    """What one lookout looks with. Made in the loop that it runs in; `changed` is told when there may be news."""

    def __init__(
        self,
        estate: Estate,
        server: str,
        clock: Clock,
        *,
        etcd: Etcd | None,
        hearing: Callable[[], Hearing | None],
        changed: Callable[[], None],
        ticks: Ticks,
    ) -> None:
        looked_at = targets(estate)
        self._estate, self._server = estate, server
        self._problems: list[str] = []
        self.beats = Heartbeats(dict(self._tokens()), clock)
        loaded = load(looked_at, Surroundings(clock, named_addresses(estate), _secret, self.beats))
        self._problems += loaded.problems
        self.watch = Watch(estate, server, looked_at, clock, hearing=hearing, changed=changed, ticks=ticks)
        self.prober = Prober(looked_at, loaded.probes, clock, self.watch.saw, vantage=server, ticks=ticks)
        self._databases = Databases(estate, etcd, clock, changed) if etcd is not None else None

    @property
    def observers(self) -> Sequence[Observer]:
        """Who has something to record where this lookout leads."""
        return (self.watch, self._databases) if self._databases else (self.watch,)

    async def run(self) -> None:
        """Looks and listens until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.prober.run())
            group.create_task(self.watch.run())
            if self._databases is not None:
                group.create_task(self._databases.run())
            if heartbeats(self._estate):
                group.create_task(self._listen())

    def problems(self) -> list[str]:
        """What keeps this lookout from seeing."""
        return list(self._problems)

    async def measured(self, metrics: Listener) -> None:
        """Gives metrics until it is cancelled. Where that cannot be it is a problem, and Binôme goes on."""
        try:
            await metrics.keep_open(address_of(self._estate, self._server), METRICS_PORT)
        except RenderError as error:
            self._problems.append(f"no metrics are given here: {error}")
        except OSError as error:
            self._problems.append(f"no metrics are given here: port {METRICS_PORT}: {error.strerror}")

    async def _listen(self) -> None:
        try:
            await listen(address_of(self._estate, self._server), HEARTBEAT_PORT, self.beats)
        except RenderError as error:
            self._problems.append(f"no job can say here that it ran: {error}")
        except OSError as error:
            self._problems.append(f"no job can say here that it ran: port {HEARTBEAT_PORT}: {error.strerror}")

    def _tokens(self) -> Sequence[tuple[str, str]]:
        """The jobs' tokens. One that cannot be read is a problem, and its job beats for nobody."""
        found = []
        for job, where in heartbeats(self._estate).items():
            try:
                found.append((job, secret(where)))
            except SecretError as error:
                found.append((job, ""))
                self._problems.append(f"probes.{job}.token: {error}")
        return found


def _secret(where: str) -> str:
    try:
        return secret(where)
    except SecretError as error:
        raise OSError(str(error)) from error
