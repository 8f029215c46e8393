"""A dumb oracle of causes: every set of possible causes, by the words of causes.py, on small estates.

It shares nothing with the search but the estate, the targets and the fault domains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

from hypothesis import strategies as st

from binome.analysis.domains import Domains
from binome.analysis.outcome import required
from binome.core.target import Target, targets
from binome.core.verdict import Verdict
from binome.estate import Estate
from binome.estate.whole import names_of
from tests.analysis.estates import Draw, estates

ORDER = (
    *("target", "service", "member", "server", "site", "hypervisor", "rack"),
    *("power", "building", "region", "hoster", "carrier", "account"),
)
Key = tuple[str, str]
Verdicts = Mapping[str, Verdict]


@st.composite
def nights(draw: Draw) -> tuple[Estate, dict[str, Verdict]]:
    """A small estate whose every server is looked at, and what is believed of it: some causes, and some noise."""
    data: dict[str, Any] = draw(estates()).as_json()
    for number, server in enumerate(data["servers"].values(), 1):
        server["address"] = f"10.0.0.{number}"
    data["lookout"] = {"on": list(data["servers"])[:3]}
    for service in data["services"].values():
        if service["kind"] == "generic":  # nobody asks such a one
            service.pop("takeover", None)
            service["kind"] = "http"
        if service["kind"] == "haproxy":
            service["routes"] = {next(iter(data["services"])): 80}
    estate = Estate.model_validate(data, context=names_of(data))
    domains, every = Domains(estate), targets(estate)
    verdicts = dict.fromkeys((one.name for one in every), Verdict.UP)
    inhabited = [name for name in domains.kinds if any(domains.holds(name, one.server) for one in every)]
    subjects = [*inhabited, *estate.services, *estate.services, *verdicts]
    for subject in draw(st.lists(st.sampled_from(subjects), min_size=1, max_size=3)):
        for one in every:
            if subject in (one.name, one.service) or (subject in domains.kinds and domains.holds(subject, one.server)):
                verdicts[one.name] = Verdict.DOWN
    noise = [Verdict.UNSURE, Verdict.DOWN, Verdict.UP, Verdict.FLAPPING]
    for name in draw(st.lists(st.sampled_from(list(verdicts)), max_size=6)):
        verdicts[name] = draw(st.sampled_from(noise))
    return estate, verdicts


class Oracle:
    """What is possible in a night, and which sets of it are smallest."""

    def __init__(self, estate: Estate, verdicts: Verdicts) -> None:
        self.estate, self.verdicts = estate, verdicts
        self.domains = Domains(estate)
        self.every = {one.name: one for one in targets(estate)}
        self.down = {name for name in self.every if verdicts[name] is Verdict.DOWN}
        self.spoken = dict(self._possible())
        self.demanding = self.down - self._effects()

    def works(self, one: Target) -> bool:
        return bool(one.service) and "/" not in one.name

    def _possible(self) -> Iterator[tuple[Key, frozenset[str]]]:
        for one in self.every.values():
            up = self.verdicts[one.name] is Verdict.UP
            if self.works(one) and not up:
                yield ("member", one.name), self._named(lambda t, w=one: t.service and t.name.split("/")[0] == w.name)
            if "/" in one.name and self.verdicts[one.name.split("/")[0]] is Verdict.UP:
                yield ("target", one.name), frozenset([one.name])
            if not one.service:
                on = self._named(lambda t, s=one.server: t.server == s)
                some_up = any(self.verdicts[name] is Verdict.UP for name in on)
                if some_up:
                    yield ("target", one.name), frozenset([one.name])
                if not some_up and (one.name in self.down or self._most(on)):
                    yield ("server", one.name), on
        for service in self.estate.services:
            work = self._named(lambda t, s=service: t.service == s and self.works(t))
            if self._most(work) and all(self.verdicts[name] is not Verdict.UP for name in work):
                yield ("service", service), self._named(lambda t, s=service: t.service == s)
        for place, kind in self.domains.kinds.items():
            inside = self._named(lambda t, p=place: p in self.domains.around(t.server))
            some_up = any(self.verdicts[name] is Verdict.UP for name in inside)
            if kind != "server" and self._most(inside) and not some_up:
                yield (kind, place), inside

    def _named(self, chosen: Any) -> frozenset[str]:
        return frozenset(name for name, one in self.every.items() if chosen(one))

    def _most(self, names: frozenset[str]) -> bool:
        return len(names & self.down) * 2 > len(names)

    def _effects(self) -> set[str]:
        cannot = set()
        for name, service in self.estate.services.items():
            down = [one for one in self.down if self.every[one].service == name and self.works(self.every[one])]
            if len(service.on) - len(down) < required(service):
                cannot.add(name)
        return {
            one
            for one in self.down
            if self.every[one].service and cannot & set(self.estate.services[self.every[one].service].needs)
        }

    def explains(self, keys: Any) -> bool:
        return self.demanding <= frozenset().union(*(self.spoken[key] for key in keys))

    def fewer(self, count: int) -> Key | tuple[Key, ...] | None:
        """A set of less than `count` possible causes that explains everything."""
        useful = [key for key, spoken in self.spoken.items() if spoken & self.demanding]
        for size in range(count):
            for keys in combinations(useful, size):
                if self.explains(keys):
                    return keys
        return None

    def width(self, key: Key) -> tuple[int, int, str]:
        return len(self.spoken[key]), ORDER.index(key[0]), key[1]
