"""How simulated lookouts hear each other: a small stand-in for `runtime/peers.py`, over the modelled links.

The real one sends its beats through encoders, channels and acknowledgements, which takes longer than all the rest of a
night. This one keeps what `Watch` and the verdicts depend on: a beat every 100 ms that carries what its sender hears;
the whole list on every new connection, and changes in their order behind it; a connection that ends with a cut, a loss,
a second's delay, or either end's life; silence after a second. Each direction stands and falls alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from typing import NamedTuple

from binome.core.verdict import Judged
from binome.runtime.peer_link import BEAT_S
from binome.runtime.peer_speech import SILENT_S
from binome.sim.loop import OWNER
from binome.sim.network import Network
from binome.sim.process import Clock, Process

Told = Callable[[str, Mapping[str, Judged], bool], None]


class Quiet(NamedTuple):
    """A lookout that is not heard, and for how long."""

    peer: str
    since_s: float


class _Heard:
    """What is known from one peer, by its beats."""

    def __init__(self, at_s: float, ages: Mapping[str, int]) -> None:
        self.at_s, self.ages = at_s, ages


class SimulatedHearing:
    """One life's part of it. `living` gives that of another lookout's present life, if any; `beat` is told of beats."""

    def __init__(
        self,
        name: str,
        site: str,
        process: Process,
        network: Network,
        clock: Clock,
        *,
        others: Mapping[str, str],
        living: Callable[[str], SimulatedHearing | None],
        told: Told,
        changed: Callable[[], None],
        beat: Callable[[str], None] = lambda _peer: None,
    ) -> None:
        self.name, self._site, self._process = name, site, process
        self._network, self._clock, self._others, self._living = network, clock, others, living
        self._told, self._changed, self._beat = told, changed, beat
        self._heard: dict[str, _Heard] = {}
        self._begun_s = clock.monotonic_s()
        self._all: dict[str, Judged] = {}
        self._connected: dict[str, SimulatedHearing] = {}  # peer → the life that our connection leads to
        self._arrives_s: dict[str, float] = {}
        self._were_silent: frozenset[str] = frozenset()
        self._context = Context()
        self._context.run(OWNER.set, process)

    # -- runtime.watch.Hearing

    @property
    def heard(self) -> Mapping[str, float]:
        """Seconds since each peer was last heard."""
        now_s = self._clock.monotonic_s()
        return {peer: now_s - one.at_s for peer, one in self._heard.items()}

    @property
    def seen_by(self) -> Mapping[str, Mapping[str, int]]:
        """Milliseconds since each peer had heard each of the others, as of its last word."""
        return {peer: one.ages for peer, one in self._heard.items()}

    def silent(self) -> Sequence[Quiet]:
        """The peers that are not heard."""
        now_s = self._clock.monotonic_s()
        since = {
            peer: now_s - (self._heard[peer].at_s if peer in self._heard else self._begun_s) for peer in self._others
        }
        return [Quiet(peer, since_s) for peer, since_s in since.items() if since_s > SILENT_S]

    def publish(self, changes: Mapping[str, Judged]) -> None:
        """Tells all others these verdicts; who is away gets the whole list when it is back."""
        self._all |= changes
        for peer in tuple(self._connected):
            self._send(peer, changes)

    # -- its work

    async def run(self) -> None:
        """Beats, and notices who does not, until it is cancelled."""
        while True:
            for peer in self._others:
                self._send(peer, {})
            self._look()
            await asyncio.sleep(BEAT_S)

    def _send(self, peer: str, changes: Mapping[str, Judged]) -> None:
        there = self._others[peer]
        life = self._living(peer)
        delays_s = self._network.links[self._site, there].delays_s()
        if life is None or not delays_s or delays_s[0] > SILENT_S or not self._network.both_ways(self._site, there):
            self._connected.pop(peer, None)
            return
        whole = self._connected.get(peer) is not life
        self._connected[peer] = life
        verdicts = dict(self._all if whole else changes)
        ages = {other: round(age_s * 1000) for other, age_s in self.heard.items()}
        loop = self._network.loop
        arrives_s = max(loop.now_s + delays_s[0], self._arrives_s.get(peer, 0.0))
        self._arrives_s[peer] = arrives_s
        loop.at(arrives_s, life.deliver, self.name, ages, verdicts, whole)

    def deliver(self, peer: str, ages: Mapping[str, int], verdicts: Mapping[str, Judged], whole: bool) -> None:
        """Something has arrived; who lives takes it in, as soon as it runs."""
        loop = self._network.loop
        loop.call_soon(self._take, peer, ages, verdicts, whole, context=self._context)

    def _take(self, peer: str, ages: Mapping[str, int], verdicts: Mapping[str, Judged], whole: bool) -> None:
        self._heard[peer] = _Heard(self._clock.monotonic_s(), ages)
        self._beat(peer)
        if whole or verdicts:
            self._told(peer, verdicts, whole)
        self._look()

    def _look(self) -> None:
        silent = frozenset(one.peer for one in self.silent())
        if silent != self._were_silent:
            self._were_silent = silent
            self._changed()
