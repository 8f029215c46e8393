"""The outside of a lab: the providers of messages, in places of their own that every site reaches and no fire burns.

Each host of the estate's senders is a namespace on the fabric's core, where the client stands too. Its name resolves
on every server of the lab, its certificate is of the lab's CA, which the lookouts trust there, and the senders' secrets
are in their environment. What a provider took stands in a file of the lab, `SENDER.pages.jsonl`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from subprocess import Popen
from typing import NamedTuple

from binome.estate import Estate
from binome.estate.model import People
from binome.lab import cgroup, lookouts, network, receivers
from binome.lab.network import Network
from binome.lab.process import Program
from binome.lab.providers import Provider, places, providers, secrets_of
from binome.lab.receivers import Attempt, Manner, Said, Settings
from binome.runtime.identity import Authority, Identity, new_key

GROUP = "outside"
_CONNECT_S = 0.5


class Page(NamedTuple):
    """A message that a provider accepted. `at_s` is of the monotonic clock; `to` is a person, or what else was said."""

    at_s: float
    to: str
    via: str
    text: str
    body: str
    delivered: bool


class Outside:
    """The providers of one lab. `spawn` starts a program in a place and a group, with a log."""

    def __init__(
        self, folder: Path, estate: Estate, net: Network, spawn: Callable[[str, Path, Program, str], Popen[bytes]]
    ) -> None:
        self._folder, self._estate, self._network, self._spawn = folder, estate, net, spawn
        self.providers = providers(estate)
        hosts = {host: (place, four, six) for place, (host, four, six) in places(estate).items()}
        self._place = {sender: hosts[one.host][0] for sender, one in self.providers.items()}

    def hosts(self) -> list[str]:
        """The lines by which the providers' names lead to them."""
        found = []
        for place, (host, _, _) in places(self._estate).items():
            found += [f"{address} {host}" for address in self._network.outside[place]]
        return found

    def environment(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """What a lookout's environment needs to speak with them; `secrets` has the lab's own, by their variables."""
        if not self.providers:
            return {}
        return {
            **{name: secrets[name] for name in secrets_of(self._estate) if name in secrets},
            "SSL_CERT_FILE": str(self._folder / "ca" / "ca.pem"),
        }

    def start(self) -> None:
        """Starts a receiver for each provider."""
        for sender, provider in self.providers.items():
            place = self._place[sender]
            group = cgroup.create(GROUP, place)
            own = self._folder / GROUP / sender
            self._certify(provider, own)
            for number, address in enumerate(self._network.outside[place]):
                settings = Settings(
                    provider, address, str(own / "server.pem"), str(self._attempts(sender)), str(own / "manner")
                )
                path = own / f"{number}.json"
                settings.save(path)
                arguments = (sys.executable, "-m", receivers.__name__, str(path))
                program = Program(arguments, environment=lookouts.environment())
                self._spawn(place, group, program, f"{sender}.receiver.log")

    def lacking(self) -> list[str]:
        """The providers that do not listen yet."""
        return [sender for sender in self.providers if not self._listens(sender)]

    def silence(self, sender: str) -> None:
        """Burns the provider of a sender, as far as anybody can see: what is sent to it vanishes."""
        self._network.silence(self._place[sender])

    def restore(self, sender: str) -> None:
        """Gives a provider that was silenced its network back."""
        self._network.restore(self._place[sender])

    def behaves(self, sender: str, manner: Manner) -> None:
        """Has a provider behave so from the next message on."""
        path = self._folder / GROUP / sender / "manner"
        path.with_suffix(".new").write_text(manner)
        path.with_suffix(".new").replace(path)

    def attempts(self, sender: str) -> list[Attempt]:
        """What a provider took until now, whatever became of it."""
        path = self._attempts(sender)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [Attempt(**{**one, "said": Said(one["said"])}) for one in found]

    def pages(self) -> list[Page]:
        """What the providers accepted until now, in the order of time; those who were lied to are in it as well."""
        found = [
            Page(one.at_s, person_of(self._estate.people, one.to), sender, one.text, one.body, one.delivered)
            for sender in self.providers
            for one in self.attempts(sender)
            if one.said is Said.ACCEPTED
        ]
        return sorted(found)

    def _attempts(self, sender: str) -> Path:
        return self._folder / f"{sender}.pages.jsonl"

    def _certify(self, provider: Provider, into: Path) -> None:
        authority, key = Authority(self._folder / "ca"), new_key()
        into.mkdir(parents=True)
        paper = authority.issue(provider.host, None, key.public_key(), time.time_ns() // 1_000_000)
        Identity.put(into, ca=authority.pem, certificate=paper.pem, key=key, revoked_list=b"")

    def _listens(self, sender: str) -> bool:
        place = self._place[sender]
        try:
            for address in self._network.outside[place]:
                with network.socket_in(place, address) as connection:
                    connection.settimeout(_CONNECT_S)
                    connection.connect((address, self.providers[sender].port))
        except OSError:
            return False
        return True


class Following:
    """What the providers accept, as it comes; for whoever tells of it."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._known = set(outside.pages())  # of earlier fires in the same lab
        self.pages: list[Page] = []

    def grown(self) -> Iterator[tuple[float, str]]:
        """What was accepted since the last time: when, on the monotonic clock, and in words."""
        for page in self._outside.pages():
            if page not in self._known:
                self._known.add(page)
                self.pages.append(page)
                host = self._outside.providers[page.via].host
                yield page.at_s, f"page to {page.to} ({page.via}): accepted by {host}"

    def since(self, at_s: float) -> tuple[Page, ...]:
        """All of them, with their times from a moment of the monotonic clock."""
        return tuple(page._replace(at_s=round(page.at_s - at_s, 2)) for page in sorted(self.pages))


def person_of(people: People, address: str) -> str:
    """Whose number or mail address this is; itself where it is nobody's, as a person's name is."""
    return next((name for name, one in people.contacts.items() if address in (one.sms, one.email)), address)


def as_json(pages: Iterable[Page]) -> list[dict[str, object]]:
    """The pages of a report: when they were accepted, in seconds from the fault, and what they said to whom."""
    return [{"at_s": one.at_s, "to": one.to, "via": one.via, "text": one.text} for one in pages]
