"""A person's word in every loss there is: whatever is reached, named or answers, and whoever was primary.

The attested path has no nights of its own: it begins where etcd ends. Its decision needs none, because it is small
enough to be asked for all cases. What must hold of them is told here a second time, from the estate's file alone:

    nobody is overheard     while most members of etcd are reached, or anything that was named answers, nothing is done
    nobody is forgotten     whoever may be primary, or help to elect one, is reached or named, each and no other
    nothing is lost         without its name said once more, a survivor has everything that was acknowledged
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import combinations

import pytest

from binome.core import attested
from binome.core.attested import Proposal
from binome.core.database import DatabaseSeen
from binome.core.entry import Draft, seal
from binome.core.state import State
from tests.core.test_takeover import littoral
from tests.sim.mutant import Mutant, applied

ESTATE = littoral()
DATABASE, VOTERS, LOOKOUTS = (
    ("gra-db", "sbg-db"),
    ("gra-db", "sbg-db", "par-watch"),
    ("gra-edge", "sbg-edge", "par-watch"),
)
MATTERS = {*DATABASE, *VOTERS, *LOOKOUTS}
SERVERS = (*sorted(MATTERS), "gra-web")
KNOWN = [
    DatabaseSeen("database", primary, synchronous)
    for primary, other in (DATABASE, DATABASE[::-1])
    for synchronous in ((other,), ())
]


def subsets(names: Collection[str]) -> Iterator[frozenset[str]]:
    for count in range(len(names) + 1):
        yield from map(frozenset, combinations(sorted(names), count))


def mistakes() -> Iterator[str]:
    """What is decided that must not be, over all cases."""
    for seen in KNOWN:
        state = State()
        for entry in seal([Draft("seen", 1, "test", seen)], state.head, 1):
            state.apply(entry)
        for reached in subsets(SERVERS):
            found = attested.proposal(ESTATE, state, "database", reached, led=False)
            if isinstance(found, Proposal):
                yield from _of(found, seen, reached)
            elif 1 <= sum(one in reached for one in VOTERS) < 2 and reached & set(DATABASE):
                yield f"{sorted(reached)} could go on, and may not: {found}"


def _of(found: Proposal, seen: DatabaseSeen, reached: frozenset[str]) -> Iterator[str]:
    named = {server for servers in found.lost.values() for server in servers}
    if sum(one in reached for one in VOTERS) * 2 > len(VOTERS):
        yield f"most of etcd is reached by {sorted(reached)}"
    if not MATTERS - reached <= named or named & reached:
        yield f"{sorted(reached)} and {sorted(named)} are not all that matters, once each"
    if found.survivor not in reached or found.survivor not in DATABASE:
        yield f"{found.survivor} goes on, which is not reached"
    for names in subsets(found.lost):
        for answering in subsets(MATTERS & named):
            for accepts_loss in (False, True):
                taken = attested.objection(found, names, answering, accepts_loss=accepts_loss) is None
                if taken and (answering or names != set(found.lost)):
                    yield f"{sorted(names)} is taken for {sorted(found.lost)}, while {sorted(answering)} answer"
                if taken and not accepts_loss and found.survivor not in (seen.primary, *seen.synchronous):
                    yield f"{found.survivor} goes on with less than was acknowledged, and nobody said so"
                if not taken and not answering and names == set(found.lost) and accepts_loss:
                    yield f"{sorted(names)} is all that there is to say, and is not taken"


def test_in_every_loss_a_persons_word_is_taken_where_it_is_right_and_nowhere_else() -> None:
    assert list(mistakes()) == []


@pytest.mark.parametrize(
    "mutant",
    [
        Mutant("half of etcd is enough", attested.proposal, "if len(left) > len(voters) // 2:", "if False:", 0),
        Mutant(
            "lookouts need not be named",
            attested.proposal,
            "(*service.on, *voters, *lookouts)",
            "(*service.on, *voters)",
            0,
        ),
        Mutant("a survivor that nobody reaches", attested._survivor, "if one in reached", "if True", 0),
        Mutant("anybody has everything", attested.proposal, "or survivor in known.synchronous", "or True", 0),
        Mutant(
            "a part of the names",
            attested.objection,
            "set(names) != set(asked.lost)",
            "not set(names) <= set(asked.lost)",
            0,
        ),
        Mutant("what answers is overheard", attested.objection, "if answering:", "if False:", 0),
        Mutant("a loss is accepted unsaid", attested.objection, "not asked.whole and not accepts_loss", "False", 0),
        Mutant("no word is taken", attested.objection, "if answering:", "if True:", 0),
    ],
    ids=lambda mutant: mutant.what,
)
def test_each_mistake_in_the_decision_shows(mutant: Mutant) -> None:
    with applied(mutant):
        assert next(mistakes(), None) is not None
