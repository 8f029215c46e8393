"""Kind `dns`: one server answers for a name as it should.

    name      the name that is asked for
    type      the type of the records: A unless given
    expect    the addresses or names that the answer must consist of, in any order; any at all unless given
    resolver  true where the server looks names up for others; else it must speak with authority

A target's address is the server that is asked: a target for each authoritative server, so that one that is dead, or
has an old zone, is seen behind the others. Without an address this server's own resolver is asked.
"""

from __future__ import annotations

import asyncio

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from binome.core.target import Target
from binome.drivers.probe.shared.findings import NotAskedError, WrongError, timed, up
from binome.drivers.probe.shared.reach import Reach
from binome.ports import Finding, Surroundings

_MOST_ALIASES = 16


class DnsProbe:
    """A `Probe` that asks one question a look: over UDP, and over TCP where the answer is cut."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when the server's answer is the expected one; details: `ttl_s`, `answer`."""
        return await timed(target, self._clock, self._ask(target))

    async def _ask(self, target: Target) -> Finding:
        address = await self._reach.address_of(target.address) if target.address else _own_resolver()
        kind = dns.rdatatype.from_text(str(target.options.get("type", "A")))
        name = dns.name.from_text(str(target.options["name"]))
        question = dns.message.make_query(name, kind, use_edns=0, payload=1232)
        try:
            answer = await _asked(question, address, target.port)
        except dns.exception.Timeout:
            raise TimeoutError from None
        except (dns.exception.DNSException, ValueError) as error:
            raise WrongError(f"it does not speak DNS: {type(error).__name__}") from None
        if answer.rcode() != dns.rcode.NOERROR:
            raise WrongError(f"{dns.rcode.to_text(answer.rcode())} for {name}")
        if target.address and not target.options.get("resolver") and not answer.flags & dns.flags.AA:
            raise WrongError(f"it has no authority over {name}")
        found, ttl_s = _records(answer, name, kind)
        expected = {str(one).rstrip(".").lower() for one in target.options.get("expect", ())}
        words = ", ".join(sorted(found))
        if not found:
            raise WrongError(f"no {dns.rdatatype.to_text(kind)} for {name}")
        if expected and found != expected:
            raise WrongError(f"{words}, where {', '.join(sorted(expected))} is expected")
        return up(words, {"ttl_s": ttl_s, "answer": words[:200]})


async def _asked(question: dns.message.Message, address: str, port: int) -> dns.message.Message:
    """The answer to a question: by UDP, on a connected socket, so that a refusal is heard and strangers are not."""
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Datagrams(question, loop.create_future()), remote_addr=(address, port)
    )
    try:
        transport.sendto(question.to_wire())
        answer = await protocol.answer
    finally:
        transport.abort()
    if answer.flags & dns.flags.TC:
        return await dns.asyncquery.tcp(question, address, port=port)
    return answer


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the datagram that answers the question; others, which may be of an older one, are passed over."""

    def __init__(self, question: dns.message.Message, answer: asyncio.Future[dns.message.Message]) -> None:
        self._question, self.answer = question, answer

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self.answer.done():
            return
        try:
            message = dns.message.from_wire(data)
        except (dns.exception.DNSException, ValueError) as error:
            self.answer.set_exception(error)
            return
        if self._question.is_response(message):
            self.answer.set_result(message)

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def _own_resolver() -> str:
    try:
        servers = dns.asyncresolver.Resolver().nameservers
    except dns.exception.DNSException:
        servers = []
    if not servers:
        raise NotAskedError("this server has no resolver")
    return str(servers[0])


def _records(
    answer: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> tuple[set[str], int | None]:
    """What the answer says of the name, through its aliases; the last alias where the answer ends with it.

    Raises WrongError where aliases go in a circle.
    """
    seen = {name}
    ttl_s: int | None = None
    while True:
        sets = {one.rdtype: one for one in answer.answer if one.name == name}
        if kind in sets:
            return {one.to_text().rstrip(".").lower() for one in sets[kind]}, sets[kind].ttl
        alias = sets.get(dns.rdatatype.CNAME)
        if alias is None:
            return ({str(name).rstrip(".").lower()} if len(seen) > 1 else set()), ttl_s
        name, ttl_s = alias[0].target, alias.ttl
        if name in seen or len(seen) > _MOST_ALIASES:
            raise WrongError(f"aliases in a circle: {' → '.join(str(one) for one in (*seen, name))[:120]}")
        seen.add(name)
