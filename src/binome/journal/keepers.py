"""Who keeps the copies of a server's heads: servers that are not lost with it, nor with each other.

Two servers fail together as far as they stand in the same domains. A copy goes to the server that shares the fewest
with the signer and with the copies chosen before; among equals to one that watches, because it has a journal of its
own to compare, then in the order of the file.
"""

from __future__ import annotations

from binome.estate import Estate

COPIES = 2


def keepers(estate: Estate, signer: str, copies: int = COPIES) -> tuple[str, ...]:
    """The servers that keep `signer`'s heads, at most `copies`; fewer where the estate has no more servers."""
    domains = {server: domains_of(estate, server) for server in estate.servers}
    watching = estate.lookout.on if estate.lookout is not None else ()
    candidates = sorted(estate.servers, key=lambda server: server not in watching)
    taken = [signer]
    while len(taken) <= copies and len(taken) < len(candidates):
        free = [server for server in candidates if server not in taken]
        taken.append(
            min(free, key=lambda server: sorted((len(domains[server] & domains[o]) for o in taken), reverse=True))
        )
    return tuple(taken[1:])


def domains_of(estate: Estate, server: str) -> frozenset[str]:
    """Every fault domain that a server is in: its site, its hoster, and whatever these and it are in."""
    found: set[str] = set()
    options = estate.servers[server]
    ahead = [*filter(None, (options.site,)), *options.in_]
    while ahead:
        name = ahead.pop()
        if name in found:
            continue
        found.add(name)
        if name in estate.sites:
            site = estate.sites[name]
            ahead += [*filter(None, (site.hoster,)), *site.in_]
        elif name in estate.hosters:
            ahead += estate.hosters[name].in_
        elif name in estate.domains:
            ahead += estate.domains[name].in_
    return frozenset(found)
