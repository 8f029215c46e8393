"""What is rendered: complete, consistent between the servers, and without a secret."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from binome.cli.agent_start import settings_of
from binome.estate import Estate, load
from binome.render import Folders, RenderError, places, render
from binome.render.places import PEER_PORT

LITTORAL = (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_text()


def littoral(old: str = "", new: str = "") -> Estate:
    assert old in LITTORAL
    return load(LITTORAL.replace(old, new).encode())


OF_A_MEMBER = ("/etc/binome/coordination.etcd.yml", "/etc/binome/database.patroni.yml")
BINOME, FOLDERS = "/etc/systemd/system/binome.service", "/etc/tmpfiles.d/binome.conf"


def parsed(estate: Estate, server: str, ending: str, **options: Any) -> dict[str, Any]:
    files = render(estate, server, **options)
    (text,) = [text for path, text in files.items() if path.endswith(ending)]
    result: dict[str, Any] = yaml.safe_load(text)
    return result


def test_each_server_gets_the_files_of_its_own_engines() -> None:
    estate = littoral()
    edge = ["/etc/binome/edge.haproxy.cfg", "/etc/systemd/system/binome-edge.service", BINOME, FOLDERS]
    coordination = "/etc/systemd/system/binome-coordination.service"
    member = [*OF_A_MEMBER, coordination, "/etc/systemd/system/binome-database.service", BINOME, FOLDERS]
    assert {server: sorted(render(estate, server)) for server in estate.servers} == {
        "gra-edge": edge,
        "gra-web": [BINOME, FOLDERS],
        "gra-db": member,
        "sbg-edge": edge,
        "sbg-web": [BINOME, FOLDERS],
        "sbg-db": member,
        "par-watch": ["/etc/binome/coordination.etcd.yml", coordination, BINOME, FOLDERS],
        "par-spare": [BINOME, FOLDERS],
        "ams-vault": [BINOME, FOLDERS],
    }


def test_a_unit_runs_the_files_that_are_rendered_beside_it_and_its_folders_are_its_users_alone() -> None:
    files = render(littoral(), "gra-db")
    for name, user in (("coordination", "etcd"), ("database", "postgres")):
        unit = files[f"/etc/systemd/system/binome-{name}.service"]
        (configuration,) = [path for path in files if path.startswith(f"/etc/binome/{name}.")]
        assert re.search(rf"^ExecStart=.* {configuration}'?$", unit, flags=re.MULTILINE)
        assert f"User={user}\n" in unit and "StartLimitIntervalSec=0" in unit and "Restart=always" in unit
    folders = dict(line.split(" ", 2)[1:] for line in files[FOLDERS].splitlines() if line.startswith("d "))
    assert folders == {
        "/var/lib/binome": "0755 root root",
        "/run/binome": "0755 root root",
        "/etc/binome/tls": "0700 root root",
        "/var/lib/binome/etcd": "0700 etcd etcd",
        "/var/lib/binome/postgresql": "0700 postgres postgres",
        "/run/binome/postgresql": "0755 postgres postgres",
    }
    patroni = parsed(littoral(), "gra-db", "patroni.yml")["postgresql"]
    assert patroni["data_dir"] in folders and patroni["pgpass"].rpartition("/")[0] in folders
    assert patroni["parameters"]["unix_socket_directories"] in folders


def test_where_no_part_of_binome_runs_only_the_engines_have_units() -> None:
    alone = littoral("lookout: {on: [gra-edge, sbg-edge, par-watch]", "lookout: {on: [par-watch]")
    assert "/etc/systemd/system/binome.service" not in render(alone, "gra-db")
    assert "/etc/systemd/system/binome-database.service" in render(alone, "gra-db")
    assert render(alone, "gra-web") == {}
    watch = render(alone, "par-watch")["/etc/systemd/system/binome.service"]
    assert "After=network-online.target binome-coordination.service\n" in watch


def test_the_members_of_etcd_agree_on_who_they_are() -> None:
    estate = littoral()
    members = [parsed(estate, server, "etcd.yml") for server in estate.services["coordination"].on]
    assert len({member["initial-cluster"] for member in members}) == 1
    assert [member["name"] for member in members] == ["gra-db", "sbg-db", "par-watch"]
    assert {member["initial-cluster-state"] for member in members} == {"new"}
    assert parsed(estate, "sbg-db", "etcd.yml", rejoin=True)["initial-cluster-state"] == "existing"


def test_patroni_asks_the_nearest_etcd_first_and_that_beside_the_other_database_last() -> None:
    assert parsed(littoral(), "sbg-db", "patroni.yml")["etcd3"]["hosts"] == [
        "127.0.0.1:2379",
        "10.20.3.10:2379",
        "10.20.1.12:2379",
    ]


@pytest.mark.parametrize(("mode", "expected"), [("synchronous", True), ("asynchronous", False)])
def test_replication_is_as_the_estate_says(mode: str, expected: bool) -> None:
    estate = littoral("replication: synchronous", f"replication: {mode}")
    assert parsed(estate, "gra-db", "patroni.yml")["bootstrap"]["dcs"]["synchronous_mode"] is expected


@pytest.mark.parametrize("takeover", ["automatic", "confirm", "shadow", "manual"])
def test_with_manual_takeover_patroni_promotes_nobody_but_the_first(takeover: str) -> None:
    estate = littoral("takeover: automatic", f"takeover: {takeover}")
    stays = {server: parsed(estate, server, "patroni.yml")["tags"]["nofailover"] for server in ("gra-db", "sbg-db")}
    assert stays == {"gra-db": False, "sbg-db": takeover == "manual"}


def test_only_the_servers_of_the_estate_may_enter_the_database_and_with_a_password() -> None:
    estate = littoral()
    known = {ipaddress.ip_address(server.address) for server in estate.servers.values() if server.address}
    rules = [rule.split() for rule in parsed(estate, "gra-db", "patroni.yml")["postgresql"]["pg_hba"]]
    assert all(rule[-1] in ("scram-sha-256", "peer") for rule in rules)
    networks = [ipaddress.ip_network(rule[3]) for rule in rules if rule[0] == "host"]
    strangers = [network for network in networks if not network.is_loopback and network.num_addresses > 1]
    assert strangers == []
    assert {network[0] for network in networks if not network.is_loopback} == known


def test_no_file_has_a_password() -> None:
    estate = littoral()
    for server in estate.servers:
        for text in render(estate, server).values():
            assert "password" not in text.lower()


def test_an_edge_sends_writes_to_the_primary_and_reads_to_any_living_member() -> None:
    text = render(littoral(), "gra-edge")["/etc/binome/edge.haproxy.cfg"]
    _, writes, reads = re.split(r"^backend database(?:-reads)?$", text, flags=re.MULTILINE)
    assert "OPTIONS /primary" in writes and "OPTIONS /read-only" in reads
    for part in (writes, reads):
        assert "server gra-db 10.20.1.12:5432 port 8008" in part
        assert "server sbg-db 10.20.2.12:5432 port 8008" in part


def test_an_edge_gives_its_statistics_to_the_servers_of_the_estate_alone() -> None:
    text = render(littoral(), "gra-edge")["/etc/binome/edge.haproxy.cfg"]
    (part,) = re.findall(r"^frontend binome-statistics\n(.*?)\n\n", text, flags=re.MULTILINE | re.DOTALL)
    assert "bind 10.20.1.10:8404" in part and "stats admin" not in text
    assert "tcp-request connection reject unless estate" in part
    assert "stats show-legends" in part and "set-header Date %[date,http_date]" in part
    sources = {one for line in re.findall(r"acl estate src (.+)", part) for one in line.split()}
    assert sources == {server.address for server in littoral().servers.values()}
    with pytest.raises(RenderError, match=r"port 8404, where an edge gives its statistics\.  Choose another port\."):
        render(littoral("web: 80", "web: 8404"), "gra-edge")


def test_only_a_databases_sessions_end_with_their_server() -> None:
    """A web request that is still connecting to a lost server goes on to another one, unless it is cut off."""
    text = render(littoral(), "gra-edge")["/etc/binome/edge.haproxy.cfg"]
    parts = {part.split("\n", 1)[0]: part for part in text.split("\n\n")}
    cut_off = {name for name, part in parts.items() if "on-marked-down shutdown-sessions" in part}
    assert cut_off == {"backend database", "backend database-reads"}


def test_no_line_for_an_edge_is_longer_than_haproxy_reads() -> None:
    servers = "".join(
        f'  more-{n}: {{site: paris, address: "2001:db8:1111:2222:3333:4444:5555:{n:x}"}}\n' for n in range(500)
    )
    text = render(littoral("servers:\n", f"servers:\n{servers}"), "gra-edge")["/etc/binome/edge.haproxy.cfg"]
    assert max(len(line) for line in text.splitlines()) < 2048
    assert max(len(line.split()) for line in text.splitlines()) <= 64
    assert all(f":{n:x}" in text for n in range(500))


TLS = "tls: {ca: /k/ca.pem, cert: /k/own.pem, key: /k/own.key}, user: binome, password: env:WORD"


def test_with_certificates_members_and_clients_of_etcd_speak_tls() -> None:
    estate = littoral(
        "{kind: etcd, on: [gra-db, sbg-db, par-watch]}", f"{{kind: etcd, on: [gra-db, sbg-db, par-watch], {TLS}}}"
    )
    member = parsed(estate, "gra-db", "etcd.yml")
    urls = [member[key] for key in member if key.endswith("-urls")] + [member["initial-cluster"]]
    assert all("https://" in url and "http://" not in url for url in urls)
    shown = {
        "cert-file": "/k/own.pem",
        "key-file": "/k/own.key",
        "trusted-ca-file": "/k/ca.pem",
        "client-cert-auth": True,
    }
    assert member["client-transport-security"] == member["peer-transport-security"] == shown
    etcd = parsed(estate, "gra-db", "patroni.yml")["etcd3"]
    assert {key: etcd[key] for key in ("protocol", "cacert", "cert", "key", "username")} == {
        "protocol": "https",
        "cacert": "/k/ca.pem",
        "cert": "/k/own.pem",
        "key": "/k/own.key",
        "username": "binome",
    }
    assert "WORD" not in "".join(render(estate, "gra-db").values()), "a password stays where it is kept"


def test_without_certificates_nothing_of_etcd_changes() -> None:
    member = parsed(littoral(), "gra-db", "etcd.yml")
    assert "client-transport-security" not in member and "https" not in str(member)
    assert set(parsed(littoral(), "gra-db", "patroni.yml")["etcd3"]) == {"hosts", "use_proxies"}


def test_a_lookout_has_its_port_for_itself() -> None:
    with pytest.raises(RenderError, match=f"port {PEER_PORT} of gra-edge is wanted by the lookout and by edge"):
        render(littoral("routes: {web: 80", f"routes: {{web: {PEER_PORT}"), "gra-edge")


def test_a_database_that_needs_two_agreements_proves_itself_to_both_in_the_same_way() -> None:
    text = LITTORAL.replace("services:\n", f"services:\n  second: {{kind: etcd, on: [par-spare], {TLS}}}\n", 1)
    estate = load(text.replace("needs: [coordination]", "needs: [coordination, second]").encode())
    with pytest.raises(RenderError, match="coordination and second, which differ in tls, user or password"):
        render(estate, "gra-db")


def test_addresses_of_version_6_are_bracketed() -> None:
    estate = littoral("10.20.1.12", '"2001:db8::12"')
    assert parsed(estate, "gra-db", "patroni.yml")["restapi"]["listen"] == "[2001:db8::12]:8008"
    assert "gra-db=http://[2001:db8::12]:2380" in parsed(estate, "sbg-db", "etcd.yml")["initial-cluster"]
    assert "server gra-db [2001:db8::12]:5432" in next(iter(render(estate, "gra-edge").values()))
    rules = parsed(estate, "sbg-db", "patroni.yml")["postgresql"]["pg_hba"]
    assert "host replication replicator 2001:db8::12/128 scram-sha-256" in rules


@given(st.sampled_from(["gra-edge", "gra-db", "par-watch"]), st.from_regex(r"(/[A-Z]{2,12}){0,4}", fullmatch=True))
def test_the_root_changes_paths_and_nothing_else(server: str, root: str) -> None:
    estate = littoral()
    below = render(estate, server, Folders(root))
    assert {
        path.removeprefix(root): text.replace(root, "") if root else text for path, text in below.items()
    } == render(estate, server)


@pytest.mark.parametrize(
    ("server", "old", "new", "words"),
    [
        ("gra-db", "needs: [coordination]", "needs: []", "database needs no service of kind etcd"),
        ("gra-db", "strasbourg, address: 10.20.2.12,", "strasbourg,", "sbg-db has no address"),
        ("gra-edge", "routes: {web: 80,", "routes: {coordination: 2379, web: 80,", "which is of kind etcd"),
        ("gra-edge", "reads: {database: 5433}", "reads: {web: 5433}", "an edge serves postgresql there"),
        ("gra-db", "on: [gra-edge, sbg-edge]\n    routes", "on: [gra-db, sbg-edge]\n    routes", "port 5432 of gra-db"),
    ],
)
def test_what_cannot_be_rendered_is_named(server: str, old: str, new: str, words: str) -> None:
    with pytest.raises(RenderError, match=words):
        render(littoral(old, new), server)


def test_no_two_listeners_of_a_server_want_one_port() -> None:
    ports = [value for name, value in vars(places).items() if name.endswith("_PORT")]
    assert len(ports) == len(set(ports)) > 5


def test_a_patroni_of_the_teams_own_is_left_alone_and_the_agent_knows_where_it_is() -> None:
    own = "{scope: main, file: /etc/patroni/config.yml, data: /srv/pg/15/main, sockets: /run/postgresql}"
    estate = littoral("patroni: {scope: littoral}", f"patroni: {own}")
    files = render(estate, "gra-db")
    assert not [path for path in files if "database" in path]
    assert "postgres" not in files[FOLDERS]
    assert "ReadWritePaths=/var/lib/binome /run/binome /srv/pg/15 -/etc/binome/tls" in files[BINOME]
    member = settings_of(estate, "gra-db", Folders()).members["database"]
    assert (member.data, member.configuration) == ("/srv/pg/15/main", "/etc/patroni/config.yml")
    assert member.sockets == "/run/postgresql"
