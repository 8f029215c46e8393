"""Routes to what is lost: only the estate's, only ours, only for a while."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from binome.core.plan import Command, Outcome
from binome.drivers.host.routes import Refused, UnreachableRoutes

ESTATE = ("10.20.1.12", "10.20.1.11", "fd00::12")
NAMESPACE = "binome-test-routes"


def order(verb: str, addresses: str, **arguments: str) -> Command:
    return Command(
        "p/0", "p", 0, False, f"routes.{verb}", "sbg-db", "gravelines", {"addresses": addresses} | arguments, 1
    )


@pytest.fixture
def calls(tmp_path: Path) -> list[str]:
    """A program in the place of iproute2, and how to call it: it writes its arguments down, and succeeds."""
    program = tmp_path / "ip.py"
    program.write_text(
        f"import sys, json\nopen({str(tmp_path / 'said')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
    )
    return [sys.executable, str(program)]


def said(calls: list[str]) -> list[str]:
    file = Path(calls[1]).with_name("said")
    return [" ".join(json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.mark.parametrize(
    "addresses",
    ["10.20.9.9", "", "10.20.1.12,0.0.0.0/0", "default", "10.20.1.12 dev eth0", "-h", "10.20.1.12,", "10.20.1.012"],
)
def test_an_address_that_is_none_of_the_estates_is_refused(calls: list[str], addresses: str) -> None:
    for verb in ("block", "unblock"):
        outcome = asyncio.run(UnreachableRoutes(ESTATE, prefix=calls).carry_out(order(verb, addresses)))
        assert outcome == Outcome("failed", Refused.NOT_OF_THE_ESTATE)
    assert said(calls) == []


@pytest.mark.parametrize("for_s", ["0", "-1", "61", "nan", "inf", "soon"])
def test_no_block_is_without_an_end(calls: list[str], for_s: str) -> None:
    outcome = asyncio.run(UnreachableRoutes(ESTATE, prefix=calls).carry_out(order("block", ESTATE[0], for_s=for_s)))
    assert outcome == Outcome("failed", Refused.BAD_TIME)
    assert said(calls) == []


def test_a_block_ends_by_itself(calls: list[str]) -> None:
    async def run() -> None:
        routes = UnreachableRoutes(ESTATE, prefix=calls)
        assert await routes.carry_out(order("block", "10.20.1.12", for_s="0.1")) == Outcome("done")
        async with asyncio.timeout(10):
            while len(said(calls)) < 2 or routes._tasks:
                await asyncio.sleep(0.01)

    asyncio.run(run())
    assert said(calls) == [
        "-4 route add unreachable 10.20.1.12/32 proto 187",
        "-4 route flush exact 10.20.1.12/32 proto 187",
    ]


def test_a_block_that_was_lifted_ends_no_later_one(calls: list[str]) -> None:
    async def run() -> None:
        routes = UnreachableRoutes(ESTATE, prefix=calls)
        await routes.carry_out(order("block", "10.20.1.12", for_s="0.2"))
        await routes.carry_out(order("unblock", "10.20.1.12"))
        await routes.carry_out(order("block", "10.20.1.12", for_s="30"))
        before = len(said(calls))
        await asyncio.sleep(0.4)  # longer than the first was to last
        assert len(said(calls)) == before

    asyncio.run(run())


def test_what_iproute2_complains_of_is_unknown() -> None:
    routes = UnreachableRoutes(ESTATE, prefix=(sys.executable, "-c", "print('Cannot'); raise SystemExit(2)"))
    assert asyncio.run(routes.carry_out(order("block", ESTATE[0]))) == Outcome("unknown", "Cannot")
    assert asyncio.run(routes.tidy()) == Outcome("unknown", "Cannot")


# -- on the kernel


@pytest.fixture
def there() -> Iterator[tuple[str, ...]]:
    """A namespace with a way to everywhere, and how to call iproute2 in it."""
    subprocess.run(["ip", "netns", "add", NAMESPACE], check=True)
    ip = ("ip", "-n", NAMESPACE)
    lines = (
        "link add eth0 type veth peer name eth1",
        "link set eth0 up",
        "link set eth1 up",
        "addr add 10.20.3.10/32 dev eth0",
        "route add default dev eth0",
    )
    try:
        for line in lines:
            subprocess.run([*ip, *line.split()], check=True)
        yield ip
    finally:
        subprocess.run(["ip", "netns", "delete", NAMESPACE], check=True)


def blocked(ip: tuple[str, ...]) -> list[str]:
    told = subprocess.run([*ip, "-j", "route", "show", "type", "unreachable"], check=True, capture_output=True).stdout
    return [one["dst"] for one in json.loads(told or "[]")]


@pytest.mark.lab
def test_the_kernel_has_the_routes_and_loses_ours_alone(there: tuple[str, ...]) -> None:
    async def run() -> None:
        routes = UnreachableRoutes(ESTATE, prefix=there)
        both = "10.20.1.12,10.20.1.11"
        for _ in range(2):
            assert await routes.carry_out(order("block", both)) == Outcome("done")
            assert sorted(blocked(there)) == ["10.20.1.11", "10.20.1.12"]
        assert await routes.carry_out(order("block", "fd00::12")) == Outcome("done")
        for _ in range(2):
            assert await routes.carry_out(order("unblock", "10.20.1.11")) == Outcome("done")
            assert blocked(there) == ["10.20.1.12"]
        subprocess.run([*there, "route", "add", "unreachable", "10.99.0.1"], check=True)
        for _ in range(2):
            assert await UnreachableRoutes(ESTATE, prefix=there).tidy() == Outcome("done"), "as an agent that starts"
            assert blocked(there) == ["10.99.0.1"]

    asyncio.run(run())


@pytest.mark.lab
def test_a_hosts_own_route_is_left_as_it_is(there: tuple[str, ...]) -> None:
    own = "10.20.1.12 dev eth0 scope link"
    subprocess.run([*there, "route", "add", *own.split()], check=True)

    async def run() -> None:
        routes = UnreachableRoutes(ESTATE, prefix=there)
        assert (await routes.carry_out(order("block", "10.20.1.12"))).result == "unknown"
        assert await routes.carry_out(order("unblock", "10.20.1.12")) == Outcome("done")

    asyncio.run(run())
    told = subprocess.run([*there, "route", "show", "10.20.1.12"], check=True, capture_output=True, text=True).stdout
    assert told.split() == own.split()
