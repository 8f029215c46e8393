"""Where the primaries are, as Patroni keeps it in etcd."""

from __future__ import annotations

from binome.analysis.domains import Domains
from binome.estate import Estate
from binome.estate.model import PostgresqlService
from binome.ports import Etcd

BESIDE_PRIMARY_S = 1.0
BESIDE_MEMBER_S = 0.5


def leader_key(estate: Estate, service: str) -> str:
    """The key below which Patroni keeps the name of a database's primary."""
    options = estate.services[service]
    scope = options.patroni.scope if isinstance(options, PostgresqlService) else None
    return f"/service/{scope or service}/leader"


async def stand_back_s(estate: Estate, server: str, etcd: Etcd) -> float:
    """How long a lookout lets others take the lead first, in seconds: by what stands in its own site.

    Longest beside the primary of a database, less beside another member, which may be primary after the next fire; not
    at all elsewhere. Fails as etcd does.
    """
    domains = Domains(estate)
    here, longest_s = domains.site(server, estate), 0.0
    for name, service in estate.services.items():
        if isinstance(service, PostgresqlService):
            if any(domains.site(member, estate) == here for member in service.on):
                longest_s = max(longest_s, BESIDE_MEMBER_S)
            found = (await etcd.range(leader_key(estate, name))).keys
            primary = found[0].value.decode(errors="replace") if found else ""
            if primary in estate.servers and domains.site(primary, estate) == here:
                longest_s = BESIDE_PRIMARY_S
    return longest_s
