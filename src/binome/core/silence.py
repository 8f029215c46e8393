"""Silence: a whole site that says nothing, noticed in a fraction of a second, by quorum.

Probes need seconds to be sure of one target. The lookouts hear each other every 100 ms, and each tells the others when
it last heard whom; that is enough to say sooner that a site is silent as a whole:

    a lookout misses a site     it has heard no lookout that stands there for a while
    the site is silent          the groups of vantage points that miss it are more than half of all configured ones,
                                and nothing there answers the leader's knock, not even to refuse

The word of a lookout that is not heard itself counts for nothing. How long a silence lasts is measured by the leader's
monotonic clock and becomes a fact at each length that some service waits for (`act_after`): wall clocks may be wrong.
A silence ends with the first word from there; also with the leader's own, where the leader stands there by now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from binome.analysis.domains import Domains
from binome.core.entry import Draft, Fact
from binome.core.quorum import GROUPS_TO_CONFIRM, groups
from binome.estate import Estate
from binome.estate.model import PostgresqlService

CAPABILITY = "silence"
MISSED_MS = 250
"""Who was not heard for so long is missed: two beats and a half."""


class SiteSilent(Fact, frozen=True, tag="site-silent"):
    """A site has said nothing for `lasted_ms`, as the leader and the vantage points `seen_from` know.

    `confirmed`: whether enough vantage points look to act on it.
    """

    site: str
    lasted_ms: int
    seen_from: tuple[str, ...]
    confirmed: bool


class SiteHeard(Fact, frozen=True, tag="site-heard"):
    """A site that was silent is heard again."""

    site: str


FACTS = (SiteSilent, SiteHeard)


class Silence(NamedTuple):
    """A silence that is known: since when, how long it had lasted when it was recorded last, and who noticed."""

    number: int  # of the silences of this site
    since_ms: int
    lasted_ms: int
    seen_from: tuple[str, ...]
    confirmed: bool


class SilenceSlice:
    """The sites that are silent now."""

    def __init__(self) -> None:
        self.sites: dict[str, Silence] = {}
        self.count: dict[str, int] = {}  # site → how many silences it has had

    def apply(self, fact: Fact, at_ms: int) -> None:
        """Takes in a fact of this capability."""
        match fact:
            case SiteSilent():
                known = self.sites.get(fact.site)
                if known is None:
                    self.count[fact.site] = self.count.get(fact.site, 0) + 1
                    known = Silence(self.count[fact.site], at_ms - fact.lasted_ms, 0, (), False)
                self.sites[fact.site] = known._replace(
                    lasted_ms=fact.lasted_ms, seen_from=fact.seen_from, confirmed=fact.confirmed
                )
            case SiteHeard():
                self.sites.pop(fact.site, None)


class Missed(NamedTuple):
    """A site that is missed: for how long by whoever missed it last, and by whom."""

    for_ms: int
    seen_from: tuple[str, ...]


class Watchers:
    """Which sites can be missed, and by whom; it follows from the estate alone."""

    def __init__(self, estate: Estate) -> None:
        domains = Domains(estate)
        self.groups = groups(estate)
        self.majority = len(self.groups) // 2 + 1
        self.confirmed = len(self.groups) >= GROUPS_TO_CONFIRM
        self.site_of = {one: domains.site(one, estate) for group in self.groups for one in group}
        self.sites: dict[str, tuple[str, ...]] = {}  # site → the lookouts that stand there
        for lookout, site in self.site_of.items():
            self.sites[site] = (*self.sites.get(site, ()), lookout)
        self.lengths = sorted(
            {service.act_after_ms for service in estate.services.values() if isinstance(service, PostgresqlService)}
        )

    def missed(
        self, name: str, heard_ms: Mapping[str, int], seen_by: Mapping[str, Mapping[str, int]]
    ) -> dict[str, Missed]:
        """The sites that a majority misses, as lookout `name` knows it.

        `heard_ms` is how long ago each other lookout was heard here, `seen_by` how long ago each of them had heard the
        others when it said so last; who was never heard is in neither.
        """
        words = {name: heard_ms}
        for peer, ages in seen_by.items():
            late_ms = heard_ms.get(peer)
            if late_ms is not None and late_ms < MISSED_MS:
                words[peer] = {other: age_ms + late_ms for other, age_ms in ages.items()}
        found = {}
        for site, there in self.sites.items():
            ages = {
                vantage: min(ages.get(one, 0) for one in there)  # never heard is no silence that began
                for vantage, ages in words.items()
                if vantage not in there
            }
            missing = {vantage: age_ms for vantage, age_ms in ages.items() if age_ms >= MISSED_MS}
            votes = [group for group in self.groups if any(vantage in missing for vantage in group)]
            if name in missing and len(votes) >= self.majority:
                found[site] = Missed(min(missing.values()), tuple(sorted(missing)))
        return found


def drafts(
    watchers: Watchers,
    known: SilenceSlice,
    now_ms: int,
    *,
    missed: Mapping[str, Missed],
    knocks: Mapping[str, bool],
    heard_ms: Mapping[str, int],
) -> list[Draft]:
    """What the journal does not say yet of sites that fell silent or are heard again; nothing once it does.

    `knocks` says of the sites that were knocked at to the end whether something there answered; `heard_ms` how long ago
    each lookout was heard, whoever decides among them.
    """
    found = []
    for site, one in missed.items():
        before = known.sites.get(site)
        lasted_ms = max((length for length in watchers.lengths if length <= one.for_ms), default=0)
        if knocks.get(site, True) or not lasted_ms or (before is not None and before.lasted_ms >= lasted_ms):
            continue
        number = before.number if before is not None else known.count.get(site, 0) + 1
        fact = SiteSilent(site, lasted_ms, one.seen_from, watchers.confirmed)
        found.append(Draft(f"{CAPABILITY}/{site}/{number}/{lasted_ms}", now_ms, CAPABILITY, fact))
    for site, silence in known.sites.items():
        there = watchers.sites.get(site, ())
        if knocks.get(site, False) or not there or any(heard_ms.get(one, MISSED_MS) < MISSED_MS for one in there):
            heard = SiteHeard(site)
            found.append(Draft(f"{CAPABILITY}/{site}/{silence.number}/heard", now_ms, CAPABILITY, heard))
    return found
