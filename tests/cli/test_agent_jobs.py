"""Long work of an agent: begun once, ended in time, kept until it is told to be forgotten, and gone with the agent."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from binome.cli import agent_hands
from binome.cli.agent_hands import AgentHands
from binome.cli.agent_jobs import BROKEN_OFF, TOO_LONG, Jobs
from binome.cli.agent_start import settings_of
from binome.core.backup_facts import FORGET, PROVE, TAKE
from binome.core.backup_results import LONGEST, told
from binome.core.plan import Command
from binome.render import Folders
from tests.runtime.world import LITTORAL

COPY = {"at_ms": 5, "size_bytes": 7, "stored": {"vault-ams": "a1"}, "failed": {}}
PROOF = {
    "vault": "vault-ams",
    "copy": "a1",
    "at_ms": 5,
    "verdict": "proven",
    "phases_ms": {"fetch": 10, "verify": 5, "restore": 20, "start": 3, "check": 100},
    "certificate": "x" * 2000,
}


async def until(good: Callable[[], bool], within_s: float = 10.0) -> None:
    end_s = time.monotonic() + within_s
    while not good():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.01)


def plain(said: bytes) -> str:
    return said.decode().strip()


def state(jobs: Jobs) -> list[tuple[str, str, str]]:
    return [(one.id, one.state, one.detail) for one in jobs.told()]


def test_a_job_is_begun_once_however_often_it_is_ordered(tmp_path: Path) -> None:
    async def test() -> None:
        log, jobs = tmp_path / "log", Jobs(tmp_path / "jobs")
        command = ["sh", "-c", f"echo run >> {log}; echo result"]
        for _ in range(3):
            assert (await jobs.begin("p", "nightly", command, plain, 10)).result == "done"
        await until(lambda: state(jobs) == [("p", "done", "result")])
        assert (await jobs.begin("p", "nightly", command, plain, 10)).result == "done"
        again = Jobs(tmp_path / "jobs")  # started anew
        assert state(again) == [("p", "done", "result")], "what nobody has acknowledged is still told"
        assert (await again.begin("p", "nightly", command, plain, 10)).result == "done"
        assert log.read_text() == "run\n"
        await again.forget("p")
        await again.forget("p")
        assert (again.told(), list((tmp_path / "jobs").iterdir())) == ([], [])

    asyncio.run(test())


@pytest.mark.parametrize(
    ("script", "within_s", "expected", "detail"),
    [
        ("echo good; exit 1", 10, "done", "good"),  # an answer, and a bad one
        ("echo half; echo why it is so >&2; exit 3", 10, "failed", "why it is so"),
        ("exit 4", 10, "failed", "it ended with 4"),
        ("sleep 60", 0.2, "failed", TOO_LONG),
        ("kill -9 $$", 10, "failed", "it ended with -9"),
    ],
)
def test_how_it_ends_is_what_is_told(tmp_path: Path, script: str, within_s: float, expected: str, detail: str) -> None:
    async def test() -> None:
        jobs = Jobs(tmp_path)
        await jobs.begin("p", "nightly", ["sh", "-c", script], plain, within_s)
        await until(lambda: jobs.told()[0].state != "running")
        assert state(jobs) == [("p", expected, detail)]

    asyncio.run(test())


def test_what_makes_no_sense_has_failed_with_its_last_words(tmp_path: Path) -> None:
    async def test() -> None:
        jobs = Jobs(tmp_path)
        for script, detail in (
            ("echo nothing", "what it said makes no sense: "),
            ("echo 'no vault has it' >&2; exit 1", "no vault has it"),
        ):
            await jobs.begin(script, "nightly", ["sh", "-c", script], lambda said: told(TAKE, said), 10)
            await until(lambda: jobs.told()[0].state == "failed")
            assert jobs.told()[0].detail.startswith(detail)

    asyncio.run(test())


def test_a_later_job_of_the_same_subject_ends_the_one_before(tmp_path: Path) -> None:
    async def test() -> None:
        jobs, pid = Jobs(tmp_path / "jobs"), tmp_path / "pid"
        await jobs.begin("p", "nightly", ["sh", "-c", f"echo $$ > {pid}; exec sleep 60"], plain, 100)
        await jobs.begin("other", "nightly/proof", ["true"], plain, 100)
        await until(lambda: pid.exists() and bool(pid.read_text().strip()))
        await jobs.begin("q", "nightly", ["echo", "second"], plain, 100)
        assert not Path(f"/proc/{pid.read_text().strip()}").exists()
        await until(lambda: jobs.told()[0].state == "done")
        assert sorted(state(jobs)) == [("other", "done", ""), ("q", "done", "second")]

    asyncio.run(test())


AGENT = """\
import asyncio, sys
from pathlib import Path
from binome.cli.agent_jobs import Jobs

async def main():
    jobs = Jobs(Path(sys.argv[1]))
    await jobs.begin("p", "nightly", ["sh", "-c", f"echo $$ > {sys.argv[2]}; exec sleep 60"], bytes.decode, 100)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_job_dies_with_its_agent_and_has_failed_for_the_next(tmp_path: Path, number: signal.Signals) -> None:
    pid = tmp_path / "pid"
    agent = subprocess.Popen([sys.executable, "-c", AGENT, str(tmp_path / "jobs"), str(pid)], stderr=subprocess.DEVNULL)
    try:
        end_s = time.monotonic() + 20
        while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < end_s:
            time.sleep(0.02)
        agent.send_signal(number)
        agent.wait(10)
    finally:
        agent.kill()
        agent.wait()
    job = Path(f"/proc/{pid.read_text().strip()}")
    while job.exists() and time.monotonic() < end_s:
        time.sleep(0.02)
    assert not job.exists()
    (one,) = Jobs(tmp_path / "jobs").told()
    assert (one.id, one.state) == ("p", "failed")
    if number is signal.SIGKILL:
        assert one.detail == BROKEN_OFF


# -- what the hands make of an order


def order(verb: str, plan: str = "p", **arguments: str) -> Command:
    subject = "nightly" if verb == TAKE else "nightly/proof"
    wanted = {"backup": "nightly", "lease_ms": "60000", "what": "copy"} | arguments
    return Command(f"{plan}/0", plan, 0, False, verb, "gra-db", subject, wanted, 1)


def test_orders_become_commands_of_binome_and_their_answers_what_a_report_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "binome"
    script.write_text(
        f'echo "$@" >> {tmp_path}/log\ncase $2 in\n'
        f"take) echo '{json.dumps(COPY)}';;\nprove) echo '{json.dumps(PROOF)}';;\nesac\n"
    )
    monkeypatch.setattr(agent_hands, "PROGRAM", ("sh", str(script)))

    async def test() -> None:
        folders, file = Folders(str(tmp_path)), tmp_path / "estate.yaml"
        hands = AgentHands(settings_of(LITTORAL, "gra-db", folders, file))
        proof = {"vault": "vault-ams", "copy": "a1", "what": "damaged"}
        assert (await hands.verbs[TAKE](order(TAKE))).result == "done"
        await until(lambda: all(one.state == "done" for one in hands.jobs()))
        assert (await hands.verbs[PROVE](order(PROVE, "q", **proof))).result == "done"
        await until(lambda: all(one.state == "done" for one in hands.jobs()))
        where = f"--estate {file} --as gra-db --json"
        assert (tmp_path / "log").read_text().splitlines() == [
            f"backup take nightly {where}",
            f"backup prove nightly a1 --vault vault-ams --damage {where} --tls {folders.tls}",
        ]
        copy, proven = hands.jobs()
        assert json.loads(copy.detail) == COPY
        assert json.loads(proven.detail) == {
            "vault": "vault-ams",
            "copy": "a1",
            "at_ms": 5,
            "verdict": "proven",
            "restored_ms": 33,
            "found": "",
        }
        assert (await hands.verbs[FORGET](order(FORGET))).result == "done"
        assert [one.id for one in hands.jobs()] == ["q"]

    asyncio.run(test())


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        (TAKE, {"backup": "hourly"}),
        (TAKE, {"backup": "--help"}),
        (PROVE, {"vault": "elsewhere", "copy": "a1"}),
        (PROVE, {"vault": "vault-ams", "copy": "--scratch=/etc"}),
        (PROVE, {"vault": "vault-ams"}),
    ],
)
def test_what_the_estate_does_not_have_is_not_begun(tmp_path: Path, verb: str, arguments: dict[str, str]) -> None:
    async def test() -> None:
        hands = AgentHands(settings_of(LITTORAL, "gra-db", Folders(str(tmp_path)), tmp_path / "estate.yaml"))
        assert (await hands.verbs[verb](order(verb, **arguments))).result == "failed"
        assert hands.jobs() == []

    asyncio.run(test())


def test_an_answer_that_is_too_long_for_a_report_is_none() -> None:
    many = COPY | {"stored": {f"vault-{number}": "a" * 64 for number in range(40)}}
    with pytest.raises(ValueError, match=str(LONGEST)):
        told(TAKE, json.dumps(many).encode())
    with pytest.raises(ValueError, match="no vault"):
        told(TAKE, json.dumps(COPY | {"stored": {}}).encode())
