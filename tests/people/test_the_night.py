"""The night of 34 servers and 300 targets until its morning, whatever else is dead: the figures that are promised.

One incident; at most five messages for a person from first to last; the first page within 10 s where every target is
looked at each second, within 45 s where it is each ten seconds; a second route within two minutes; none lost. `pytest
-s` prints what was measured, for docs/pages.md.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from binome.ports import Message
from tests.people.stage import Night, Paged
from tests.people.test_nights import MOST, burns, ends, opened

FIRE_S = 2.0
"""When it burns: everything before is well."""
FIRST_PAGE_S = {"night": 10.0, "patient_night": 45.0}
SECOND_ROUTE_S = 120.0
NEXT_PERSON_S = 300.0


class Also(NamedTuple):
    """What else is dead in a night."""

    what: str
    etcd: bool = True
    site: str = "strasbourg"
    dead: tuple[str, ...] = ()
    burned: tuple[str, ...] = ()
    answers: bool = False  # after a minute


ALSO = [
    Also("nothing, and it is acknowledged", answers=True),
    Also("nobody answers"),
    Also("etcd is dead", etcd=False, answers=True),
    Also("etcd is dead, nobody answers", etcd=False),
    Also("the site of the first lookout", site="gravelines"),
    Also("the first provider burns", burned=("sms",)),
    Also("the first provider hangs", dead=("sms",)),
]


def sees_to_it(night: Night, after_s: float) -> None:
    """Whoever gets the first message acknowledges, a while later, everything that was paged until then."""

    def on_message(paged: Paged, _: Message) -> None:
        night.on_message = lambda _paged, _message: None
        night.loop.after(after_s, night.desks[paged.lookout].acknowledge, paged.to)

    night.on_message = on_message


@pytest.mark.parametrize("estate", FIRST_PAGE_S)
@pytest.mark.parametrize("also", ALSO, ids=lambda also: also.what)
def test_the_night_until_morning(estate: str, also: Also) -> None:
    night = Night(estate, dead_providers=also.dead, burned_providers=also.burned)
    if also.answers:
        sees_to_it(night, 60)
    night.until_s(FIRE_S)
    night.etcd = also.etcd
    burns(night, also.site, judged_s=25 if estate == "night" else 60)
    ends(night, also.site, judged_s=20 if estate == "night" else 60)
    first_s = min(one.at_s for one in night.paged) - FIRE_S
    most = max(night.messages().values())
    print(f"\n{estate:<13} {also.what:<33} {first_s:5.1f} s, {most} messages, {dict(night.messages())}")  # noqa: T201
    assert "ite " + also.site + " lost since" in night.paged[0].text
    assert opened(night) == ([1] if also.etcd else [])
    assert night.unheard() == []
    assert 0 < first_s <= (SECOND_ROUTE_S if also.dead else FIRST_PAGE_S[estate])
    assert night.first("ann", "mail" if also.dead or also.burned else "") - FIRE_S <= SECOND_ROUTE_S
    assert most <= MOST, night.messages()
    if also.answers:
        assert set(night.messages()) == {"ann"}
    else:
        for before, after in (("ann", "bob"), ("bob", "cyd")):
            assert night.first(after) - night.first(before) == pytest.approx(NEXT_PERSON_S, abs=20)
    assert {one.lookout for one in night.paged[:1]} == {"sbg-16" if also.site == "gravelines" else "gra-16"}
