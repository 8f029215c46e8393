"""Kind `sms-http`: an SMS provider that is asked by HTTP, described in the estate.

    url, method, format, headers, body      what is asked: `{to}`, `{text}`, `{id}` and `{secret}` stand for values
    accepted                                how an answer looks that says accepted

The body is read as what `format` says *before* values are put in: each becomes a whole string inside a JSON document,
or a whole field of a form, and is written as that notation writes it. So no text can become another field; and in
headers only `{secret}` and `{id}` stand for anything. Accepted is an answer with a status of `accepted.status` (any
from 200 to 299 unless given) and, where there is `accepted.json`, with a value at the end of that way that matches;
with `matches` alone the answer itself must. With neither, JSON, a form's plain words and no text at all are believed by
the status alone, a page of HTML never is. All else that came with such a status is unknown: perhaps it was taken.

Without a `body` the provider is told `to`, `text` and `id`, and, without `headers` too, the secret as a bearer's token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from binome.core.paging_notes import Sent
from binome.drivers.notify.shared.http import TOTAL_S, Answer, Request, exchange
from binome.drivers.notify.shared.said import said
from binome.estate.model import Acceptance, Sender
from binome.ports import Delivery, Message

_PLACE = re.compile(r"\{(to|text|id|secret)\}")
_IN_HEADERS = re.compile(r"\{(id|secret)\}")
_LOOKED_AT = 2_000  # characters that a pattern is tried on
PLAIN_JSON = '{"to": "{to}", "text": "{text}", "id": "{id}"}'
PLAIN_FORM = "to={to}&text={text}&id={id}"
"""What a provider is told where the estate says nothing of it."""
_CONTENT = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


class SmsHttp:
    """A `ports.Notify`."""

    def __init__(self, name: str, options: Sender, secret: Callable[[str], str], *, total_s: float = TOTAL_S) -> None:
        """Raises ValueError where the estate does not say whom to ask, or what."""
        if options.url is None:
            raise ValueError("an sms-http sender needs `url`.  See docs/pages.md for examples.")
        as_json = options.format == "json" and options.method != "GET"
        body = options.body or (PLAIN_JSON if as_json else PLAIN_FORM)
        self._url, self._options, self._secret, self._total_s = options.url, options, secret, total_s
        self._template: Any = json.loads(body) if as_json else parse_qsl(body, keep_blank_values=True)
        if "{text}" not in str(_filled(self._template, {"to": "", "text": "{text}", "id": "", "secret": ""})):
            raise ValueError(f"`body` of {name} has no {{text}} where its `format` has texts.  See docs/pages.md.")

    async def send(self, message: Message) -> Delivery:
        """Asks the provider once."""
        try:
            secret = self._secret(self._options.secret) if self._options.secret else ""
        except OSError as error:
            return Delivery(Sent.LATER, said(f"its secret cannot be read: {error}"))
        values = {"to": message.to, "text": message.sms, "id": message.id, "secret": secret}
        headers = {"Accept": "application/json", "User-Agent": "binome", **self._headers(values)}
        url, body = self._url, self._body(values)
        if self._options.method == "GET":
            url, body = f"{url}{'&' if '?' in url else '?'}{body.decode()}", b""
        answer = await exchange(Request(self._options.method, url, headers, body or None), [secret], self._total_s)
        return answer if isinstance(answer, Delivery) else judged(answer, self._options, [secret])

    def _headers(self, values: Mapping[str, str]) -> dict[str, str]:
        headers = {
            name: _IN_HEADERS.sub(lambda found: values[found[1]], text) for name, text in self._options.headers.items()
        }
        if self._options.body is None and not headers and values["secret"]:
            headers["Authorization"] = f"Bearer {values['secret']}"
        if self._options.method != "GET" and "content-type" not in {name.lower() for name in headers}:
            headers["Content-Type"] = _CONTENT[self._options.format]
        return headers

    def _body(self, values: Mapping[str, str]) -> bytes:
        filled = _filled(self._template, values)
        if isinstance(self._template, list) and (self._options.format == "form" or self._options.method == "GET"):
            return urlencode(filled).encode()
        return json.dumps(filled, ensure_ascii=False).encode()


def judged(answer: Answer, options: Sender, secrets: list[str]) -> Delivery:
    """Whether an answer says accepted; unknown where it does not."""
    rule = options.accepted
    told = said(answer.body, secrets) or f"status {answer.status}"
    if rule.status and answer.status not in rule.status:
        return Delivery(Sent.UNKNOWN, said(f"status {answer.status} does not say accepted: {told}"))
    text = answer.body.decode("utf-8", "replace")
    looks = _looks_accepted(text, answer.whole, rule, options)
    return Delivery(Sent.ACCEPTED if looks else Sent.UNKNOWN, said(told if looks else f"no acceptance in: {told}"))


def _looks_accepted(text: str, whole: bool, rule: Acceptance, options: Sender) -> bool:
    if rule.json_ is not None:
        try:
            found = _followed(json.loads(text), rule.json_)
        except (ValueError, LookupError, RecursionError):
            return False
        if rule.matches is None:
            return found not in (None, False, "", [], {})
        shown = found if isinstance(found, str) else json.dumps(found)
        return re.search(rule.matches, shown[:_LOOKED_AT]) is not None
    if rule.matches is not None:
        return re.search(rule.matches, text[:_LOOKED_AT]) is not None
    if not text.strip() or rule.status:
        return whole
    if options.format == "json":
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return whole
    return whole and "<" not in text and text.isprintable()


def _followed(value: Any, way: str) -> Any:
    for step in way.split("."):
        if isinstance(value, list) and step.isdecimal():
            value = value[int(step)]
        elif isinstance(value, dict):
            value = value[step]
        else:
            raise LookupError(step)
    return value


def _filled(template: Any, values: Mapping[str, str]) -> Any:
    """The template with values in its texts; never in the names of fields."""
    if isinstance(template, str):
        return _PLACE.sub(lambda found: values[found[1]], template)
    if isinstance(template, dict):
        return {key: _filled(below, values) for key, below in template.items()}
    if isinstance(template, tuple):
        return (template[0], _filled(template[1], values))
    if isinstance(template, list):
        return [_filled(below, values) for below in template]
    return template
