"""The agent's process, assembled: `python -m binome.cli.agent SETTINGS`, started by `binome run`.

It is small because it must run on every server: nothing here, and nothing that is imported here, brings in the model
of the estate, aiohttp or the command line (tests/cli/test_agent.py holds that). `--with-parent` ends it with whoever
holds the other end of its standard input; whoever only stands still does not end it.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from contextlib import suppress
from pathlib import Path

from binome.cli.agent_hands import AgentHands
from binome.runtime.agent import Agent
from binome.runtime.agent_link import HANDSHAKE_S
from binome.runtime.agent_settings import Settings, read
from binome.runtime.clock import SystemClock
from binome.runtime.identity import Identity, IdentityError
from binome.runtime.peer_tls import TlsTransport
from binome.runtime.reach import Reach
from binome.runtime.renewal import Renewal

LOOK_AGAIN_S = 5.0
WITH_PARENT = "--with-parent"


async def run(settings: Settings, *, with_parent: bool) -> None:
    """Runs the agent until SIGTERM or SIGINT. Raises OSError or ValueError where its folder cannot be used."""
    clock = SystemClock()
    hands = AgentHands(settings)
    own = asyncio.current_task()
    assert own is not None  # noqa: S101 - this is a coroutine
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, own.cancel)
    if with_parent:
        loop.add_reader(sys.stdin.fileno(), own.cancel)  # nothing is ever written there: this is its end
    trouble = await hands.begin()
    identity = await _identity(settings, clock)
    reach = Reach(clock)
    transport = TlsTransport(identity, settings.lookouts, clock, handshake_s=HANDSHAKE_S, signs=reach)
    agent = Agent(settings, identity, transport, reach, clock, hands=hands, boot=secrets.token_hex(8))
    agent.problems("begin", trouble)
    async with asyncio.TaskGroup() as group:
        group.create_task(agent.run())
        group.create_task(_in_date(settings, identity, agent, clock))


async def _identity(settings: Settings, clock: SystemClock) -> Identity:
    """This server's identity; waits until there is a good one, and says so once."""
    said = ""
    while True:
        try:
            return Identity(Path(settings.tls), settings.estate, settings.server)
        except IdentityError as error:
            if said != str(error):
                said = str(error)
                print(f"binome: {settings.server} has no identity, so its agent reaches no lookout: {said}", flush=True)
            await clock.sleep(LOOK_AGAIN_S)


async def _in_date(settings: Settings, identity: Identity, agent: Agent, clock: SystemClock) -> None:
    """Keeps the certificate in date; beside a lookout that is the lookout's work, and its files are read again."""
    if settings.renews:
        renewal = Renewal(identity, {}, None, clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(renewal.run(tuple(settings.lookouts), agent.ask))
            while True:
                agent.problems("renewal", renewal.problems())
                await clock.sleep(LOOK_AGAIN_S)
    while True:
        identity.refresh()
        await clock.sleep(LOOK_AGAIN_S)


def main(arguments: list[str]) -> int:
    """Runs it; how it ended."""
    try:
        settings = read(Path(arguments[0]))
        with suppress(asyncio.CancelledError):
            asyncio.run(run(settings, with_parent=WITH_PARENT in arguments[1:]))
    except (OSError, ValueError) as error:
        print(f"binome: the agent cannot run: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
