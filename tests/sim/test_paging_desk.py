"""Nights of paging from the desk on: what breaks is paged by whoever lives, led or not, once, and until it is over."""

from __future__ import annotations

from collections import Counter

import pytest

from binome.core.alarm import INCIDENT, NOBODY, RESOLVED
from binome.core.incident import IncidentAcknowledged, Resolved
from binome.runtime.desk import Desk
from binome.sim.paging import NAMES
from binome.sim.paging_desk import DeskWorld, drawn
from tests.sim.mutants import Mutant, applied

NIGHTS = 12
MUTANTS = [
    Mutant(
        "what was paged alone is paged again under its number",
        Desk._adopt,
        "if same and incident.episode not in self._known_as:",
        "if False:",
        12,
    ),
    Mutant(
        "what is over goes on asking",
        Desk._end,
        "self.pager.over(cause, episode)",
        "pass",
        12,
    ),
    Mutant(
        "an alarm that is only noted",
        Desk._tell,
        "self.pager.want(alarm.page)",
        "pass",
        3,
    ),
    # Mistakes that were there, until the simulation showed them.
    Mutant(
        "who acknowledges one page has acknowledged what was not sent yet",
        Desk._acknowledge,
        "paged.page.id in one.acknowledged or paged.wanted.at_ms <= one.acknowledged_ms",
        "one.acknowledged_by",
        6,
    ),
    Mutant(
        "a part of what was told is told anew while nobody leads",
        Desk._see_alone,
        " and not any(scope.issuperset(one.targets) for scope in scopes)",
        "",
        12,
    ),
]


def night(seed: int) -> DeskWorld:
    """The night of a seed; in every third one lookout is left, and it is the last in line."""
    return DeskWorld(f"desk/{seed}", drawn(f"desk/{seed}"), alive=("par",) if seed % 3 == 0 else NAMES)


def broken(seed: int) -> list[str]:
    return [f"{one.invariant}: {one.what}" for one in night(seed).play()]


def test_a_quiet_night_pages_each_incident_once_and_its_end() -> None:
    world = DeskWorld("desk/quiet", [])
    assert world.play() == []
    steps = Counter((step, one.person, one.via) for one in world.history.delivered for step in one.steps)
    assert max(steps.values()) == 1
    pages = Counter((said.cause, said.stage) for _, said in world.history.wanted.values())
    resolved = sum(one.why == Resolved.UP_AGAIN for one in world.state.incident.all.values())
    assert {cause for cause, _ in pages} == {INCIDENT}
    assert pages[INCIDENT, RESOLVED] == resolved > 0
    assert pages[INCIDENT, "opened"] == len(world.state.incident.all) >= 5
    assert pages[INCIDENT, "now/site/site-0"] + pages[INCIDENT, "now/site/site-1"] > 0, "what turns out wider is said"
    acknowledged = {one.number for one in world.state.incident.all.values() if one.acknowledged_by}
    assert acknowledged <= {world.numbers[page] for page in world.history.acknowledged}, "but for what was over by then"
    assert acknowledged


def test_bad_nights_break_nothing_and_meet_what_they_are_for() -> None:
    met: Counter[str] = Counter()
    for seed in range(1, NIGHTS + 1):
        world = night(seed)
        assert world.play() == [], f"again: night({seed}).play()"
        met.update(said.cause for _, said in world.history.wanted.values())
        met.update("unconfirmed" for _, said in world.history.wanted.values() if said.what.startswith("Unconfirmed"))
        met.update("lives" for lives in world._lives.values() if lives > 1)
    assert met[INCIDENT] > 50
    assert min(met[NOBODY], met["unconfirmed"], met["lives"]) > 3, met


def test_the_journal_knows_of_no_acknowledgement_that_nobody_gave() -> None:
    world = night(1)
    world.play()
    given = [
        moment.fact
        for one in world.state.incident.all.values()
        for moment in one.moments()
        if isinstance(moment.fact, IncidentAcknowledged)
    ]
    assert given
    assert {fact.page for fact in given} <= world.history.answered


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_mistake_is_found(mutant: Mutant) -> None:
    with applied(mutant):
        for seed in range(1, mutant.within + 1):
            found = broken(seed)
            if found:
                print(f"{mutant.what:<56} night {seed:>2}: {found[0][:90]}")  # noqa: T201
                return
    pytest.fail(f"not found in {mutant.within} nights")
