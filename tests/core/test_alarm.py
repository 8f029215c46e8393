"""What people are paged about besides incidents: takeovers, plans, databases that are alone; and what the pages say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from binome.core.alarm import ALONE, ALONE_MS, INCIDENT, PLAN, WANTED, Alarm, alarms, nobody_leads_page
from binome.core.causes import Kind
from binome.core.database import DatabaseSeen
from binome.core.entry import Draft
from binome.core.incident import IncidentOpened, SilenceAsked
from binome.core.page import Severity, fits, text_of
from binome.core.scope import Cause, Confidence, Manner, ScopeOpened
from binome.core.silence import SiteHeard, SiteSilent
from binome.core.takeover import Refused, TakeoverAsked, TakeoverWanted
from binome.estate import load
from tests.core.test_takeover import BEGIN_MS, BURNS, SEEN, TEXT, Night, burned, littoral

PARIS = ZoneInfo("Europe/Paris")
UNCONFIRMED = SiteSilent("strasbourg", 2_000, ("gra-edge",), confirmed=False)
LINK = "https://watch.example/a/" + "k3J9_-" * 4 + "abc"


def paged(night: Night, cause: str) -> list[Alarm]:
    return [one for one in alarms(night.estate, night.state, night.now_ms, {}) if one.page.cause == cause]


def sms(alarm: Alarm, link: str = "") -> str:
    text = text_of([alarm.page], PARIS, link).sms
    assert fits(text)
    return text


@pytest.mark.parametrize(
    ("why", "night"),
    [
        (Refused.MANUAL, lambda: burned(littoral(takeover="manual"))),
        (Refused.NOT_SYNCHRONOUS, lambda: burned_with(DatabaseSeen("database", "sbg-db", ()))),
        (Refused.LAG, lambda: burned(littoral(replication="asynchronous"))),
        (Refused.NOT_AGREED, lambda: burned_with(SEEN, UNCONFIRMED)),
    ],
)
def test_a_takeover_that_is_refused_is_paged_with_the_reason_while_the_loss_lasts(
    why: Refused, night: Callable[[], Night]
) -> None:
    one = night()
    (alarm,) = paged(one, WANTED)
    assert (alarm.page.severity, alarm.muted) == (Severity.CRITICAL, False)
    text = sms(alarm)
    assert text.startswith("[littoral] database is down: strasbourg lost since ")
    assert f"No takeover: {why.value}. You decide." in text
    one.pass_(600)
    (again,) = paged(one, WANTED)
    assert (again.page.id, again.page.since_ms) == (alarm.page.id, alarm.page.since_ms), "it is one page, however long"
    one.happens(SiteHeard("strasbourg"))
    assert paged(one, WANTED) == []


def burned_with(*facts: DatabaseSeen | SiteSilent) -> Night:
    night = Night(None, *facts)
    if not any(isinstance(fact, SiteSilent) for fact in facts):
        night.happens(BURNS)
    return night


def test_a_takeover_to_confirm_is_paged_with_the_whole_command() -> None:
    night = burned(littoral(takeover="confirm"))
    (wanted,) = [fact for fact in night.facts if isinstance(fact, TakeoverWanted)]
    (alarm,) = paged(night, WANTED)
    assert "gra-db can take over. " in sms(alarm)
    for link in ("", LINK):
        assert f"Confirm: binome takeover database --code {wanted.code}." in sms(alarm, link)
    night.happens(TakeoverAsked("r", "database", "ops-1", wanted.code))
    assert paged(night, WANTED) == []


def test_a_command_is_whole_however_long_all_else_is() -> None:
    (alarm,) = paged(burned(littoral(takeover="confirm")), WANTED)
    page = msgspec.structs.replace(alarm.page, what="A database of a very long name " * 9, doing="z" * 99)
    assert page.asked in text_of([page], PARIS, LINK).sms
    halved = msgspec.structs.replace(page, exact=False)
    assert page.asked not in text_of([halved], PARIS, LINK).sms


@pytest.mark.parametrize("reason", ["takeover: shadow", "maintenance"])
def test_what_people_know_already_is_not_paged(reason: str) -> None:
    if reason == "maintenance":
        night = Night(None, SEEN)
        night.happens(SilenceAsked("r", "database", BEGIN_MS + 60_000, "a drill", "ops-1"))
        night.estate = littoral(takeover="manual")
        night.happens(BURNS)
        (alarm,) = paged(night, WANTED)
        assert alarm.muted
        night.pass_(61)
        (alarm,) = paged(night, WANTED)
        assert not alarm.muted
    else:
        assert paged(burned(littoral(takeover="shadow")), WANTED) == []


def test_a_plan_that_needs_a_person_is_paged_with_its_trouble() -> None:
    night = Night(None, SEEN)
    night.answer = lambda command: "unknown" if command.verb == "database.takeover" else "done"
    night.happens(BURNS)
    for _ in range(40):
        night.pass_(60)
    (plan,) = [one for one in night.state.plans.values() if one.state == "needs-person"]
    (alarm,) = paged(night, PLAN)
    assert alarm.page.severity is Severity.CRITICAL
    assert alarm.page.detail == plan.trouble != ""
    text = sms(alarm)
    assert text.startswith("[littoral] takeover of database needs a person since ")
    assert text.endswith("See: binome plan list.")


def test_a_database_that_is_alone_for_a_minute_is_paged_unless_an_incident_says_so() -> None:
    night = Night(None, SEEN)
    night.happens(DatabaseSeen("database", "sbg-db", ()))
    assert paged(night, ALONE) == []
    night.now_ms += ALONE_MS - 1
    assert paged(night, ALONE) == []
    night.now_ms += 1
    (alarm,) = paged(night, ALONE)
    assert alarm.page.severity is Severity.WARNING
    assert sms(alarm).startswith("[littoral] database is alone: sbg-db has no synchronous standby since ")
    assert sms(alarm).endswith("The next loss would take data with it. Rebuild its standby.")
    lost = Cause(Kind.SERVER, "gra-db", Manner.LOST, BEGIN_MS, 2, 2, ("par-watch", "sbg-edge"), Confidence.CONFIRMED)
    night.append([Draft("t/1", night.now_ms, "test", ScopeOpened("server/gra-db/1", lost, ()))])
    night.append([Draft("t/2", night.now_ms, "test", IncidentOpened(1, "server/gra-db/1"))])
    assert paged(night, ALONE) == []
    (incident,) = paged(night, INCIDENT)
    assert "Alone now: database" in incident.page.doing
    night.append([Draft("t/3", night.now_ms, "test", DatabaseSeen("database", "sbg-db", ("gra-db",)))])
    assert "Alone now" not in paged(night, INCIDENT)[0].page.doing


def test_a_database_that_was_never_to_have_a_partner_is_not_alone() -> None:
    night = Night(littoral(replication="asynchronous"), DatabaseSeen("database", "sbg-db", ()))
    night.now_ms += 2 * ALONE_MS
    assert paged(night, ALONE) == []


def test_that_nobody_leads_is_one_page_at_every_lookout_with_the_same_journal() -> None:
    estate = load(TEXT.encode())
    pages = [nobody_leads_page(estate, 7, since_ms) for since_ms in (BEGIN_MS, BEGIN_MS + 900)]
    assert pages[0].id == pages[1].id != nobody_leads_page(estate, 8, BEGIN_MS).id
    text = text_of(pages[:1], PARIS, "").sms
    assert text.startswith("[littoral] Nobody leads, or etcd has no majority since ")
    assert text.endswith("Nothing automatic. See: binome status.")


@pytest.mark.parametrize(
    ("silenced", "muted"),
    [
        (("campaigns",), False),
        (("campaigns", "website"), False),
        (("campaigns", "shop-presence", "website"), True),
        (("web",), False),
        (("gra-web",), True),
    ],
)
def test_a_silence_of_a_product_covers_what_no_other_product_needs(silenced: tuple[str, ...], muted: bool) -> None:
    lost = Cause(Kind.SERVER, "gra-web", Manner.LOST, BEGIN_MS, 2, 2, ("par-watch", "sbg-edge"), Confidence.CONFIRMED)
    night = Night(littoral(takeover="manual"), SEEN)
    for number, name in enumerate(silenced):
        night.happens(SilenceAsked(f"r{number}", name, BEGIN_MS + 60_000, "a move", "ops-1"))
    night.append([Draft("t/1", night.now_ms, "test", ScopeOpened("server/gra-web/1", lost, ()))])
    night.append([Draft("t/2", night.now_ms, "test", IncidentOpened(1, "server/gra-web/1"))])
    assert [one.muted for one in paged(night, INCIDENT)] == [muted]
    night.now_ms += 60_001
    assert [one.muted for one in paged(night, INCIDENT)] == [False], "a silence ends by itself"


@pytest.mark.parametrize(
    ("silenced", "muted"), [(("campaigns",), False), (("campaigns", "shop-presence", "website"), True)]
)
def test_a_silence_of_all_products_of_a_database_covers_its_takeover(silenced: tuple[str, ...], muted: bool) -> None:
    night = Night(littoral(takeover="manual"), SEEN)
    for number, name in enumerate(silenced):
        night.happens(SilenceAsked(f"r{number}", name, BEGIN_MS + 60_000, "a move", "ops-1"))
    night.happens(BURNS)
    assert [one.muted for one in paged(night, WANTED)] == [muted]


def test_a_server_of_no_product_is_not_covered_by_products() -> None:
    lost = Cause(Kind.SERVER, "ams-vault", Manner.LOST, BEGIN_MS, 1, 1, ("par-watch", "sbg-edge"), Confidence.CONFIRMED)
    night = Night(None, SEEN)
    for name in ("campaigns", "shop-presence", "website"):
        night.happens(SilenceAsked(name, name, BEGIN_MS + 60_000, "a move", "ops-1"))
    night.append([Draft("t/1", night.now_ms, "test", ScopeOpened("server/ams-vault/1", lost, ()))])
    night.append([Draft("t/2", night.now_ms, "test", IncidentOpened(1, "server/ams-vault/1"))])
    assert [one.muted for one in paged(night, INCIDENT)] == [False]


def test_the_page_in_the_documentation_is_what_is_sent() -> None:
    lost = Cause(Kind.SITE, "strasbourg", Manner.LOST, BEGIN_MS, 3, 3, ("gravelines", "paris"), Confidence.CONFIRMED)
    night = Night(None, SEEN)
    night.append([Draft("t/1", night.now_ms, "test", ScopeOpened("site/strasbourg/1", lost, ()))])
    night.append([Draft("t/2", night.now_ms, "test", IncidentOpened(14, "site/strasbourg/1"))])
    night.happens(BURNS)
    (alarm,) = paged(night, INCIDENT)
    page = msgspec.structs.replace(alarm.page, since_ms=BEGIN_MS + 94 * 60_000)
    text = text_of([page], PARIS, LINK).sms
    shown = text[: text.index(LINK)] + LINK.partition("_-")[0] + "…"
    assert shown in (Path(__file__).parents[2] / "docs" / "pages.md").read_text(encoding="utf-8").splitlines()
