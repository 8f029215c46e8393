"""What check foretells of a loss is held against what was seen of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from binome.analysis.outcome import Detail, Outcome, Platform
from binome.estate import load
from binome.lab.foretold import (
    Answer,
    Burn,
    Cell,
    Fate,
    cells,
    distinct,
    fate,
    foretold,
    in_turn,
    judge,
    measured,
    measures,
    outage_s,
)
from tests.lab.conftest import LITTORAL

BEFORE = Path(__file__).parents[2] / "examples" / "before-the-fire" / "estate.yaml"


def platform(path: Path = LITTORAL) -> Platform:
    return Platform(load(path.read_bytes()))


def burn_of(on: Platform, *names: str, **changes: Any) -> Burn:
    """A loss that everything went on after, 4 s for writes and 0.9 s for pages."""
    lost = on.domains.lost(names)
    servers = tuple(one for one in on.estate.servers if one in lost)
    working = {name: [one for one in s.on if one not in lost] for name, s in on.estate.services.items()}
    outages = {"write": 4.0, "read": 0.3, "web": 0.9}
    burn = Burn(servers, "gra-db", 12.0, outages, (), working, 1000, 0, 0, 20.0, 1.0, "2026-11-24")
    return replace(burn, **changes)


def answered(on: Platform, *names: str, product: str = "campaigns", **changes: Any) -> tuple[Fate, Answer]:
    (said,) = foretold(on, [names])
    burn, how = burn_of(on, *names, **changes), measures(on)[product]
    seen = fate(on, how, burn)
    return seen, judge(said[product], how, seen, burn)


def test_every_loss_that_check_tries_is_a_cell_and_those_of_the_same_servers_are_one_burn() -> None:
    on = platform()
    some = cells(on, pairs=True)
    assert {one.loss for one in some} >= {("ovh",), ("sbg-2",), ("maps",), ("gra-db",), ("gravelines", "paris")}
    assert {one.loss[0]: one.not_built for one in some if one.not_built} == {
        "names-r-us": "the lab builds no names",
        **dict.fromkeys(
            ("alpha", "beta", "relay-1", "relay-2", "gamma", "delta", "maps", "lists-1", "lists-2"),
            "the lab builds no links",
        ),
    }
    burned = [one.loss for one in distinct(some)]
    assert ("gra",) in burned
    assert ("gravelines",) not in burned, "the region has no other site"
    assert len({one.servers for one in distinct(some)}) == len(burned)
    assert not [one for one in cells(on, pairs=False) if len(one.loss) > 1]


def test_a_product_is_measured_over_what_is_built_of_its_needs_and_says_without_what() -> None:
    how = measures(platform())["campaigns"]
    assert how.operations == ("write", "read", "web")
    assert how.over == ("edge", "web", "database", "coordination")
    assert how.without == ("sms", "email", "voice", "contact-rental")


def test_what_is_not_built_is_left_out_of_what_was_foretold() -> None:
    (said,) = foretold(platform(), [("names-r-us",)])
    assert said["campaigns"].outcome is Outcome.UP, "check says manual: nobody finds the edges"


@pytest.mark.parametrize(
    ("names", "changes", "seen", "answer"),
    [
        (("gra-db",), {}, Fate.UP, Answer.AGREES),
        (("gra-db",), {"lost": 2}, Fate.UP, Answer.LOSES),
        (("gra-db",), {"double_primary": 1}, Fate.UP, Answer.DOUBLED),
        (("gra-db",), {"outage_s": {"write": 9.1, "read": 0, "web": 0}}, Fate.UP, Answer.LONGER),
        (("gra-db",), {"outage_s": {"write": 8.9, "read": 0, "web": 0}}, Fate.UP, Answer.AGREES),
        (("gra-db",), {"outage_s": {"write": 2.2, "read": 0, "web": 0}}, Fate.UP, Answer.SHORTER),
        (("gra-db",), {"down": ("write",)}, Fate.MANUAL, Answer.OUTCOME),
        (("par-watch",), {"outage_s": {"write": 1.9, "read": 0, "web": 0}}, Fate.UP, Answer.AGREES),
        (("par-watch",), {"outage_s": {"write": 2.1, "read": 0, "web": 0}}, Fate.UP, Answer.LONGER),
        (("gravelines", "paris"), {"down": ("write",)}, Fate.MANUAL, Answer.AGREES),
        (("gravelines", "paris"), {}, Fate.DEGRADED, Answer.OUTCOME),
        (("ovh",), {"down": ("write", "read", "web")}, Fate.LOST, Answer.AGREES),
    ],
)
def test_what_was_seen_is_held_against_what_was_foretold(
    names: tuple[str, ...], changes: dict[str, Any], seen: Fate, answer: Answer
) -> None:
    assert answered(platform(), *names, **changes) == (seen, answer)


def test_a_spare_tells_what_goes_on_from_what_is_degraded() -> None:
    on = platform(BEFORE)
    assert answered(on, "gra-edge")[0] is Fate.UP
    assert answered(on, "gravelines", "paris", outage_s={"write": 1, "read": 0, "web": 1}) == (
        Fate.DEGRADED,
        Answer.AGREES,
    )


def test_edges_without_a_member_wait_for_a_person_who_has_a_spare_and_are_lost_without() -> None:
    on, down = platform(BEFORE), ("write", "read", "web")
    assert answered(on, "gra-edge", "sbg-edge", down=down) == (Fate.MANUAL, Answer.AGREES)
    assert answered(on, "gra-edge", "sbg-edge", "par-small", down=down) == (Fate.LOST, Answer.AGREES)


def test_what_nobody_knows_agrees_with_any_outage() -> None:
    on = platform()
    how, burn = measures(on)["campaigns"], burn_of(on, "gra-db")
    assert judge(Detail(()), how, Fate.UP, burn) is Answer.LONGER, "nothing was said to happen"
    assert outage_s(how, burn) == 4.0


def test_the_longest_takeover_is_measured_of_each_service_alone() -> None:
    on = platform()
    some = [
        burn_of(on, "gra-db"),
        burn_of(on, "sbg-db", outage_s={"write": 5.0, "read": 6.0, "web": 9.0}),
        burn_of(on, "gra-web", outage_s={"write": 9.0, "read": 9.0, "web": 0.7}),
        burn_of(on, "gravelines", "paris", down=("write", "read"), outage_s={"write": 40, "read": 40, "web": 0.9}),
        burn_of(on, "sbg-web", down=("web",), outage_s={"write": 0, "read": 0, "web": 40}),  # it never came back
        burn_of(on, "gra-db", "gra-edge", "sbg-edge", outage_s={"write": 24, "read": 0, "web": 0}),  # nobody hastens it
    ]
    assert measured(on, some) == {
        "services": {"database": {"takeover_s": 6.0}, "web": {"takeover_s": 0.9}, "edge": {"takeover_s": 0.9}}
    }


def test_the_next_loss_is_one_that_needs_nobody_to_move_and_the_last_one_the_lab_does_not_come_back_from() -> None:
    def cell(*servers: str) -> Cell:
        return Cell(servers, "server", servers)

    gra, sbg, web, both = cell("gra-db"), cell("sbg-db"), cell("web"), cell("gra-db", "sbg-db")
    left, order = [both, web, sbg, gra], []
    while left:
        order.append(in_turn(left, "gra-db", ("gra-db", "sbg-db"), {both}))
        left.remove(order[-1])
    assert order == [gra, web, sbg, both]
