"""Agents and lookouts over real TLS: who may order what, what is refused, and what nobody knows."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest

from binome.core.acceptance import Refused as NotAccepted
from binome.core.plan import Command, Outcome
from binome.runtime.agent import Refused
from binome.runtime.everywhere import Everywhere
from binome.runtime.peer_messages import Ask, Beat, Done, Order, Renew, Report, Standing, Took, decode, encode
from binome.runtime.peer_messages import Refused as Word
from binome.runtime.peer_transport import ChannelError
from tests.runtime.agents import AgentWorld, agents_night, command, next_order
from tests.runtime.authorities import ca, now_ms
from tests.runtime.lookouts import hears, says, until

LISTENS = """\
import socket, sys, time
listening = [socket.create_server(("127.0.0.1", int(port)), backlog=64) for port in sys.argv[1:]]
print("up", flush=True)
time.sleep(60)
"""


def test_an_order_is_carried_out_and_its_outcome_comes_back(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll, _ = world.lookout("a"), world.lookout("b")
        hands = world.agent("other")
        await world.connected("other", "a", "b")
        hands.answer = Outcome("done", "so it is")
        assert await roll.order("other", command(), 5) == Outcome("done", "so it is")
        (begun,) = hands.done
        assert (begun.verb, begun.server, begun.arguments) == ("traffic.fence", "other", {"lost": "b"})
        assert {one["server"]: one["connected"] for one in roll.shown()} == {
            "a": False,
            "b": False,
            "c": False,
            "other": True,
        }

    agents_night(tmp_path, test)


def test_what_is_accepted_is_on_the_disk_before_it_is_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, synced = tmp_path / "data" / "other", []

    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        hands = world.agent("other")
        await world.connected("other", "a")

        def fsync(file: int) -> None:
            path = Path(f"/proc/self/fd/{file}").readlink()
            if path.is_relative_to(folder):
                synced.append((str(path.relative_to(folder)), (folder / "accepted").exists(), len(hands.done)))

        monkeypatch.setattr(os, "fsync", fsync)
        assert (await roll.order("other", command(), 5)).result == "done"
        assert synced == [("accepted.new", False, 0), (".", True, 0)]
        assert len(hands.done) == 1

    agents_night(tmp_path, test)


def test_the_agent_beside_a_lookout_and_the_lookout_do_not_displace_each_other(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        for name in "ab":
            world.lookout(name)
        await until(lambda: all(hears(world.peers[one], "b" if one == "a" else "a")() for one in "ab"))
        before = world.peers["b"]._inward["a"]
        world.agent("a")
        await world.connected("a", "a", "b")
        await asyncio.sleep(1.5)
        assert world.peers["b"]._inward["a"] is before
        assert hears(world.peers["b"], "a")() and world.rolls["b"].is_connected("a")
        assert (await world.rolls["b"].order("a", command(), 5)).result == "done"
        await world.stop("agent a")
        await until(lambda: not world.rolls["b"].is_connected("a"))
        assert hears(world.peers["b"], "a")()

    agents_night(tmp_path, test)


def test_older_generations_and_overtaken_commands_are_refused_also_after_a_restart(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        hands = world.agent("other")
        await world.connected("other", "a")
        assert (await roll.order("other", command(generation=7, step=1), 5)).result == "done"
        await world.stop("agent other")
        await until(lambda: not roll.is_connected("other"))
        world.agent("other")
        await world.connected("other", "a")
        old = await roll.order("other", command(generation=6, plan="q"), 5)
        assert old == Outcome("failed", NotAccepted.OLD_GENERATION.value)
        overtaken = await roll.order("other", command(generation=7, step=0), 5)
        assert overtaken == Outcome("failed", NotAccepted.OVERTAKEN.value)
        again = await roll.order("other", command(generation=7, step=1), 5)
        assert again == Outcome("done")
        assert [one.step for one in hands.done] == [1, 1]
        await until(lambda: "in vain" in str(roll.problems()))

    agents_night(tmp_path, test)


def test_what_is_not_on_the_list_and_what_is_for_another_server_is_not_begun(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        hands = world.agent("other")
        await world.connected("other", "a")
        assert await roll.order("other", command("shell.run"), 5) == Outcome("failed", Refused.UNKNOWN_VERB)
        assert await world.agents["other"].ordered("a", command()) == Outcome("failed", Refused.OTHER_SERVER)
        assert hands.done == []
        assert not (tmp_path / "data" / "other" / "accepted").exists()

    agents_night(tmp_path, test)


def test_what_cannot_be_made_durable_is_not_carried_out(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        hands = world.agent("other")
        await world.connected("other", "a")
        (tmp_path / "data").write_text("no folder can be here")
        assert (await roll.order("other", command(), 5)).result == "unknown"
        assert hands.done == []
        (tmp_path / "data").unlink()
        assert (await roll.order("other", command(), 5)).result == "done"

    agents_night(tmp_path, test)


def test_no_answer_a_lost_connection_and_no_connection_are_unknown(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        hands = world.agent("other")
        assert (await roll.order("other", command(), 5)).result == "unknown"
        await world.connected("other", "a")
        hands.holding = asyncio.Event()
        assert await roll.order("other", command(), 0.1) == Outcome(
            "unknown", "other: its agent gave no answer within 0.1 s"
        )
        waiting = asyncio.ensure_future(roll.order("other", command(plan="q"), 5))
        await asyncio.sleep(0.1)
        await world.stop("agent other")
        assert await waiting == Outcome("unknown", "other: the connection to its agent was lost")

    agents_night(tmp_path, test)


def test_a_plan_is_not_undone_while_it_is_still_being_done(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        hands = world.agent("other")
        await world.connected("other", "a")
        hands.holding = asyncio.Event()
        doing = asyncio.ensure_future(roll.order("other", command(), 5))
        await asyncio.sleep(0.1)
        held, hands.holding = hands.holding, None
        undoing = asyncio.ensure_future(roll.order("other", command("traffic.unfence", undoing=True), 5))
        await asyncio.sleep(0.1)
        assert hands.done == []
        held.set()
        assert [(await one).result for one in (doing, undoing)] == ["done", "done"]
        assert [one.verb for one in hands.done] == ["traffic.fence", "traffic.unfence"]

    agents_night(tmp_path, test)


# -- what a thief of an agent's key can do


def test_an_agent_can_neither_order_nor_say_what_lookouts_say(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        world.lookout("a")
        world.agent("b", world.identity("b"))
        await world.connected("b", "a")
        for message in (Order(1, command()), Standing(9, True), Beat(1, 1, {}), Took(1)):
            thief = await world.played(world.identity("other"), "a")
            thief.hand_over(encode(message))
            with pytest.raises(ChannelError):
                while not isinstance(said := decode(await thief.receive()), Word):
                    pass
                assert "not for an agent to say" in said.why
                raise ChannelError
        assert world.hands["b"].done == []
        as_lookout = await world.greeted(world.identity("other"), "a")
        as_lookout.hand_over(encode(Beat(1, now_ms(), {})))
        said = decode(await as_lookout.receive())
        assert isinstance(said, Word) and "Beat, which is not for it to say" in said.why
        assert "other" not in world.peers["a"].heard

    agents_night(tmp_path, test)


def test_nobody_reports_for_another_host(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        honest, thief = [await world.played(world.identity(one), "a") for one in ("b", "other")]
        await world.connected("b", "a")
        await world.connected("other", "a")
        waiting = asyncio.ensure_future(roll.order("b", command(), 5))
        order = await next_order(honest)
        thief.hand_over(encode(Done(order.number, Outcome("done", "a lie"))))
        await until(says(world.peers["a"], "other, which came to a, was refused: the outcome of an order to another"))
        assert not waiting.done()
        honest.hand_over(encode(Done(order.number, Outcome("failed", "the truth"))))
        assert await waiting == Outcome("failed", "the truth")
        invents = await world.played(world.identity("other"), "a")
        invents.hand_over(encode(Done(order.number + 1, Outcome("done"))))
        await until(says(world.peers["a"], "an order that nobody has given"))

    agents_night(tmp_path, test)


def test_a_certificate_that_is_revoked_or_foreign_gets_no_order(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        world.agent("other")
        await world.connected("other", "a")
        world.ca.revoke("other", "stolen", now_ms())
        world.peers["a"].list_came(world.ca.revoked(now_ms()).pem)
        await until(lambda: not roll.is_connected("other"), 5)
        await until(says(world.peers["a"], "other has a certificate that was revoked"))
        assert (await roll.order("other", command(), 1)).result == "unknown"
        assert world.hands["other"].done == []
        world.agent("b", world.identity("b", ca(tmp_path / "foreign")))
        await until(says(world.peers["a"], "somebody at 127.0.0.1 was turned away"))
        assert not roll.is_connected("b")

    agents_night(tmp_path, test)


def test_an_agent_hears_nobody_but_the_lookout_that_it_dialled(tmp_path: Path) -> None:
    """Whoever has an agent's key and answers at a lookout's address orders nothing."""

    async def test(world: AgentWorld) -> None:
        world.places["a"], world.places["c"] = world.places["c"], world.places["a"]
        thief = world.lookout("b", own=world.identity("b"), places={"b": world.places["a"]})
        world.agent("other")
        await until(lambda: "the certificate of b, at the address of a" in world.agents["other"].links["a"].trouble)
        assert not thief.is_connected("other")
        assert world.agents["other"].links["a"].is_connected is False

    agents_night(tmp_path, test)


def test_another_version_or_file_is_let_in_and_said_but_another_estate_is_not(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        older = await world.played(world.identity("other"), "a", version="0.0.1")
        await world.connected("other", "a")
        older.hand_over(encode(Report(1, 0, False, ["the disk is full"])))
        await until(lambda: len(roll.problems()) == 2)
        assert roll.problems() == [
            "the agent of other: the disk is full",
            "the agent of other runs on another version (0.0.1); start it anew there",
        ]
        await world.played(world.identity("b"), "a", estate="autre")
        await until(says(world.peers["a"], "another estate: autre there, littoral here"))
        assert not roll.is_connected("b")

    agents_night(tmp_path, test)


def test_reports_are_read_together_and_each_word_at_once_while_an_order_is_under_way(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        played = {name: await world.played(world.identity(name), "a") for name in ("other", "b")}
        for name, one in played.items():
            await world.connected(name, "a")
            one.hand_over(encode(Report(1, 1)))
        await until(lambda: all(roll._connected[name].report.generation == 1 for name in played))
        await until(lambda: all(one.resting is not None for one in roll._connected.values()))

        def generations() -> list[int]:
            return [roll._connected[name].report.generation for name in played]

        for name, one in played.items():
            one.hand_over(encode(Report(2, 2)))
            await asyncio.sleep(0.1 if name == "other" else 0)
        seen = set()
        while generations() != [2, 2]:
            seen.add(tuple(generations()))
            await asyncio.sleep(0)
        assert (1, 2) not in seen and len(seen) <= 2, "one moment for both"
        other, took_s = roll._connected["other"], 0.0

        def rests(generation: int) -> bool:
            resting = other.resting is not None and not other.resting.done()
            return resting and other.report.generation == generation

        for number in range(6):
            played["other"].hand_over(encode(Report(3, 3 + number)))
            await until(partial(rests, 3 + number))
            begun_s = time.monotonic()
            ordered = asyncio.ensure_future(roll.order("other", command(), 5))
            order = decode(await played["other"].receive())
            assert isinstance(order, Order)
            played["other"].hand_over(encode(Done(order.number, Outcome("done", str(number)))))
            assert await ordered == Outcome("done", str(number))
            took_s += time.monotonic() - begun_s
        assert took_s < 6 * 0.2, "it would be 3 s at the moments at which reports are read"

    agents_night(tmp_path, test)


def test_what_is_revoked_reaches_agents_by_the_lookouts(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        world.lookout("a")
        world.agent("other")
        await world.connected("other", "a")
        world.identity("c")
        world.ca.revoke("c", "stolen", now_ms())
        world.peers["a"].list_came(world.ca.revoked(now_ms()).pem)
        await until(lambda: world.agents["other"].hello().revoked == world.peers["a"].hello().revoked > 0)

    agents_night(tmp_path, test)


# -- many at once


def test_a_slow_or_missing_agent_delays_no_takeover_and_is_named(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        for server in ("a", "other"):
            world.agent(server)
            await world.connected(server, "a")
        driver = Everywhere(roll, ["a", "b", "c", "other"], {"database": ["b", "other"]})
        world.hands["other"].holding = asyncio.Event()
        begun_s = asyncio.get_running_loop().time()
        outcome = await driver.carry_out(command())
        assert asyncio.get_running_loop().time() - begun_s < 0.5
        assert outcome.result == "done"
        assert outcome.detail == "c: its agent is not connected; other: its agent gave no answer within 0.15 s"
        world.hands["other"].holding.set()
        assert await driver.carry_out(command("traffic.unfence", plan="q")) == Outcome(
            "unknown", "c: its agent is not connected"
        )
        world.hands["a"].answer = Outcome("failed", "no such server or frontend")
        assert (await driver.carry_out(command())).result == "done"
        assert (await driver.carry_out(command("traffic.unfence", plan="q"))).result == "unknown"

    agents_night(tmp_path, test)


def test_who_leads_no_more_learns_it_from_the_agents(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        roll = world.lookout("a")
        world.agent("a")
        await world.connected("a", "a")
        driver = Everywhere(roll, ["a"], {})
        await driver.carry_out(command(generation=9))
        late = await driver.carry_out(command(generation=8, plan="q"))
        assert late == Outcome("failed", f"a: {NotAccepted.OLD_GENERATION.value}")
        assert [one.generation for one in world.hands["a"].done] == [9]

    agents_night(tmp_path, test)


# -- isolation


def test_an_agent_fences_itself_when_two_of_three_do_not_answer_and_returns_by_the_leaders_word(tmp_path: Path) -> None:
    """Loopback cannot be cut, so the test cuts what the kernel says of it; a real cut has its turn in the lab."""

    async def test(world: AgentWorld) -> None:
        for name in "abc":
            world.lookout(name)
        hands = world.agent("other")
        await world.connected("other", "a", "b", "c")
        agent = world.agents["other"]
        reach, cut = agent._reach, set[str]()
        answered_ms = reach.answered_ms
        reach.answered_ms = lambda server: 1 << 40 if server in cut else answered_ms(server)  # type: ignore[method-assign]
        cut.add("b")
        await asyncio.sleep(1.8)
        assert hands.own == []
        cut.add("c")
        cut_s = asyncio.get_running_loop().time()
        await until(lambda: hands.own == ["fence"], 3)
        assert asyncio.get_running_loop().time() - cut_s < 1.7
        assert (tmp_path / "data" / "other" / "isolated").exists()
        world.words["a"] = Standing(5, True)  # heard, and not enough: it is not back with a majority
        await until(lambda: hands.own.count("fence") >= 2, 3)
        mine = msgspec.structs.replace(command("traffic.unfence"), server="other")
        assert await agent.ordered("a", mine) == Outcome("unknown", Refused.ISOLATED)
        world.words["a"] = Standing(5, False)
        await until(lambda: world.rolls["a"].shown()[3]["fenced"])
        cut.clear()
        await asyncio.sleep(1.5)
        assert "free" not in hands.own, "something was taken over"
        world.words["a"] = Standing(5, True)
        await until(lambda: hands.own[-1] == "free", 3)
        await until(lambda: not world.rolls["a"].shown()[3]["fenced"], 3)
        assert not (tmp_path / "data" / "other" / "isolated").exists()

    agents_night(tmp_path, test)


def test_an_isolated_agent_comes_back_on_a_persons_word_until_who_was_off_answers(tmp_path: Path) -> None:
    def word(lost: str, generation: int = 9) -> Command:
        plain = command("isolation.attest", plan=f"attested/{generation}", generation=generation)
        return msgspec.structs.replace(plain, arguments={"lost": lost})

    async def test(world: AgentWorld) -> None:
        for name in "abc":
            world.lookout(name)
        hands = world.agent("other")
        await world.connected("other", "a", "b", "c")
        agent = world.agents["other"]
        reach, cut = agent._reach, {"b", "c"}
        answered_ms = reach.answered_ms
        reach.answered_ms = lambda server: 1 << 40 if server in cut else answered_ms(server)  # type: ignore[method-assign]
        await until(lambda: agent.fenced, 3)
        roll, file = world.rolls["a"], tmp_path / "data" / "other" / "attested"
        assert (await roll.order("other", word("b x"), 5)).detail == Refused.NO_LOOKOUT
        assert (await roll.order("other", word("a b"), 5)).detail == f"{Refused.ANSWERS}: a"
        assert agent.fenced and not file.exists()
        assert (await roll.order("other", word("b c"), 5)).result == "done"
        assert (agent.fenced, hands.own[-1], file.exists()) == (False, "free", True)
        assert (await roll.order("other", word("b c", 8), 5)).detail == NotAccepted.OLD_GENERATION
        await asyncio.sleep(1.5)
        assert (agent.fenced, hands.own[-1]) == (False, "free"), "those count no longer"
        cut.clear()
        await until(lambda: not file.exists(), 3)
        cut.update("bc")
        await until(lambda: agent.fenced, 4)

    agents_night(tmp_path, test)


def test_a_restarted_agent_stays_fenced_and_an_older_word_frees_nobody(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        for name in "abc":
            world.lookout(name)
        mark = tmp_path / "data" / "other" / "isolated"
        mark.parent.mkdir(parents=True)
        mark.touch()
        hands = world.agent("other")
        await world.connected("other", "a", "b", "c")
        assert (await world.rolls["b"].order("other", command(generation=9), 5)).result == "done"
        world.words["a"] = Standing(8, True)
        await until(lambda: "gave its word in vain" in str(world.rolls["a"].problems()), 3)
        assert hands.own == []
        world.words["a"] = Standing(10, True)
        await until(lambda: not mark.exists(), 3)
        assert hands.own == ["free"]
        assert world.agents["other"].report(1).generation == 10

    agents_night(tmp_path, test)


def test_lookouts_that_are_restarted_all_at_once_fence_nobody(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        for name in "abc":
            world.lookout(name)
        hands = world.agent("other")
        await world.connected("other", "a", "b", "c")
        for name in "abc":
            await world.stop(name)
        await asyncio.sleep(3)
        assert hands.own == []
        for name in "abc":
            world.lookout(name, own=world.peers_identity(name))
        await world.connected("other", "a", "b", "c")
        assert hands.own == []

    agents_night(tmp_path, test)


def test_lookouts_that_stand_still_all_at_once_fence_nobody(tmp_path: Path) -> None:
    """Their kernels answer, with no help of theirs: on connections that are open, and on those that begin."""

    async def test(world: AgentWorld) -> None:
        frozen = subprocess.Popen(
            [sys.executable, "-c", LISTENS, *(str(port) for _, port in world.places.values())], stdout=subprocess.PIPE
        )
        try:
            assert frozen.stdout is not None and frozen.stdout.readline() == b"up\n"
            os.kill(frozen.pid, signal.SIGSTOP)
            hands = world.agent("other")
            await asyncio.sleep(5)
            assert hands.own == []
            assert max(world.agents["other"]._reach.answered_ms(one) for one in "abc") < 1300
        finally:
            frozen.kill()
            frozen.wait()

    agents_night(tmp_path, test)


def test_an_agent_may_ask_for_its_own_certificate_alone(tmp_path: Path) -> None:
    async def test(world: AgentWorld) -> None:
        world.lookout("a")
        agent = await world.played(world.identity("other"), "a")
        agent.hand_over(encode(Ask(1, Renew(b"no request"))))
        said = decode(await agent.receive())
        assert isinstance(said, Word), "a lookout without answers hears no questions"

    agents_night(tmp_path, test)
