"""The moments in a lookout's life at which it hurts most: between two steps of an order that must be kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from binome.sim.history import Agreed, Appended, Begun, Claimed, Event, Leads, Mirrored

if TYPE_CHECKING:
    from binome.sim.node import Node
    from binome.sim.world import World

MOMENTS: tuple[Callable[[Event], bool], ...] = (
    lambda event: isinstance(event, Agreed),  # its append was committed, and it has not heard of it
    lambda event: isinstance(event, Appended),
    lambda event: isinstance(event, Begun),
    lambda event: isinstance(event, Claimed),
    lambda event: isinstance(event, Mirrored),
    lambda event: isinstance(event, Leads),  # it leads, by etcd's word, and has not heard of it
    lambda event: isinstance(event, Agreed) and len(event.entries) > 1,  # as the first, where much happens at once
)
TAKES_THE_LEAD = 5


def at_a_moment(world: World, moment: int, until_s: float, strike: Callable[[Node], object]) -> None:
    """Strikes the next lookout that comes to a moment and is well, if that is before `until_s` of the world's time."""
    is_it = MOMENTS[moment]

    def meets(event: Event) -> None:
        node = next((node for node in world.nodes if event[:1] == (node.name,)), None)
        if is_it(event) and node is not None and not node.downs and not node.pauses:
            world.history.watchers.remove(meets)
            if world.loop.now_s < until_s:
                strike(node)

    world.history.watchers.append(meets)
