"""The probe of kind icmp. An echo is answered by the kernel, so the nights of connections are none to it."""

from __future__ import annotations

import asyncio
import os

import pytest

from binome.core.target import Answer
from binome.drivers.probe import icmp
from binome.drivers.probe.icmp import IcmpProbe
from tests.drivers.probe_suite import descriptors, surroundings, target


class Deaf:
    """A socket by which nothing comes back, or nothing goes out."""

    def __init__(self, sends: bool) -> None:
        self.sends, self.asked, self.cancelled = sends, 0, 0

    async def ping(self, addr: str, size: int | None = None) -> float | None:
        self.asked += 1
        if self.sends:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled += 1  # gufo-ping's reading would then fail for others
                raise
        return None


def raw_sockets() -> bool:
    return os.geteuid() == 0


@pytest.mark.skipif(not raw_sockets(), reason="an echo needs a raw socket")
def test_loopback_answers() -> None:
    async def run() -> None:
        probe, before = IcmpProbe(surroundings(frozenset({"127.0.0.1", "::1"}))), descriptors()
        found = await probe.look(target("icmp", 0))
        assert found.answer is Answer.UP and 0 < float(found.details["echo_ms"] or 0) < 400, found
        many = await asyncio.gather(*(probe.look(target("icmp", 0)) for _ in range(500)))
        assert {one.answer for one in many} == {Answer.UP}
        assert descriptors() <= before + 1, "one socket serves all"

    asyncio.run(run())


def test_silence_is_down_in_time_and_a_cancelled_look_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = Deaf(sends=True)
    monkeypatch.setattr(icmp, "opened", lambda _: deaf)

    async def run() -> None:
        probe = IcmpProbe(surroundings())
        look = asyncio.create_task(probe.look(target("icmp", 0)))
        cancelled = asyncio.create_task(probe.look(target("icmp", 0)))
        while deaf.asked < 2:
            await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        found = await look
        assert (found.answer, found.said) == (Answer.DOWN, "no answer within 400 ms")
        assert deaf.cancelled == 0, "requests are the socket's until it forgets them"

    asyncio.run(run())


def test_what_could_not_be_sent_is_no_word_about_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp, "opened", lambda _: Deaf(sends=False))
    found = asyncio.run(IcmpProbe(surroundings()).look(target("icmp", 0)))
    assert (found.answer, found.said) == (Answer.UNSURE, "this server could not send")

    def refused(_: int) -> Deaf:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(icmp, "opened", refused)
    assert asyncio.run(IcmpProbe(surroundings()).look(target("icmp", 0))).answer is Answer.UNSURE
    found = asyncio.run(IcmpProbe(surroundings(frozenset())).look(target("icmp", 0)))
    assert found.answer is Answer.DOWN and "which the estate does not name" in found.said
