"""The smallest cover: of some sets, the fewest that together hold everything.

Each thing comes with the names of the sets that hold it. Things that are held by the same sets are one; a thing that
is held by all the sets of another, and more, is covered with that other; a set that alone holds a thing must be taken.
What then remains falls into parts that share nothing, and is searched through: the thing with the fewest sets first,
each of its sets in turn, given up where no better answer can come of it. In a tree of fault domains nothing remains.

The problem is hard in general, so the search of a part ends after `TRIES`, with the best that it has found by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TRIES = 20_000
DEEPEST = 100
"""Parts that need more sets than this are answered by the quick way alone."""

Sets = frozenset[str]


def smallest(things: Iterable[Sets]) -> list[str]:
    """The fewest names so that each thing has one of them; sorted. Of equally good answers always the same."""
    every = set(things)
    taken = {name for names in every if len(names) == 1 for name in names}
    for part in _parts(_without_supersets({names for names in every if not names & taken})):
        taken |= _searched(part)
    return sorted(taken)


def _without_supersets(things: set[Sets]) -> set[Sets]:
    by_name: dict[str, list[Sets]] = {}
    kept: set[Sets] = set()
    for names in sorted(things, key=lambda one: (len(one), sorted(one))):
        if not any(other <= names for name in names for other in by_name.get(name, ())):
            kept.add(names)
            for name in names:
                by_name.setdefault(name, []).append(names)
    return kept


def _parts(things: set[Sets]) -> list[list[Sets]]:
    holders: dict[str, list[Sets]] = {}
    ordered = sorted(things, key=sorted)
    for names in ordered:
        for name in names:
            holders.setdefault(name, []).append(names)
    parts, seen = [], set[Sets]()
    for first in ordered:
        if first in seen:
            continue
        seen.add(first)
        part = [first]
        for names in part:
            for other in (other for name in names for other in holders[name] if other not in seen):
                seen.add(other)
                part.append(other)
        parts.append(sorted(part, key=sorted))
    return parts


def _searched(part: list[Sets]) -> set[str]:
    first = _greedy(part)
    if len(first) > DEEPEST or len(first) == _at_least(part):
        return set(first)
    search = _Search(first)
    search.go(part, ())
    return set(search.best)


def _greedy(part: list[Sets]) -> tuple[str, ...]:
    """An answer that is quickly found and seldom far off: again and again the name that holds most."""
    taken: list[str] = []
    open_ = part
    while open_:
        held = _held(open_)
        name = min(held, key=lambda one: (-held[one], one))
        taken.append(name)
        open_ = [names for names in open_ if name not in names]
    return tuple(taken)


class _Search:
    def __init__(self, first: tuple[str, ...]) -> None:
        self.best = first
        self._tries = TRIES

    def go(self, open_: list[Sets], taken: tuple[str, ...]) -> None:
        """Completes what was taken, wherever that may still be better than the best."""
        self._tries -= 1
        if not open_:
            self.best = taken  # fewer than before, by the bound below
            return
        if self._tries <= 0 or len(taken) + _at_least(open_) >= len(self.best):
            return
        held, fewest = _held(open_), min(map(len, open_))
        hardest = next(names for names in open_ if len(names) == fewest)
        for name in sorted(hardest, key=lambda one: (-held[one], one)):
            self.go([names for names in open_ if name not in names], (*taken, name))


def _at_least(open_: Iterable[Sets]) -> int:
    """So many at least are needed: things that share no set need one each."""
    count, used = 0, set[str]()
    for names in open_:
        if used.isdisjoint(names):
            used |= names
            count += 1
    return count


def _held(open_: Iterable[Sets]) -> Mapping[str, int]:
    held: dict[str, int] = {}
    for names in open_:
        for name in names:
            held[name] = held.get(name, 0) + 1
    return held
