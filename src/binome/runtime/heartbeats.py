"""Heartbeats: jobs say that they ran, and silence is what is noticed.

    curl -fsS -m 5 --retry 3 -H "Authorization: Bearer $(cat /etc/binome/nightly.token)" http://LOOKOUT:8710/beat/nightly

A job beats at one lookout; that one tells the others (`heard`), so that a job need not know them all. Times are those
of arrival, by this server's monotonic clock: nobody's clock but ours decides whether a beat came in time.

The listener stands where jobs reach it, and takes little from anybody (listener.py). A job is known by its token. Who
has a wrong one, or names a job that is none, gets the same answer after the same comparison.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping

from binome.ports import Clock
from binome.runtime.listener import Answer, Answering, Listener, Request

TOKEN_LEAST = 16
"""Characters that a token must have at least; a shorter one beats for nobody."""

_PATH = b"/beat/"
_HEARD = Answer(200, b"heard\n")
_NO_SUCH_JOB = Answer(403, b"no such job with that token\n")
_NOBODY = secrets.token_bytes(32)


class Heartbeats:
    """The newest beat of each job, here and as other lookouts say; what `Beats` asks for."""

    def __init__(self, jobs: Mapping[str, str], clock: Clock) -> None:
        """`jobs` are the tokens by the names of the jobs."""
        self._tokens = {job: token.encode() for job, token in jobs.items() if len(token) >= TOKEN_LEAST}
        self._jobs = frozenset(jobs)
        self._clock = clock
        self._since_s = clock.monotonic_s()
        self._last_s: dict[str, float] = {}

    @property
    def since_s(self) -> float:
        """Since when beats are listened for."""
        return self._since_s

    def last_s(self, job: str) -> float | None:
        """When the newest beat of a job came; None where none is known."""
        return self._last_s.get(job)

    def ages_s(self) -> dict[str, float]:
        """How old the newest beat of each job is: what other lookouts are told."""
        now_s = self._clock.monotonic_s()
        return {job: now_s - last_s for job, last_s in self._last_s.items()}

    def heard(self, ages_s: Mapping[str, float]) -> None:
        """Takes another lookout's word for beats: how old they were when it spoke. Unknown jobs are passed over."""
        now_s = self._clock.monotonic_s()
        for job, age_s in ages_s.items():
            if job in self._jobs and age_s >= 0:
                self._beat_at(job, now_s - age_s)

    def beat(self, job: str, token: bytes) -> bool:
        """Whether a job may beat with this token; if so, it did."""
        if not hmac.compare_digest(self._tokens.get(job, _NOBODY), token):
            return False
        self._beat_at(job, self._clock.monotonic_s())
        return True

    def _beat_at(self, job: str, at_s: float) -> None:
        self._last_s[job] = max(at_s, self._last_s.get(job, at_s))


def answering(beats: Heartbeats) -> Answering:
    """What a listener for beats answers."""

    def answer(request: Request) -> Answer:
        if not request.target.startswith(_PATH):
            return Answer(404)
        if request.method not in (b"GET", b"POST"):
            return Answer(405)
        job = request.target.removeprefix(_PATH).decode("latin-1")
        return _HEARD if beats.beat(job, request.token) else _NO_SUCH_JOB

    return answer


async def listen(address: str, port: int, beats: Heartbeats) -> None:
    """Takes beats at an address until it is cancelled. Raises OSError where that cannot be."""
    await Listener(answering(beats)).keep_open(address, port)
