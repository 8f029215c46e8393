"""Where the primaries are, as Patroni keeps it in etcd."""

from __future__ import annotations

from binome.analysis.domains import Domains
from binome.estate import Estate
from binome.estate.model import PostgresqlService
from binome.ports import Etcd


def leader_key(estate: Estate, service: str) -> str:
    """The key below which Patroni keeps the name of a database's primary."""
    options = estate.services[service]
    scope = options.patroni.scope if isinstance(options, PostgresqlService) else None
    return f"/service/{scope or service}/leader"


async def beside_primary(estate: Estate, server: str, etcd: Etcd) -> bool:
    """Whether the primary of any database stands in the site of this server. Fails as etcd does."""
    domains = Domains(estate)
    for name, service in estate.services.items():
        if isinstance(service, PostgresqlService):
            found = (await etcd.range(leader_key(estate, name))).keys
            primary = found[0].value.decode(errors="replace") if found else ""
            if primary in estate.servers and _site(estate, domains, primary) == _site(estate, domains, server):
                return True
    return False


def _site(estate: Estate, domains: Domains, server: str) -> frozenset[str]:
    """The sites that a server stands in, also through its domains."""
    return frozenset(one for one in domains.around(server) if one in estate.sites)
