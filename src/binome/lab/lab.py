"""The lab: an estate, built on this machine as several data centres of real engines.

Everything that the lab makes has its name written into `state.json` before it is made, so that whatever happens to its
starter, `tear_down` finds all of it. What can be done to a site depends on its state:

    up ── cut ──► cut ── heal ──► up
    up, cut ── burn ──► burned ── rebuild ──► rebuilding ──► up

Burning disables the site's network first and ends all of its processes then, at once: the others see silence, as they
would from a building without power; no connection is reset.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from binome.estate import Estate, load
from binome.estate.model import EtcdService, PostgresqlService
from binome.lab import cgroup, engines, inside, lookouts, network, process, rejoining, web
from binome.lab.engines import ENGINES, Look, Place, database_of
from binome.lab.errors import LabError, LabTimeoutError
from binome.lab.network import Network
from binome.lab.outside import Outside
from binome.lab.preconditions import check_possible, check_privileges
from binome.lab.providers import secrets_of
from binome.lab.shell import run
from binome.lab.state import FOLDER, State
from binome.render import Folders, render
from binome.render.places import (
    ETCD_CLIENT_PORT,
    PATRONI_PORT,
    DatabasePlaces,
    database_places,
)
from binome.runtime.identity import DEFAULT_DAYS, Authority, Identity, new_key

READY_TIMEOUT_S = 60

Say = Callable[[str], None]


_NEXT = {
    "up": "Burn it or cut it first.",
    "cut": "Heal it: binome lab heal {}",
    "burned": "Rebuild it: binome lab rebuild {}",
    "rebuilding": "Rebuild it again: binome lab rebuild {}",
}


def _silent(_: str) -> None:
    """Says nothing."""


class Lab:
    """A lab. Made by `claim` and `build`, found again by `find`."""

    def __init__(self, folder: Path, estate: Estate, state: State) -> None:
        self.folder = folder
        self.estate = estate
        self._state = state
        self._network = Network.of(estate)
        self.clocks: dict[str, Mapping[str, str]] = {}  # lookout → what gives it a clock of its own
        self._children: list[subprocess.Popen[bytes]] = []
        self.outside = Outside(folder, estate, self._network, self._spawn)

    # -- making and finding

    @classmethod
    def claim(cls, text: bytes, folder: Path = FOLDER) -> Lab:
        """Checks that the estate in `text` can be built here, and writes down the names of all that `build` will make.

        Raises EstateError where the estate is refused, and LabError, with nothing made, where a lab is up, a name or a
        port is taken, an engine or a right is missing.
        """
        estate = load(text)
        net = check_possible(estate, folder)
        try:
            folder.mkdir(mode=0o755, parents=True)
        except FileExistsError:
            raise LabError(f"{folder} is there already: another lab is being built.") from None
        state = State(estate.estate, net.names(), not network.mounted(), dict.fromkeys(estate.sites, "up"))
        state.secrets = {
            name: secrets.token_urlsafe(18) for name in ("replication", "rewind", "client", *secrets_of(estate))
        }
        state.save(folder)
        (folder / "estate.yaml").write_bytes(text)
        return cls(folder, estate, state)

    def build(self, say: Say = _silent) -> None:
        """Builds what was claimed, and waits until it works. `say` hears of each step."""
        self._prepare()
        say("networks and folders are there")
        self.outside.start()
        self._start_servers(list(self.estate.servers))
        self.wait_until_whole(say)

    @classmethod
    def find(cls, folder: Path = FOLDER) -> Lab:
        """The lab that is up in `folder`. Raises LabError where there is none."""
        check_privileges()
        state = State.read(folder)
        if state is None or not (folder / "estate.yaml").exists():
            raise LabError(f"no lab is up in {folder}.  Build one: binome lab up ESTATE")
        return cls(folder, load((folder / "estate.yaml").read_bytes()), state)

    def _prepare(self) -> None:
        shared = self.folder / "shared"
        (shared / "venv").mkdir(parents=True)
        shutil.copy(web.__file__, shared / "web.py")
        hosts = [f"{address} {server}" for server, (_, address) in self._network.servers.items()]
        (shared / "hosts").write_text("\n".join(["127.0.0.1 localhost", *hosts, *self.outside.hosts()]) + "\n")
        (shared / "resolv.conf").write_text("# no name server can be reached from the lab\n")
        (self.folder / "logs").mkdir()
        Authority.make(self.folder / "ca", self.estate.estate, days=DEFAULT_DAYS, now_ms=time.time_ns() // 1_000_000)
        self._network.create()
        for server in self.estate.servers:
            cgroup.create("sites", self._site(server), server)
        cgroup.create(network.CLIENT)

    # -- what can be done to it

    def burn(self, site: str, *, wipe: bool = False) -> None:
        """Takes a site's network away, then ends all that runs in it; with `wipe` its data is gone too."""
        with self._changing(site, "up", "cut"):
            self._state.sites[site] = "burned"
            if wipe:
                self._state.wiped = sorted({*self._state.wiped, *self.servers_of(site)})
            self._state.save(self.folder)
            self._network.cut(site)
            cgroup.kill("sites", site)
            self._reap()
            if wipe:
                for server in self.servers_of(site):
                    shutil.rmtree(self.root(server), ignore_errors=True)

    def cut(self, site: str) -> None:
        """Takes a site's network away; what runs in it lives on, alone."""
        with self._changing(site, "up"):
            self._state.sites[site] = "cut"
            self._state.save(self.folder)
            self._network.cut(site)

    def heal(self, site: str) -> None:
        """Gives a site that was cut its network back."""
        with self._changing(site, "cut"):
            self._network.join(site)
            self._state.sites[site] = "up"
            self._state.save(self.folder)

    def rebuild(self, site: str, say: Say = _silent, *, waits: bool = True) -> None:
        """Gives a site that burned its network back, and starts it from what is left of it, or from nothing.

        Without `waits` nobody waits until its engines work: members of etcd that were struck out cannot by themselves.
        """
        with self._changing(site, "burned", "rebuilding"):
            self._state.sites[site] = "rebuilding"  # an attempt that was broken off can be made again
            self._state.save(self.folder)
            cgroup.kill("sites", site)
            self._network.join(site)
            self._start_servers(self.servers_of(site), waits=waits)
            self._state.wiped = [server for server in self._state.wiped if self._site(server) != site]
            self._state.sites[site] = "up"
            self._state.save(self.folder)
        if waits:
            self.wait_until_whole(say)

    def take(self, servers: Collection[str]) -> None:
        """Takes servers off the network, whatever their sites, then ends all that runs on them; their data is gone."""
        self._state.wiped = sorted({*self._state.wiped, *servers})
        self._state.save(self.folder)
        for server in servers:
            self._network.unplug(server)
        for server in servers:
            cgroup.kill("sites", self._site(server), server)
            shutil.rmtree(self.root(server), ignore_errors=True)
        self._reap()

    def give_back(self, servers: Collection[str]) -> None:
        """Gives servers that were taken their network back, and starts them from nothing; nobody waits for a pair."""
        for server in servers:
            self._network.plug(server)
        self._start_servers([server for server in self.estate.servers if server in servers])
        self._state.wiped = [server for server in self._state.wiped if server not in servers]
        self._state.save(self.folder)

    def move_leader(self, service: str, server: str) -> None:
        """Makes a server the leader of an etcd service."""
        leader = self._with_role(service, "leader")
        members = self.ask_etcd(leader, "/v3/cluster/member/list", {})["members"]
        targets = [member["ID"] for member in members if member.get("name") == server]
        if not targets:
            raise LabError(f"{server} is no member of {service}.")
        if leader != server:
            self.ask_etcd(leader, "/v3/maintenance/transfer-leadership", {"targetID": targets[0]})

    # -- what can be seen of it

    def sites(self) -> dict[str, str]:
        """Each site's state: up, cut, burned or rebuilding."""
        return dict(self._state.sites)

    def servers_of(self, site: str) -> list[str]:
        """The servers of a site."""
        return [server for server in self.estate.servers if self._site(server) == site]

    def looks(self) -> dict[str, dict[str, Look]]:
        """Service → server → what the engine there says of itself, asked from inside each server."""
        members = [(name, server) for name, options in self._services() for server in options.on]
        with ThreadPoolExecutor(max(len(members), 1)) as pool:
            seen = list(pool.map(lambda member: self.look(*member), members))
        result: dict[str, dict[str, Look]] = {}
        for (name, server), one in zip(members, seen, strict=True):
            result.setdefault(name, {})[server] = one
        return result

    def look(self, service: str, server: str) -> Look:
        """What one engine says of itself."""
        if self._state.sites[self._site(server)] == "burned":
            return Look("-", "down")
        return engines.look(self._place(service, server), self.estate.services[service])

    def status(self) -> dict[str, Any]:
        """The record that `binome lab status --json` prints."""
        looks = self.looks()
        whole = all(one.state == "up" for members in looks.values() for one in members.values())
        return {
            "state": "up" if whole and set(self._state.sites.values()) == {"up"} else "degraded",
            "folder": str(self.folder),
            "sites": {
                site: {"state": state, "servers": self.servers_of(site)} for site, state in self._state.sites.items()
            },
            "services": {
                name: {server: {"role": one.role, "state": one.state} for server, one in members.items()}
                for name, members in looks.items()
            },
            "lookouts": {
                name: {"leads": said is not None and said["leads"] is not None, "state": "up" if said else "down"}
                for name, said in self.lookouts().items()
            },
            "not_built": engines.not_built(self.estate),
        }

    def lookouts(self) -> dict[str, dict[str, Any] | None]:
        """What each lookout says of itself; None where it says nothing."""
        return {
            name: None if self._state.sites[self._site(name)] == "burned" else lookouts.said(self.root(name))
            for name in lookouts.names(self.estate)
        }

    def wait_until_whole(self, say: Say = _silent, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Waits until nothing is missing any more. Raises LabTimeoutError, with what is, when that takes too long."""
        told: set[str] = set()

        def missing() -> list[str]:
            looks = self.looks()
            lacking = {service: self._lacking(service, members) for service, members in looks.items()}
            statuses = {name: said for name, said in self.lookouts().items() if self._is_reachable(name)}
            lacking["the lookouts"] = lookouts.lacking(statuses)
            if statuses and not lacking["the lookouts"] and "the lookouts" not in told:
                told.add("the lookouts")
                leader = next(name for name, said in statuses.items() if said and said["leads"] is not None)
                say(f"{len(statuses)} lookouts are up, {leader} leads")
            for service, members in looks.items():
                if not lacking[service] and service not in told:
                    told.add(service)
                    say(f"{service} is up: " + ", ".join(f"{server} {one.role}" for server, one in members.items()))
            return [f"{service}: {what}" for service, whats in lacking.items() for what in whats]

        self.wait_for(missing, "the engines", timeout_s)

    def _engines_lacking(self) -> list[str]:
        lacking = [one for service, members in self.looks().items() for one in self._lacking(service, members)]
        return lacking + self.outside.lacking()

    def _lacking(self, service: str, members: dict[str, Look]) -> list[str]:
        expected = [server for server in members if self._is_reachable(server)]
        lacking = [f"{server} ({members[server].state})" for server in expected if members[server].state != "up"]
        options = self.estate.services[service]
        if lacking or not isinstance(options, PostgresqlService):
            return lacking
        primaries = [server for server in expected if members[server].role == "primary"]
        if len(primaries) != 1:
            return [f"{len(primaries)} primaries"]
        if options.replication == "synchronous" and len(expected) > 1 and not self._waits_for_standby(primaries[0]):
            return [f"{primaries[0]} (no synchronous standby yet)"]
        return []

    def _is_reachable(self, server: str) -> bool:
        return self._state.sites[self._site(server)] not in ("burned", "cut")

    def wait_for(self, missing: Callable[[], list[str]], what: str, timeout_s: float) -> None:
        """Waits until `missing` finds nothing. Raises LabTimeoutError, with what it found last, after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while left := missing():
            self._reap()
            if time.monotonic() > deadline:
                raise LabTimeoutError(f"{what}: after {timeout_s:g} s still missing: {', '.join(left)}")
            time.sleep(0.05)

    def primary(self, service: str) -> str:
        """The server with the primary of a database. Raises LabError where none or more than one says that it is."""
        return self._with_role(service, "primary")

    def database(self) -> str:
        """The name of the estate's first database. Raises LabError where it has none."""
        return database_of(self.estate)

    def keep_evidence(self, into: Path, *, engines: bool) -> None:
        """Copies what the clients wrote down, and with `engines` all logs, to where they outlive the lab."""
        with suppress(OSError):  # evidence that cannot be kept must not hide what it is of
            shutil.rmtree(into, ignore_errors=True)
            into.mkdir(parents=True)
            for path in self.folder.glob("*.jsonl"):
                shutil.copy(path, into)
            if engines:
                shutil.copytree(self.folder / "logs", into, dirs_exist_ok=True)

    # -- for the workload

    def client_password(self) -> str:
        """The password of the role that the workload logs in with."""
        return self._state.secrets["client"]

    def run_sql(self, service: str, server: str, sql: str, database: str = "postgres") -> str:
        """Runs SQL as the postgres user on a server, through its socket; returns bare, unaligned rows."""
        socket = self._database_places(service, server).sockets
        arguments = ("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", socket, "-d", database, "-c", sql)
        return run("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *arguments)

    def spawn_client(self, program: process.Program, log: str) -> subprocess.Popen[bytes]:
        """Starts a program in the client's namespace, outside of every site."""
        return self._spawn(network.CLIENT, cgroup.root() / network.CLIENT, program, log)

    def spawn(self, server: str, program: process.Program, log: str) -> subprocess.Popen[bytes]:
        """Starts a program on a server: what a process of the team's would see from there."""
        return self._spawn(server, cgroup.root() / "sites" / self._site(server) / server, program, log)

    def pids(self, server: str) -> set[int]:
        """The processes that run on a server."""
        return cgroup.pids("sites", self._site(server), server)

    def _spawn(self, server: str, group: Path, program: process.Program, log: str) -> subprocess.Popen[bytes]:
        child = process.start(program, server, group, self.folder / "logs" / log, self.folder / "shared")
        self._children.append(child)
        return child

    # -- within

    def _services(self) -> Iterator[tuple[str, Any]]:
        return ((name, options) for name, options in self.estate.services.items() if type(options) in ENGINES)

    def _site(self, server: str) -> str:
        return self._network.servers[server][0]

    def root(self, server: str) -> Path:
        """The folder that a server has for /."""
        return self.folder / "servers" / server

    def _database_places(self, service: str, server: str) -> DatabasePlaces:
        options: Any = self.estate.services[service]
        return database_places(service, options, Folders(str(self.root(server))))

    def _place(self, service: str, server: str) -> Place:
        address = self._network.servers[server][1]
        shared = self.folder / "shared"
        return Place(service, server, address, self.root(server), shared, self._state.secrets)

    def _with_role(self, service: str, role: str) -> str:
        holders = [server for server, one in self.looks()[service].items() if one.role == role]
        if len(holders) != 1:
            raise LabError(f"{service} has {len(holders)} members that say they are {role}: {', '.join(holders)}")
        return holders[0]

    def _waits_for_standby(self, primary: str) -> bool:
        """Whether Patroni has made a standby synchronous: until then the primary acknowledges alone."""
        try:
            said = inside.ask(primary, (self._network.servers[primary][1], PATRONI_PORT), "/cluster")
            return any(member["role"] == "sync_standby" for member in said["members"])
        except (OSError, TypeError, KeyError):  # no answer yet, or not the one of a cluster that works
            return False

    def _start_servers(self, servers: list[str], *, waits: bool = True) -> None:
        """Starts what the estate says on these servers: agreement first, then databases, then what is before them."""
        for server in servers:
            self._write_files(server, rejoin=server in self._state.wiped)
        for kind in ENGINES:
            for service, options in self._services():
                if isinstance(options, kind):
                    members = [server for server in options.on if server in servers]
                    self._start_members(service, options, members, waits=waits)
        if waits and set(servers) == set(self.estate.servers):  # who looked out now would page that engines start
            self.wait_for(self._engines_lacking, "the engines", READY_TIMEOUT_S)
        for server in (*lookouts.names(self.estate), *lookouts.agents(self.estate)):
            if server in servers:
                self.start_lookout(server)

    def start_lookout(self, server: str) -> subprocess.Popen[bytes]:
        """Starts `binome run` on a server: a lookout with its agent, or an agent alone."""
        environment = {**self.outside.environment(self._state.secrets), **self.clocks.get(server, {})}
        program = lookouts.program(self.folder / "estate.yaml", server, self.root(server), environment)
        return self.spawn(server, program, f"{server}.binome.log")

    def _start_members(self, service: str, options: Any, members: list[str], *, waits: bool) -> None:
        """Starts members of one service. Who founds a database is not left to chance: it is the first of the estate."""
        founding = isinstance(options, PostgresqlService) and members == list(options.on)
        for server in members[:1] if founding else members:
            self.start_member(service, server)
        if founding:
            self._wait_for_looks(service, lambda looks: Look("primary", "up") in looks.values())
            for server in members[1:]:
                self.start_member(service, server)
        elif isinstance(options, EtcdService) and waits:
            self._wait_for_looks(service, lambda looks: all(looks[server].state == "up" for server in members))

    def _wait_for_looks(self, service: str, enough: Callable[[dict[str, Look]], bool]) -> None:
        def missing() -> list[str]:
            looks = {server: self.look(service, server) for server in self.estate.services[service].on}
            return [] if enough(looks) else [f"{server} {one.role} {one.state}" for server, one in looks.items()]

        self.wait_for(missing, service, READY_TIMEOUT_S)

    def _write_files(self, server: str, *, rejoin: bool) -> None:
        folders = Folders(str(self.root(server)))
        for folder in (folders.data, folders.run):
            Path(folder).mkdir(parents=True, exist_ok=True)
        for path, text in render(self.estate, server, folders, rejoin=rejoin).items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        self._issue(server, Path(folders.tls))
        for service, options in self._services():
            if server in options.on and isinstance(options, PostgresqlService):
                user, places = pwd.getpwnam("postgres"), self._database_places(service, server)
                for folder, mode in ((places.data, 0o700), (places.sockets, 0o755)):
                    Path(folder).mkdir(mode=mode, parents=True, exist_ok=True)
                    os.chown(folder, user.pw_uid, user.pw_gid)

    def _issue(self, server: str, into: Path) -> None:
        """Gives a server its identity where it has none; one whose data was lost has lost it too."""
        if (into / "server.pem").exists():
            return
        authority, key, now_ms = Authority(self.folder / "ca"), new_key(), time.time_ns() // 1_000_000
        paper = authority.issue(server, self._network.servers[server][1], key.public_key(), now_ms)
        revoked = authority.revoked(now_ms).pem
        Identity.put(into, ca=authority.pem, certificate=paper.pem, key=key, revoked_list=revoked)

    def start_member(self, service: str, server: str, *, from_nothing: bool = False) -> None:
        """Starts one member of a service; `from_nothing`: an etcd member whose data alone is gone enters anew."""
        options = self.estate.services[service]
        if from_nothing:
            self._write_files(server, rejoin=True)
        if isinstance(options, EtcdService) and (from_nothing or server in self._state.wiped):
            rejoining.replace_etcd_member(self, service, server, self._network.servers[server][1])
        engine = ENGINES[type(options)]
        program = engine.program(self._place(service, server), options)
        self.spawn(server, program, f"{server}.{service}.{engine.log}.log")

    def ask_etcd(self, server: str, path: str, body: Mapping[str, Any]) -> Any:
        """What the etcd on a server answers, as JSON. Raises LabError where it does not, or refuses."""
        address = self._network.servers[server][1]
        try:
            said = inside.ask(server, (address, ETCD_CLIENT_PORT), path, body=dict(body), timeout_s=5)
        except OSError as error:
            raise LabError(f"etcd on {server} did not answer {path}: {error}") from None
        if not isinstance(said, dict) or "error" in said:
            raise LabError(f"etcd on {server} refused {path}: {said['error'] if said else 'no answer'}")
        return said

    @contextmanager
    def _changing(self, site: str, *states: str) -> Iterator[None]:
        """One change at a time, and only from a state that allows it."""
        if site not in self._state.sites:
            raise LabError(f"there is no site {site}.  Sites: {', '.join(self._state.sites)}")
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError("another command is changing the lab.  Wait until it has ended.") from None
            # What another command has done since this lab was found must not be undone by what we remember.
            self._state = State.read(self.folder) or self._state
            state = self._state.sites[site]
            if state not in states:
                raise LabError(f"{site} is {state}; nothing was done.  {_NEXT[state].format(site)}")
            yield

    def _reap(self) -> None:
        self._children = [child for child in self._children if child.poll() is None]
