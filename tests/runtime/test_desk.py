"""The desk of one lookout with its pager: what it says of the leading and of itself, and to whom that goes."""

from __future__ import annotations

import pytest

from binome.core.alarm import NOBODY, TROUBLE
from binome.core.incident import Silenced
from binome.core.paging_notes import Stage
from binome.core.scoping import graphs
from binome.core.state import State
from binome.core.verdict import Judged, Verdict
from binome.runtime.desk import LOOK_S, NOBODY_PAGED_S, SETTLED_S, TROUBLE_PAGED_S, Desk
from binome.sim.process import Clock
from tests.core.test_takeover import littoral
from tests.runtime.test_pager import Night


class Office:
    """A desk over a pager in virtual time. `leads` and `troubles` are the test's to change."""

    def __init__(self) -> None:
        self.night = Night(None)
        self.leads, self.troubles = True, ["etcd is slow"]
        self.troubles.clear()
        self.state = State()
        self.own: dict[str, Judged] = {}
        self.pager = self.night.begin()
        self.desk = Desk(
            littoral(),
            "gra-edge",
            self.pager,
            Clock(self.night.loop),
            state=lambda: self.state,
            led=lambda: self.leads,
            own=lambda: self.own,
            heard=lambda: ["sbg-edge", "par-watch"],
            troubles=lambda: self.troubles,
        )

    def after(self, seconds: float) -> None:
        for _ in range(round(seconds / LOOK_S)):
            self.night.after(LOOK_S)
            self.desk.look()
        self.night.after(LOOK_S)

    def texts(self, via: str = "sms") -> list[str]:
        return [one.sms for one in self.night.senders[via].given]

    def stages(self, cause: str) -> list[Stage]:
        return [one.stage for one in self.pager.state.pages.values() if one.page.cause == cause]


def test_nobody_leads_is_paged_after_half_a_minute_and_over_when_somebody_does() -> None:
    office = Office()
    office.after(5)
    office.leads = False
    office.after(NOBODY_PAGED_S - 1)
    assert office.texts() == []
    office.after(2)
    (text,) = office.texts()
    assert "[littoral] Nobody leads, or etcd has no majority since " in text
    assert "Nothing automatic. See: binome status. Ack: " in text
    office.after(20)
    assert len(office.texts()) == 1
    office.leads = True
    office.after(SETTLED_S - 1)
    assert office.stages(NOBODY) == [Stage.UNANSWERED], "who has just begun ends nothing"
    office.after(2)
    assert office.stages(NOBODY) == [Stage.TOLD]
    office.after(600)
    assert (len(office.texts()), office.texts("mail")) == (1, [])


def test_a_leader_that_is_away_for_a_moment_is_no_page() -> None:
    office = Office()
    for _ in range(4):
        office.leads = False
        office.after(NOBODY_PAGED_S - 5)
        office.leads = True
        office.after(1)
    assert office.texts() == []


def test_trouble_that_lasts_is_paged_once_a_day() -> None:
    office = Office()
    office.troubles.append("etcd is slow")
    office.after(TROUBLE_PAGED_S - 1)
    assert office.texts() == []
    office.after(2)
    (text,) = office.texts()
    assert "Lookout gra-edge has trouble since " in text and "etcd is slow" in text
    office.troubles.clear()
    office.after(SETTLED_S)
    assert office.stages(TROUBLE) == [Stage.TOLD]
    office.troubles.append("etcd is slow")
    office.after(TROUBLE_PAGED_S + 1)
    assert len(office.texts()) == 1


@pytest.mark.parametrize("acknowledged", [True, False])
def test_an_acknowledgement_at_the_desk_keeps_the_second_route_from_being_used(acknowledged: bool) -> None:
    office = Office()
    office.leads = False
    office.after(NOBODY_PAGED_S + 1)
    if acknowledged:
        assert office.desk.acknowledge("ops-1") == 1
    office.after(130)
    assert office.stages(NOBODY) == [Stage.ACKNOWLEDGED if acknowledged else Stage.UNANSWERED]
    assert len(office.texts("mail")) == (0 if acknowledged else 1)


@pytest.mark.parametrize("silenced", ["", "sbg-web", "web"])
def test_without_a_leader_a_silence_of_the_journal_still_keeps_pages_from_being_made(silenced: str) -> None:
    office = Office()
    for name in graphs.of(littoral()).targets:
        office.own[name] = Judged(Verdict.DOWN if "sbg-web" in name else Verdict.UP, 0)
    if silenced:
        office.state.incident.silenced[silenced] = Silenced(
            Clock(office.night.loop).now_ms() + 3_600_000, "disks", "ops-1"
        )
    office.leads = False
    office.after(NOBODY_PAGED_S + 2)
    unconfirmed = [text for text in office.texts() if "Unconfirmed" in text]
    assert bool(unconfirmed) == (silenced != "sbg-web"), unconfirmed
    assert len(office.stages(NOBODY)) == (silenced == "sbg-web"), "what is muted does not say that nobody leads"
