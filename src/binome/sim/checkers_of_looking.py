"""I5 and I16 for what is looked at, from the history alone.

What a lookout may say of a target follows from its own looks since its start: down after `fall` of them in a row, up
after `rise`. The rest of the rules (flapping, silence, doubt) only make it say less. So whatever is agreed must be
covered by such words in more than half of all places that lookouts were put in; two in one place count once.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from binome.sim.history import Agreed, Decided, Event, Killed, Looked, Watched

STALE_S = 3.0
"""A word may be so old when it is decided on: under way, or not yet missed."""


class _Words:
    """What each lookout may say of each target, and until when it might have said something else before."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._rows: dict[tuple[str, str], tuple[str, int]] = {}
        self._word: dict[tuple[str, str], str] = {}
        self._until_s: dict[tuple[str, str, str], float] = {}  # words that were taken back, and when

    def ended(self, node: str, at_s: float) -> None:
        """A lookout's life has ended: it says nothing, and the next one begins with nothing."""
        for key in [key for key in self._word if key[0] == node]:
            self._until_s[(*key, self._word.pop(key))] = at_s
        self._rows = {key: row for key, row in self._rows.items() if key[0] != node}

    def looked(self, one: Looked, at_s: float) -> None:
        """A look has ended; one that is unsure is no answer."""
        key, (answer, length) = (one.node, one.target), self._rows.get((one.node, one.target), ("", 0))
        if one.answer not in ("up", "down"):
            return
        length = length + 1 if one.answer == answer else 1
        self._rows[key] = (one.answer, length)
        before = self._word.get(key)
        if length >= (self._watched.fall if one.answer == "down" else self._watched.rise) and before != one.answer:
            if before is not None:
                self._until_s[(*key, before)] = at_s
            self._word[key] = one.answer

    def places(self, target: str, verdict: str, at_s: float) -> list[str]:
        """The places in which somebody could say this of a target at that time."""
        return [
            place
            for place, names in self._watched.groups.items()
            if any(self._could(name, target, verdict, at_s) for name in names)
        ]

    def _could(self, name: str, target: str, verdict: str, at_s: float) -> bool:
        if self._word.get((name, target)) == verdict:
            return True
        return at_s - self._until_s.get((name, target, verdict), float("-inf")) <= STALE_S


def verdicts(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """I5: what is agreed of a target was said by a majority of all places, from own looks."""
    words: _Words | None = None
    watched = Watched({}, (), 0, 0)
    proposed: dict[str, list[tuple[str, str]]] = {}  # draft → what could not be said when it was decided
    for at_s, event in events:
        match event:
            case Watched():
                words, watched = _Words(event), event
            case Killed(node) if words is not None:
                words.ended(node, at_s)
            case Looked() if words is not None:
                words.looked(event, at_s)
            case Decided(_, ids) if words is not None and any("/verdicts" in name for name in ids):
                unfounded = [
                    (target, verdict)
                    for target in watched.targets
                    for verdict in ("down", "up")
                    if len(words.places(target, verdict, at_s)) * 2 <= len(watched.groups)
                ]
                proposed |= dict.fromkeys(ids, unfounded)
            case Agreed(_, entries):
                for entry in entries:
                    fact = msgspec.json.decode(entry.fact)
                    if fact["kind"] != "verdicts-agreed":
                        continue
                    for target, agreed in fact["verdicts"].items():
                        if (target, agreed[0]) in proposed.get(entry.id, ()):
                            yield at_s, f"{target} was agreed to be {agreed[0]}, and no majority could say so"
