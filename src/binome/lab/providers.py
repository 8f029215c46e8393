"""Providers: whom an estate's senders speak to, and how the lab's stand-ins for them must answer. Pure.

    people.senders ► one provider a sender ► hosts, each at an address of its own outside of every site

A stand-in is reached under the provider's own name and port, by its own protocol and with a certificate that is
checked, so that the estate stays as it is and the senders' code runs as it would. What an SMS provider is asked, and
what it must answer to be believed, is read from the estate: the template of the body tells where the number and the
text stand, and `accepted` how a yes looks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from binome.estate import Estate
from binome.estate.model import Acceptance, Sender

PLAIN: Mapping[str, str] = {"to": "{to}", "text": "{text}", "id": "{id}"}
"""What a provider is told where the estate says nothing of it; of a webhook's document the same."""
_YES = ("accepted", "ACCEPTED", "queued", "sent", "ok", "OK", "true", "0", "1")
_FROM_ENVIRONMENT = "env:"


class Provider(NamedTuple):
    """One stand-in: where it listens, and what it is asked and answers.

    `tls` is implicit, starttls or none. `template` is a JSON document, or a list of a form's fields, with `{to}`,
    `{text}`, `{id}` and `{secret}` where values stand; `status` and `answer` are what says accepted.
    """

    sender: str
    kind: str
    host: str
    port: int
    tls: str
    form: bool = False
    template: Any = None
    status: int = 200
    answer: str = ""


def providers(estate: Estate) -> dict[str, Provider]:
    """The providers that the lab can stand in for, by their senders."""
    found = {name: _provider(name, options) for name, options in estate.people.senders.items()}
    return {name: one for name, one in found.items() if isinstance(one, Provider)}


def not_built(estate: Estate) -> list[str]:
    """The senders that nobody stands in for, each with the reason."""
    found = {name: _provider(name, options) for name, options in estate.people.senders.items()}
    return [f"pages by {name} ({why})" for name, why in found.items() if isinstance(why, str)]


def places(estate: Estate) -> dict[str, tuple[str, str, str]]:
    """The hosts of the providers: the name of its place in the lab → (host, IPv4 address, IPv6 address).

    The addresses are of the ranges for measuring network devices (RFC 2544, RFC 5180), which no server has.
    """
    hosts = dict.fromkeys(one.host for one in providers(estate).values())
    return {
        f"outside{number}": (host, f"198.18.1.{number}", f"2001:2::1:{number}") for number, host in enumerate(hosts, 1)
    }


def secrets_of(estate: Estate) -> list[str]:
    """The variables of the environment in which the senders' secrets are."""
    found = [options.secret or "" for options in estate.people.senders.values()]
    return sorted({secret.removeprefix(_FROM_ENVIRONMENT) for secret in found if _is_ours(secret)})


def _is_ours(secret: str) -> bool:
    return secret.startswith(_FROM_ENVIRONMENT)


def _provider(name: str, options: Sender) -> Provider | str:
    """The provider of a sender, or why there is none."""
    if options.secret and not _is_ours(options.secret):
        return f"its secret is {options.secret.partition(':')[0]}:, and the lab has those of env: alone"
    if options.kind == "smtp":
        if options.host is None:
            return "it has no host"
        return _named(Provider(name, options.kind, options.host, options.port, options.tls))
    if options.url is None:
        return "it has no url"
    parts = urlsplit(options.url)
    tls = "implicit" if parts.scheme == "https" else "none"
    port = parts.port or (443 if tls == "implicit" else 80)
    provider = Provider(name, options.kind, parts.hostname or "", port, tls, template=PLAIN, answer="{}")
    if options.kind == "webhook":
        return _named(provider)
    form = options.format == "form" or options.method == "GET"
    yes = _accepted(options.accepted, as_json=options.format == "json")
    if yes is None:
        return f"no answer is known that matches {options.accepted.matches}"
    status = options.accepted.status[0] if options.accepted.status else 200
    template = _template(options.body, parts.query if options.method == "GET" else "", form=form)
    return _named(provider._replace(form=form, template=template, status=status, answer=yes))


def _named(provider: Provider) -> Provider | str:
    """A provider whose host is a name: only a name can be made to lead to the lab."""
    is_address = ":" in provider.host or re.fullmatch(r"[0-9.]+", provider.host)
    return f"{provider.host} is no name" if is_address or not provider.host else provider


def _template(body: str | None, query: str, *, form: bool) -> Any:
    if not form:
        return json.loads(body) if body else dict(PLAIN)
    fields = parse_qsl(body, keep_blank_values=True) if body else list(PLAIN.items())
    return [list(field) for field in (*parse_qsl(query, keep_blank_values=True), *fields)]


def _accepted(rule: Acceptance, *, as_json: bool) -> str | None:
    """A body that says accepted; None where nothing comes to mind that matches."""
    words = re.findall(r"\w+", rule.matches or "")
    word = next((one for one in (*_YES, *words) if re.search(rule.matches or "", one)), None)
    if word is None:
        return None
    if rule.json_ is None:
        return word if rule.matches or not as_json else json.dumps({"status": word})
    value: Any = word
    for step in reversed(rule.json_.split(".")):
        value = [None] * int(step) + [value] if step.isdecimal() else {step: value}
    return json.dumps(value)


def values(template: Any, found: Any) -> dict[str, str]:
    """What stands in a document in the places of its template: `to`, `text`, … Empty where it does not fit."""
    if isinstance(template, str) and isinstance(found, str):
        names = re.findall(r"\{(to|text|id|secret)\}", template)
        pattern = re.sub(r"\\\{(to|text|id|secret)\\\}", "(.*)", re.escape(template))
        fits = re.fullmatch(pattern, found, re.DOTALL)
        return dict(zip(names, fits.groups(), strict=True)) if fits else {}
    pairs: list[tuple[Any, Any]] = []
    if isinstance(template, Mapping) and isinstance(found, Mapping):
        pairs = [(below, found.get(key)) for key, below in template.items()]
    elif isinstance(template, list) and isinstance(found, list):
        pairs = list(zip(template, found, strict=False))
    return {name: value for below, one in pairs for name, value in values(below, one).items()}
