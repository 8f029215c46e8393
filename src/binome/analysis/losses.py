"""Many losses at once: a bit each.

A loss is one fault domain, or several that are lost together. A `Losses` numbers some of them; whatever may happen to
a thing is then one integer, whose bit *i* is set where it happens in loss *i*. `&`, `|` and `~` on such integers
decide thousands of losses in one step, and a bit-sliced counter says in which of them at least *k* members are lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import combinations, islice
from operator import or_

from binome.analysis.domains import Domains

Loss = tuple[str, ...]
"""The names of the fault domains that are lost together."""

AT_ONCE = 65_536
"""How many pairs are decided in one step: integers of 8 KiB, whatever the size of the estate."""


def singles(domains: Domains) -> list[Loss]:
    """The loss of each fault domain alone, servers last."""
    return [(name,) for name in (*domains.above_servers, *domains.servers)]


def pairs(domains: Domains, at_once: int = AT_ONCE) -> Iterator[list[Loss]]:
    """The loss of each two fault domains above the server, in portions."""
    ahead: Iterator[Loss] = combinations(domains.above_servers, 2)
    while portion := list(islice(ahead, at_once)):
        yield portion


class Losses:
    """Some losses, numbered. `all` has every bit."""

    def __init__(self, domains: Domains, losses: Sequence[Loss]) -> None:
        self.losses = losses
        self.all = (1 << len(losses)) - 1
        self._domains = domains
        positions: dict[str, list[int]] = {}
        for position, loss in enumerate(losses):
            for name in loss:
                positions.setdefault(name, []).append(position)
        self._named = {name: bitset(where) for name, where in positions.items()}
        self._places: dict[frozenset[str], int] = {}

    def of(self, name: str) -> int:
        """The losses that take the fault domain `name`."""
        around = self._domains.around(name)
        place = self._places.get(around)
        if place is None:
            place = self._places[around] = union(self._named.get(other, 0) for other in around)
        own = self._named.get(name)
        return place if own is None else place | own

    def named(self, name: str) -> int:
        """The losses that name the fault domain itself."""
        return self._named.get(name, 0)

    def of_all(self, names: Iterable[str]) -> int:
        """The losses that take every one of `names`."""
        lost = self.all
        for name in names:
            lost &= self.of(name)
        return lost


def union(sets: Iterable[int]) -> int:
    """The losses that are in any of the sets."""
    return reduce(or_, sets, 0)


def bitset(positions: Sequence[int]) -> int:
    """The integer with these bits, which come in rising order."""
    if len(positions) < 3:
        return union(1 << position for position in positions)
    buffer = bytearray(positions[-1] // 8 + 1)
    for position in positions:
        buffer[position >> 3] |= 1 << (position & 7)
    return int.from_bytes(buffer, "little")


def bits(lost: int) -> Iterator[int]:
    """The positions of the bits that are set, rising."""
    for offset, byte in enumerate(lost.to_bytes((lost.bit_length() + 7) // 8, "little")):
        if byte:
            yield from (offset * 8 + bit for bit in range(8) if byte >> bit & 1)


def counted(sets: Iterable[int]) -> list[int]:
    """How many of the sets each loss is in, bit-sliced: plane *p* holds the bit 2ᵖ of every count."""
    planes: list[int] = []
    for carry in sets:
        for place, plane in enumerate(planes):
            planes[place], carry = plane ^ carry, plane & carry  # noqa: PLW2901 - the carry ripples through the planes
            if not carry:
                break
        if carry:
            planes.append(carry)
    return planes


def at_least(planes: Sequence[int], count: int, everything: int) -> int:
    """The losses whose bit-sliced count reaches `count`; `everything` has every bit."""
    if count <= 0:
        return everything
    if count.bit_length() > len(planes):
        return 0
    reached = everything
    for place, plane in enumerate(planes):
        reached = plane & reached if count >> place & 1 else plane | reached
    return reached


def most(sets: Iterable[int]) -> int:
    """The losses that are in the most of the sets, of which one at least is in some."""
    chosen = -1
    for plane in reversed(counted(sets)):
        chosen = chosen & plane or chosen
    return chosen
