"""Who is paged when a data centre burns: real lookouts, real protocols, providers outside of every site.

The example's estate, with the times between routes and people made short, and a person for each fire: a number gets one
message a minute. The fires share one lab, and each burns what no fire before it has burned, so that each is an incident
of its own; the last one takes etcd along, and leaves nobody to lead.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from binome.core.paging import BUDGET_MS
from binome.lab.lab import Lab
from binome.lab.outside import Page
from tests.lab.conftest import LITTORAL
from tests.lab.test_lab_lookouts import Lookouts

pytestmark = pytest.mark.lab
NEXT_ROUTE_S = 6.0
NEXT_PERSON_S = 12.0
MOST = 5
"""So many messages a person gets about one fire from first to last."""


def estate() -> bytes:
    """The example with short times, one person whose turn it is, and others who take it over."""
    text = LITTORAL.read_text()
    for old, new in (
        ("{via: mail, after: 2m}", f"{{via: mail, after: {NEXT_ROUTE_S:.0f}s}}"),
        ("  response: 15m", f"  escalate_after: {NEXT_PERSON_S:.0f}s\n  response: 15m"),
        ("weekly: [ops-1, ops-2, ops-3]", "weekly: [ops-1]"),
        ("    ops-3:", "".join(f'    ops-{n}: {{email: ops-{n}@x.example, sms: "+3360000000{n}"}}\n' for n in (4, 5, 6))
         + "    ops-3:"),
    ):  # fmt: skip
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text.encode()


ESTATE = estate()


class Story(NamedTuple):
    """What a fire led to: pages with their times in seconds after it."""

    faulted_s: float
    pages: tuple[Page, ...]

    def first(self, to: str, via: str = "") -> Page:
        return next(one for one in self.pages if one.to == to and via in ("", one.via))


class Paged:
    """The lab, and who was paged since a fire."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.lookouts = Lookouts(lab)
        self.faulted_s = time.monotonic()

    def on_call(self, person: str, via: str = "par-watch") -> None:
        said = self.lookouts.command(via, "override", person, "--for", "1h")
        assert said.returncode == 0, said.stderr

    def incidents(self, via: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.lookouts.command(via, "incidents", "--json").stdout)["incidents"]
        return found

    def all_over(self) -> None:
        """No incident is open any more."""
        self.lab.wait_for(
            lambda: [f"{one['cause']} to end" for one in self.incidents("par-watch") if one["state"] != "resolved"],
            "every incident",
            90,
        )

    def free(self, person: str) -> None:
        """The person's number has got no message for a minute."""
        self.lab.wait_for(
            lambda: [
                f"a minute after {one.text}"
                for one in self.lab.outside.pages()
                if (one.to, one.via) == (person, "sms-gateway") and one.at_s > time.monotonic() - BUDGET_MS / 1000
            ],
            person,
            90,
        )

    def pages(self) -> tuple[Page, ...]:
        """What was accepted since the fire, with times from it."""
        found = (one._replace(at_s=one.at_s - self.faulted_s) for one in self.lab.outside.pages())
        return tuple(one for one in found if one.at_s >= 0)

    def until_paged(self, to: str = "", via: str = "", words: str = "", timeout_s: float = 60) -> Page:
        """The first page to somebody since the fire that has these words."""

        def found() -> list[Page]:
            return [one for one in self.pages() if to in ("", one.to) and via in ("", one.via) and words in one.text]

        self.lab.wait_for(lambda: [] if found() else [f"has {self.pages()}"], f"a page to {to} by {via}", timeout_s)
        print(f"{found()[0].at_s:+.2f} s  {found()[0].to} {found()[0].via} {found()[0].text}")  # noqa: T201
        return found()[0]

    def acknowledge(self, site: str, via: str) -> None:
        """Somebody sees to the open incident of a site."""
        (number,) = (
            one["incident"]
            for one in self.incidents(via)
            if one["cause"] == f"site/{site}" and one["state"] != "resolved"
        )
        said = self.lookouts.command(via, "ack", str(number))
        assert said.returncode == 0, said.stderr

    @contextmanager
    def burning(self, site: str) -> Iterator[None]:
        """A site burns, and is rebuilt whatever came of it."""
        self.faulted_s = time.monotonic()
        self.lab.burn(site)
        try:
            yield
        finally:
            self.lab.rebuild(site)

    def story(self) -> Story:
        return Story(self.faulted_s, self.pages())


@pytest.fixture(scope="module")
def paged(lab: Lab) -> Paged:
    return Paged(lab)


@pytest.fixture(scope="module")
def strasbourg(paged: Paged) -> Story:
    """Strasbourg burns, the person on call sleeps, the next one is on it; and it is rebuilt."""
    with paged.burning("strasbourg"):
        paged.until_paged("ops-1", "sms-gateway")
        paged.until_paged("ops-1", "mail")
        paged.until_paged("ops-2", "sms-gateway")
        paged.acknowledge("strasbourg", "par-watch")
    return paged.story()


def messages(pages: tuple[Page, ...]) -> Counter[str]:
    return Counter(one.to for one in pages)


def test_a_site_burns_and_is_one_incident_and_one_page(strasbourg: Story, paged: Paged) -> None:
    first = strasbourg.pages[0]
    assert (first.to, first.via) == ("ops-1", "sms-gateway")
    assert first.at_s <= 10
    assert first.text.startswith("[littoral 1] Site strasbourg lost since ")
    assert len(paged.incidents("par-watch")) == 1, "also once the site is back, and its lookout not yet"


def test_a_person_who_does_not_answer_is_asked_by_mail_and_then_the_next_one(strasbourg: Story) -> None:
    first = strasbourg.first("ops-1")
    mail, other = strasbourg.first("ops-1", "mail"), strasbourg.first("ops-2")
    assert mail.at_s - first.at_s == pytest.approx(NEXT_ROUTE_S, abs=3)
    assert other.at_s - first.at_s == pytest.approx(NEXT_PERSON_S, abs=3)
    assert Counter((one.to, one.via) for one in strasbourg.pages).most_common(1)[0][1] == 1
    assert set(messages(strasbourg.pages)) == {"ops-1", "ops-2"}, "who acknowledged ended it"


def test_the_first_provider_burns_as_well(paged: Paged) -> None:
    paged.lab.wait_until_whole()
    paged.on_call("ops-3", "gra-edge")
    paged.lab.outside.silence("sms-gateway")
    with paged.burning("paris"):
        first = paged.until_paged("ops-3", timeout_s=120)
        paged.acknowledge("paris", "gra-edge")
        paged.lab.outside.restore("sms-gateway")
    assert first.via == "mail"
    assert "Site paris lost" in first.text
    assert set(messages(paged.pages())) == {"ops-3"}
    assert max(messages(paged.pages()).values()) <= 2


def test_the_site_of_the_lookout_that_pages_first_burns(paged: Paged) -> None:
    paged.lab.wait_until_whole()
    paged.on_call("ops-4")
    with paged.burning("gravelines"):
        first = paged.until_paged("ops-4")
        paged.acknowledge("gravelines", "par-watch")
    assert first.at_s <= 10
    assert "Site gravelines lost" in first.text
    assert max(messages(paged.pages()).values()) <= MOST, paged.pages()


def test_what_is_over_is_told_once_and_nobody_got_more_than_five_messages(strasbourg: Story, paged: Paged) -> None:
    paged.faulted_s = strasbourg.faulted_s
    over = "Over: Site strasbourg lost"
    paged.until_paged(words=over, timeout_s=90)
    assert len([one for one in paged.pages() if over in one.text]) == 1, paged.pages()
    assert max(messages(paged.pages()).values()) <= MOST, paged.pages()
    assert len(paged.incidents("par-watch")) == 3, "one for each fire"


def test_with_etcd_dead_the_page_goes_out_all_the_same(paged: Paged) -> None:
    """Every member of etcd ends while the site burns: before anybody has missed it."""
    paged.lab.wait_until_whole()
    paged.all_over()  # that it is over is told whoever is on call by then, and a number gets one message a minute
    paged.on_call("ops-5")
    paged.free("ops-5")
    paged.faulted_s = time.monotonic()
    paged.lab.burn("strasbourg")
    paged.lab.wait_for(lambda: [] if time.monotonic() > paged.faulted_s + 1 else ["a second"], "the fire", 2)
    for server in paged.lab.estate.services["coordination"].on:
        for pid in paged.lab.pids(server):
            if Path(f"/proc/{pid}/comm").read_text().strip() == "etcd":
                os.kill(pid, signal.SIGKILL)
    first = paged.until_paged("ops-5")
    paged.until_paged("ops-5", words="Unconfirmed: Site strasbourg lost")
    other = paged.until_paged("ops-1", words="Unconfirmed: Site strasbourg lost")
    assert first.at_s <= 10
    assert other.at_s - first.at_s == pytest.approx(NEXT_PERSON_S, abs=3)
    assert max(messages(paged.pages()).values()) <= MOST, paged.pages()
