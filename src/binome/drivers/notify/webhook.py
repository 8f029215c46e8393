"""Kind `webhook`: a POST of JSON to a URL, signed, for what a team has built itself.

    X-Binome-Timestamp: 1764000000                  seconds since 1970
    X-Binome-Signature: v1=HEX                      HMAC-SHA-256, under the secret, of "TIMESTAMP." and the body
    X-Binome-Id: ID                                 the same whenever the same message is sent again

Who receives it computes the signature over the raw body, compares in constant time, and refuses a time that is more
than five minutes off. Any status from 200 to 299 says accepted; the body of the answer is not looked at.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from binome.core.paging_notes import Sent
from binome.drivers.notify.shared.http import TOTAL_S, Request, exchange
from binome.drivers.notify.shared.said import said
from binome.estate.model import Sender
from binome.ports import Delivery, Message


class Webhook:
    """A `ports.Notify`."""

    def __init__(self, _name: str, options: Sender, secret: Callable[[str], str], *, total_s: float = TOTAL_S) -> None:
        """Raises ValueError where the estate does not say whom to call, or where the secret is."""
        if options.url is None or options.secret is None:
            raise ValueError("a webhook needs `url` and `secret`: what is not signed could be anybody's.")
        self._url, self._place, self._secret, self._total_s = options.url, options.secret, secret, total_s

    async def send(self, message: Message) -> Delivery:
        """Calls once."""
        try:
            secret = self._secret(self._place)
        except OSError as error:
            return Delivery(Sent.LATER, said(f"its secret cannot be read: {error}"))
        body = json.dumps(
            {"id": message.id, "to": message.to, "text": message.sms, "subject": message.subject, "body": message.body},
            ensure_ascii=False,
        ).encode()
        stamp = str(message.at_ms // 1000)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "binome",
            "X-Binome-Id": message.id,
            "X-Binome-Timestamp": stamp,
            "X-Binome-Signature": f"v1={signature(secret, stamp, body)}",
        }
        answer = await exchange(Request("POST", self._url, headers, body), [secret], self._total_s)
        return answer if isinstance(answer, Delivery) else Delivery(Sent.ACCEPTED, f"status {answer.status}")


def signature(secret: str, stamp: str, body: bytes) -> str:
    """The signature of a body at a time, in hexadecimal digits."""
    code: Any = hmac.new(secret.encode(), f"{stamp}.".encode() + body, sha256)
    return str(code.hexdigest())
