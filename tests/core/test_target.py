"""What is looked at follows from the estate alone."""

from __future__ import annotations

from pathlib import Path

from binome.core.target import Target, heartbeats, named_addresses, targets
from binome.estate import Estate, load

ROOT = Path(__file__).parents[2]
LITTORAL = (ROOT / "examples" / "littoral" / "estate.yaml").read_text()


def with_probes(probes: str, names: str = "") -> Estate:
    text = LITTORAL.replace("registrar: names-r-us}", f"registrar: names-r-us{names}}}")
    return load(f"{text}\nprobes:\n{probes}".encode())


def one(estate: Estate, name: str) -> Target:
    (found,) = [target for target in targets(estate) if target.name == name]
    return found


def test_servers_and_members_are_looked_at_as_their_kind_is() -> None:
    found = {target.name: (target.kind, target.address, target.port) for target in targets(load(LITTORAL.encode()))}
    assert found["gra-db"] == ("icmp", "10.20.1.12", 0)
    assert found["database@gra-db"] == ("postgresql", "10.20.1.12", 5432)
    assert found["database@gra-db/patroni"] == ("patroni", "10.20.1.12", 8008)
    assert found["web@sbg-web"] == ("http", "10.20.2.11", 8000)
    assert found["edge@gra-edge"] == ("haproxy", "10.20.1.10", 8404)
    assert found["coordination@par-watch"] == ("etcd", "10.20.3.10", 2379)
    assert len(found) == 9 + 3 + 4 + 2 + 2


def test_a_name_is_asked_for_at_each_server_with_authority() -> None:
    estate = with_probes("  x: {kind: icmp, on: gra-db}", ", servers: [ns1.example, 192.0.2.53], expect: 203.0.113.1")
    target = one(estate, "app.littoral.example@192.0.2.53")
    assert (target.kind, target.address, target.port, target.service) == ("dns", "192.0.2.53", 53, "edge")
    assert target.options == {"name": "app.littoral.example", "expect": ("203.0.113.1",)}
    assert one(estate, "app.littoral.example@ns1.example").address == "ns1.example"
    estate = with_probes("  x: {kind: icmp, on: gra-db}", ", expect: 203.0.113.1")
    assert one(estate, "app.littoral.example@").address == "", "by the lookout's own resolver"


def test_a_record_under_probes_is_a_target() -> None:
    estate = with_probes(
        """\
  page: {kind: http, of: web, url: "https://shop.example:8443/login?x=1", every: 10s, timeout: 20s, status: 204}
  job: {kind: heartbeat, on: par-watch, every: 1d, grace: 1h, token: "env:JOB"}
  ldap: {kind: ldap, on: gra-db, port: 636, options: {base: "dc=x", deep: true}}
  cert: {kind: tls, address: 203.0.113.10, host: shop.example, days: 14}
  local: {kind: http, url: "http://127.0.0.1:9/"}
"""
    )
    page = one(estate, "page")
    assert page[:6] == ("page", "http", "", "web", "shop.example", 8443)
    assert (page.every_ms, page.timeout_ms, page.fall, page.rise) == (10_000, 10_000, 3, 2)
    assert page.options == {"host": "shop.example", "path": "/login?x=1", "tls": True, "status": (204,)}
    job = one(estate, "job")
    assert (job.every_ms, job.server) == (1_000, "par-watch"), "the lookout looks at its own pace"
    assert job.options == {"job": "job", "every_ms": 86_400_000, "grace_ms": 3_600_000}
    assert heartbeats(estate) == {"job": "env:JOB"}
    assert one(estate, "ldap")[4:6] == ("10.20.1.12", 636)
    assert one(estate, "ldap").options == {"base": "dc=x", "deep": True}
    assert one(estate, "cert")[4:6] == ("203.0.113.10", 443)
    assert one(estate, "cert").options == {"host": "shop.example", "days": 14}
    named = named_addresses(estate)
    assert {"127.0.0.1", "203.0.113.10", "10.20.1.12"} <= named and "shop.example" not in named


def test_names_of_targets_are_unique() -> None:
    page = (ROOT / "docs" / "estate.md").read_text()
    example = "\n".join(part.split("```")[0] for part in page.split("```yaml\n")[1:])
    found = [target.name for target in targets(load(example.encode()))]
    assert len(found) == len(set(found)) > 10
