"""A simulated lookout's eyes: the production watch and prober, with simulated probes, doors and peers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from binome.core.target import Observation
from binome.estate import Estate
from binome.runtime.prober import Prober
from binome.runtime.watch import Watch
from binome.sim.hearing import SimulatedHearing
from binome.sim.history import Heard, Looked
from binome.sim.process import Process
from binome.sim.sights import Sights, SimulatedProbe

if TYPE_CHECKING:
    from binome.sim.node import Node


class SimulatedEyes:
    """One life's eyes. `changed` is told when there may be news."""

    def __init__(
        self,
        node: Node,
        process: Process,
        estate: Estate,
        sights: Sights,
        *,
        others: Mapping[str, str],
        living: Callable[[str], SimulatedHearing | None],
        changed: Callable[[], None],
    ) -> None:
        self._node = node
        looked_at = tuple(sights.targets.values())

        async def knock(address: str, _port: int) -> bool:
            return await sights.knock(node.site, address)

        self.watch = Watch(
            estate, node.name, looked_at, node.clock, hearing=lambda: self.hearing, changed=changed, knock=knock
        )
        self.hearing = SimulatedHearing(
            node.name,
            node.site,
            process,
            sights.network,
            node.clock,
            others=others,
            living=living,
            told=self.watch.told,
            changed=changed,
            beat=lambda peer: node.history.add(Heard(node.name, peer)),
        )
        probe = SimulatedProbe(node.name, node.site, sights)
        probes = {target.kind: probe for target in looked_at}
        self._prober = Prober(looked_at, probes, node.clock, self._saw, vantage=node.name)

    async def run(self) -> None:
        """Looks and listens until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._prober.run())
            group.create_task(self.watch.run())
            group.create_task(self.hearing.run())

    def _saw(self, observation: Observation) -> None:
        self._node.history.add(Looked(self._node.name, observation.target, observation.answer))
        self.watch.saw(observation)
