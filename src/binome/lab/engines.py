"""How each kind of service runs in the lab: which program, with whose rights, and how one sees that it works."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from binome.estate import Estate
from binome.estate.model import EtcdService, HaproxyService, HttpService, PostgresqlService, Service
from binome.lab import inside, lookouts, process, providers
from binome.lab.errors import LabError
from binome.lab.process import Program
from binome.lab.shell import run
from binome.render.places import ETCD_CLIENT_PORT, PATRONI_PORT, Folders, database_places


@dataclass(frozen=True, slots=True)
class Look:
    """What one engine says of itself: its role, and whether it does its work (`up`, `starting` or `down`)."""

    role: str
    state: str


@dataclass(frozen=True, slots=True)
class Place:
    """One member of a service, where it runs: everything that starting or asking it takes."""

    service: str
    server: str
    address: str
    root: Path  # what this server has for /
    shared: Path  # files that all servers of the lab may read
    secrets: Mapping[str, str]

    def configuration(self, kind: str) -> str:
        return f"{Folders(str(self.root)).configuration}/{self.service}.{kind}"


def _etcd(place: Place, _: Any) -> Program:
    return Program(("etcd", "--config-file", place.configuration("etcd.yml")))


def _patroni(place: Place, options: PostgresqlService) -> Program:
    configuration = database_places(place.service, options, Folders(str(place.root))).file
    return Program(
        (str(place.shared / "venv" / "bin" / "python"), "-m", "patroni", configuration),
        user="postgres",
        environment={
            "PATH": f"{postgresql_programs()}:/usr/sbin:/usr/bin:/sbin:/bin",
            "PATRONI_REPLICATION_PASSWORD": place.secrets["replication"],
            "PATRONI_REWIND_PASSWORD": place.secrets["rewind"],
        },
    )


def _haproxy(place: Place, _: Any) -> Program:
    return Program(("haproxy", "-db", "-f", place.configuration("haproxy.cfg")))


def _web(place: Place, options: HttpService) -> Program:
    script = str(place.shared / "web.py")
    return Program((process.base_python(), "-I", script, place.server, place.address, str(options.port)), user="nobody")


def _look_at_etcd(place: Place, _: Any) -> Look:
    said = inside.ask(place.server, (place.address, ETCD_CLIENT_PORT), "/v3/maintenance/status", body={})
    leader = said.get("leader", "0")
    version = inside.ask(place.server, (place.address, ETCD_CLIENT_PORT), "/version")["etcdcluster"]
    if leader == "0" or version == "not_decided":  # Patroni does not start before the version is decided
        return Look("member", "starting")
    return Look("leader" if leader == said["header"]["member_id"] else "follower", "up")


def _look_at_patroni(place: Place, _: Any) -> Look:
    said = inside.ask(place.server, (place.address, PATRONI_PORT), "/patroni")
    state, role = said.get("state"), said.get("role")
    if role in ("primary", "master"):
        return Look("primary", "up" if state == "running" else "starting")
    streams = state == "streaming" or said.get("replication_state") == "streaming"
    return Look("standby", "up" if streams else "starting")


def _look_at_haproxy(place: Place, _: Any) -> Look:
    inside.haproxy_says(Path(Folders(str(place.root)).run) / "haproxy.sock", "show info")
    return Look("edge", "up")


def _look_at_web(place: Place, options: HttpService) -> Look:
    inside.ask(place.server, (place.address, options.port), options.health)
    return Look("web", "up")


@dataclass(frozen=True, slots=True)
class Engine:
    """A kind of service that the lab can build."""

    program: Callable[[Place, Any], Program]
    look: Callable[[Place, Any], Look]
    log: str


ENGINES: dict[type[Service], Engine] = {
    EtcdService: Engine(_etcd, _look_at_etcd, "etcd"),
    PostgresqlService: Engine(_patroni, _look_at_patroni, "patroni"),
    HaproxyService: Engine(_haproxy, _look_at_haproxy, "haproxy"),
    HttpService: Engine(_web, _look_at_web, "web"),
}


def look(place: Place, options: Any) -> Look:
    """What a member of a service says of itself; `down` where it does not answer."""
    try:
        return ENGINES[type(options)].look(place, options)
    except (OSError, AttributeError, KeyError):  # no answer, or none that the engine gives when it works
        return Look("-", "down")


def versions() -> dict[str, str]:
    """The versions of the engines, as they name themselves."""
    import patroni.version  # noqa: PLC0415 - an extra, which the rest of the program does without

    return {
        "etcd": run("etcd", "--version").split("\n", 1)[0].removeprefix("etcd Version: "),
        "patroni": patroni.version.__version__,
        "postgresql": run(f"{postgresql_programs()}/postgres", "--version").split()[2],
        "haproxy": run("haproxy", "-v").split()[2].split("-")[0],
    }


def database_of(estate: Estate) -> str:
    """The name of the first database of an estate. Raises LabError where it has none."""
    for name, options in estate.services.items():
        if isinstance(options, PostgresqlService):
            return name
    raise LabError(f"{estate.estate} has no service of kind postgresql.  The demonstration needs one.")


def not_built(estate: Estate) -> list[str]:
    """What the estate says and the lab does not build, each in a word or two; nothing is passed over in silence."""
    missing = [f"service {name} ({s.kind})" for name, s in estate.services.items() if type(s) not in ENGINES]
    missing += [f"link {name} ({link.kind})" for name, link in estate.links.items()]
    missing += [f"name {name}" for name in estate.names]
    missing += [f"vault {name} ({vault.kind})" for name, vault in estate.vaults.items()]
    missing += [f"backup {name} ({backup.method})" for name, backup in estate.backups.items()]
    missing += providers.not_built(estate)
    if estate.lookout and not lookouts.names(estate):
        missing.append("lookouts, which have no etcd to agree through")
    return missing


def check_installed(estate: Estate) -> None:
    """Raises LabError, with all that is missing, where this machine lacks an engine or a tool that the estate needs."""
    kinds = {type(service) for service in estate.services.values()}
    needed = ["ip", "bridge", "nsenter", "unshare", "setpriv", "mount"]
    needed += ["etcd"] if EtcdService in kinds else []
    needed += ["haproxy"] if HaproxyService in kinds else []
    missing = [name for name in needed if shutil.which(name) is None]
    if PostgresqlService in kinds:
        missing += [] if postgresql_programs() else ["postgresql"]
        missing += [] if (process.virtual_environment() / "bin" / "patroni").exists() else ["patroni"]
    if missing:
        raise LabError(f"not installed: {', '.join(missing)}.  `make demo` installs what the lab needs.")
    users = ["postgres"] if PostgresqlService in kinds else []
    users += ["haproxy"] if HaproxyService in kinds else []
    for user in users:
        try:
            pwd.getpwnam(user)
        except KeyError:
            raise LabError(f"there is no user {user}.  `make demo` installs the engines with their users.") from None
    if PostgresqlService in kinds:
        _check_may_run_python("postgres")


def _check_may_run_python(user: str) -> None:
    try:
        run(
            "setpriv",
            f"--reuid={user}",
            f"--regid={user}",
            "--init-groups",
            "--",
            process.base_python(),
            "-I",
            "-c",
            "",
        )
    except LabError:
        raise LabError(
            f"the user {user} may not run {process.base_python()}, and Patroni must.  "
            "Make .venv with the system's own Python: rm -r .venv && make check"
        ) from None


def postgresql_programs() -> str:
    """The folder with the newest PostgreSQL server's programs; empty where there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres") if os.access(path, os.X_OK)]
    if found:
        return str(max(found, key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0))
    on_path = shutil.which("postgres")
    return str(Path(on_path).parent) if on_path else ""
