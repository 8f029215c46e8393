"""The night of the fire, replayed for people: one incident, few messages, none lost, whatever else is dead."""

from __future__ import annotations

from collections import Counter

import pytest

from binome.core.incident import IncidentAcknowledged, IncidentOpened, IncidentResolved
from binome.ports import Message
from tests.people.stage import Night, Paged

MORNING_S = 3_600.0
"""All rounds of escalation are over long before; from there on nothing changes until morning."""
MOST = 5
"""So many messages a person gets from first to last, whatever happens."""


def burns(night: Night, site: str = "strasbourg", judged_s: float = 25) -> Night:
    """A site burns; everybody looks until it is known."""
    night.until_s(2)
    night.happens(["silence", site])
    night.until_s(judged_s)
    return night


def ends(night: Night, site: str = "strasbourg", judged_s: float = 20) -> None:
    """The site comes back in the morning, and stays; everybody looks until that is known."""
    night.sleeps_until_s(MORNING_S)
    night.happens(["restore", site])
    night.until_s(MORNING_S + judged_s)
    night.sleeps_until_s(MORNING_S + judged_s + 180)


def opened(night: Night) -> list[int]:
    return [fact.incident for fact in night.facts if isinstance(fact, IncidentOpened)]


def acknowledges(night: Night, after_s: float) -> None:
    """Whoever gets the first message uses its button."""
    answered: set[str] = set()

    def on_message(paged: Paged, message: Message) -> None:
        if not answered:
            answered.add(message.id)
            desk = night.desks[paged.lookout]
            pages = list(desk.pager.state.pages)
            night.loop.after(after_s, desk.pager.acknowledge, pages[0], paged.to, paged.via)

    night.on_message = on_message


def test_the_night_is_one_incident_and_two_messages() -> None:
    night = Night()
    acknowledges(night, 60)
    burns(night)
    assert 0 < night.first("ann") - 2 <= 10
    ends(night)
    assert opened(night) == [1]
    assert night.messages() == {"ann": 2}
    first, last = night.paged
    assert first.text.startswith("[littoral 1] Site strasbourg lost since ")
    assert last.text.startswith("[littoral 1] Over: Site strasbourg lost")
    assert any(isinstance(fact, IncidentAcknowledged) and fact.who == "ann" for fact in night.facts)
    assert any(isinstance(fact, IncidentResolved) for fact in night.facts)
    assert night.unheard() == []


def test_a_desk_at_rest_wakes_nobody_and_one_with_news_does() -> None:
    night = Night()
    night.until_s(20)
    assert night.nudged == Counter(), "nothing has happened"
    burns(night)
    night.nudged.clear()
    desk = night.desks[night.leader]
    assert desk.acknowledge("ann")
    desk.look()
    assert night.nudged == {night.leader: 1}, "that is to be recorded"
    night.until_s(30)
    night.nudged.clear()
    night.until_s(40)
    assert night.nudged == Counter(), "it was recorded, and that is that"


def test_nobody_answers_and_everybody_is_asked_in_turn() -> None:
    night = burns(Night())
    ends(night)
    assert opened(night) == [1]
    assert night.first("ann") - 2 <= 10
    assert night.first("bob") - night.first("ann") == pytest.approx(300, abs=10)
    assert night.first("cyd") - night.first("bob") == pytest.approx(300, abs=10)
    assert max(night.messages().values()) <= MOST, night.messages()
    assert night.unheard() == []


@pytest.mark.parametrize("back_s", [None, 600.0])
def test_with_etcd_dead_every_lookout_pages_what_it_sees(back_s: float | None) -> None:
    night = Night(etcd=False)
    acknowledges(night, 60)
    burns(night)
    assert 0 < night.first("ann") - 2 <= 12
    assert night.paged[0].text.startswith("[littoral] Unconfirmed: Site strasbourg lost since ")
    if back_s is not None:
        night.sleeps_until_s(back_s)
        night.etcd = True
        night.until_s(back_s + 30)
        assert opened(night) == [1]
    before = len(night.paged)
    night.sleeps_until_s(MORNING_S)
    assert len(night.paged) == before, "a leader that comes back must not page the same again"
    assert max(night.messages().values()) <= MOST
    assert night.unheard() == []


def test_the_site_of_the_lookout_that_pages_first_burns() -> None:
    night = Night()
    acknowledges(night, 60)
    burns(night, "gravelines")
    assert {one.lookout for one in night.paged} == {"sbg-16"}
    assert night.first("ann") - 2 <= 10
    ends(night, "gravelines")
    assert opened(night) == [1]
    assert max(night.messages().values()) <= MOST


def test_the_first_provider_is_dead_too() -> None:
    night = Night(dead_providers=("sms",))
    burns(night)
    night.sleeps_until_s(400)
    assert night.first("ann", "mail") - 2 <= 120
    assert night.unheard() == []


def test_etcd_and_two_of_three_lookouts_are_dead() -> None:
    night = Night(etcd=False)
    night.until_s(2)
    night.happens(["silence", "strasbourg"])
    night.happens(["silence", "par-watch"])
    night.until_s(30)
    assert {one.lookout for one in night.paged} == {"gra-16"}
    assert "Site strasbourg lost" in night.paged[0].text


def test_a_leader_that_names_it_otherwise_pages_nobody_again() -> None:
    night = Night()
    night.until_s(2)
    night.happens(["silence", "sbg-05"])
    night.until_s(12)
    assert [one.text[:32] for one in night.paged] == ["[littoral 1] Server sbg-05 down "]
    night.etcd = False
    night.happens(["silence", "strasbourg"])
    night.until_s(80)
    assert "Unconfirmed: Site strasbourg lost" in night.paged[-1].text
    night.etcd = True
    night.until_s(100)
    assert opened(night) == [1]
    night.sleeps_until_s(200)
    assert [one.to for one in night.paged if one.via == "sms"] == ["ann", "ann"]


def test_what_is_over_asks_nobody_else() -> None:
    night = burns(Night())
    night.happens(["restore", "strasbourg"])
    night.until_s(45)
    night.sleeps_until_s(900)
    assert {one.to for one in night.paged if "lost since" in one.text} == {"ann"}
    assert night.paged[-1].text.startswith("[littoral 1] Over: ")
