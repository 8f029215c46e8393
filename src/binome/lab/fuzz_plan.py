"""What the fuzzer does to a lab, drawn from a seed before anything is done: episodes of faults that may overlap.

    episode   1 to 4 faults within 25 s; then everything is healed, and whatever is promised must hold
    strike    when a fault comes, how long it lasts (None: until the episode ends), and the act, in the words of rows.py

Short lengths are as likely as long ones (their logarithm is even): what is just under a lease and what is well over
it go through different code. Half of all faults come within moments of the first, since that is where they meet.

What nobody promises is not drawn. No acknowledged write is lost by the loss of *one* fault domain from a state that is
fully replicated: so data is destroyed at most once in an episode, and a whole site's only as the first of its faults.
Two faults of one kind at one place at one time would be one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from binome.lab.rows import Act

WITHIN_S = 25.0
"""The last fault comes this long after the first, at most."""
_SOON_S = 1.5
_HOW_MANY = (1, 2, 2, 2, 3, 3, 4)
_TRIES = 50


class Strike(msgspec.Struct, frozen=True):
    """A fault: seconds from the beginning of its episode, its length in seconds, and the act."""

    at_s: float
    lasts_s: float | None
    act: Act

    def __str__(self) -> str:
        until = "to the end" if self.lasts_s is None else f"for {self.lasts_s:.1f} s"
        return f"{self.at_s:6.1f} s  {' '.join(self.act)} {until}"

    @property
    def ends_s(self) -> float:
        """When it ends, in seconds from the beginning of the episode."""
        return math.inf if self.lasts_s is None else self.at_s + self.lasts_s


class Episode(msgspec.Struct, frozen=True):
    """Faults between two times at which everything is whole; `name` says which ones: SEED-NUMBER."""

    name: str
    strikes: tuple[Strike, ...]

    @property
    def lasts_s(self) -> float:
        """How long it lasts, in seconds; what lasts to its end has had ten of them."""
        ends_s = [one.ends_s for one in self.strikes if one.lasts_s is not None]
        return max([*ends_s, *(one.at_s + 10 for one in self.strikes if one.lasts_s is None)])


class Kind(NamedTuple):
    """A kind of fault: its verb, what it can be aimed at, its length in seconds, how likely it is beside the others."""

    verb: str
    aims: Sequence[tuple[str, ...]]
    lasts_s: tuple[float, float] | None  # None: to the end of the episode
    weight: int


_SITES = (("primary's",), ("standby's",), ("witness's",))
_PAIRS = (("primary's", "standby's"), ("primary's", "witness's"), ("standby's", "witness's"))
_PROGRAMS = (
    *((server, program) for server in ("primary", "standby") for program in ("postgresql", "patroni", "etcd", "agent")),
    ("witness", "etcd"),
    ("leader", "lookout"),
    ("primary's-lookout", "lookout"),
    ("standby's-lookout", "lookout"),
    ("edge", "haproxy"),
)
KINDS = (
    Kind("freeze", _PROGRAMS, (0.3, 40), 8),
    Kind("kill", _PROGRAMS, (1, 30), 6),
    Kind("cut", _SITES, (0.3, 40), 5),
    Kind("part", _PAIRS, (0.5, 40), 3),
    Kind("one-way", (*_SITES, ("primary",), ("standby",), ("witness",)), (0.5, 40), 3),
    Kind("loss", [(*pair, percent) for pair in _PAIRS for percent in ("10", "30", "60")], (3, 40), 3),
    Kind("flap", [(*site, every) for site in _SITES for every in ("0.4", "2", "7")], (5, 40), 2),
    Kind("burn", _SITES, None, 3),
    Kind("wipe", _SITES, None, 2),
    Kind("lose-data", (("primary",), ("standby",), ("witness",)), None, 1),
    Kind("fill-quota", (("witness",),), (1, 30), 1),
    Kind("slow-etcd", (("2", "0.5"), ("0.3", "0.3")), (5, 30), 1),
)
OF_SITES = frozenset({"cut", "flap", "burn", "wipe"})
DESTROYS = frozenset({"wipe", "lose-data"})
_ENDS_PROGRAMS = frozenset({"kill", "burn", "wipe", "lose-data"})


def planned(seed: int) -> Iterator[Episode]:
    """The episodes of a seed, without end; the same ones every time."""
    number = 0
    while True:
        number += 1
        yield episode(f"{seed}-{number}")


def episode(name: str) -> Episode:
    """The episode of this name."""
    chance = Random(f"binome lab fuzz {name}")  # noqa: S311 - it has to be the same again
    strikes: list[Strike] = []
    for number in range(chance.choice(_HOW_MANY)):
        for _ in range(_TRIES):
            one = _drawn(chance, first=number == 0)
            if not any(clash(one, other) for other in strikes):
                strikes.append(one)
                break
    return Episode(name, tuple(sorted(strikes, key=lambda one: one.at_s)))


def _drawn(chance: Random, *, first: bool) -> Strike:
    kinds = [kind for kind in KINDS if first or kind.verb != "wipe"]
    kind = chance.choices(kinds, [kind.weight for kind in kinds])[0]
    act = (kind.verb, *chance.choice(kind.aims))
    at_s = 0.0 if first else chance.uniform(0, _SOON_S if chance.random() < 0.5 else WITHIN_S)
    if kind.lasts_s is None:
        return Strike(round(at_s, 1), None, act)
    least, most = kind.lasts_s
    return Strike(round(at_s, 1), round(math.exp(chance.uniform(math.log(least), math.log(most))), 1), act)


def clash(one: Strike, other: Strike) -> bool:
    """Whether two faults would be in each other's way, or promise nothing together."""
    verbs = {one.act[0], other.act[0]}
    if verbs <= DESTROYS:
        return True
    if "slow-etcd" in verbs and (verbs & _ENDS_PROGRAMS or "etcd" in (*one.act, *other.act)):
        return True  # what stands still by turns has to be there
    if one.at_s > other.ends_s or other.at_s > one.ends_s:
        return False
    if verbs <= OF_SITES:
        return one.act[1] == other.act[1]
    return one.act == other.act or (len(verbs) == 1 and verbs <= {"slow-etcd", "fill-quota"})


def parse(text: bytes) -> list[Episode]:
    """The episodes of a schedule. Raises ValueError where it is none."""
    return msgspec.json.decode(text, type=list[Episode])


def written(episodes: Sequence[Episode]) -> str:
    """Episodes as a schedule that `parse` reads."""
    return msgspec.json.format(msgspec.json.encode(episodes), indent=1).decode() + "\n"
