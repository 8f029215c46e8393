"""What falls with a contract: the services, and the copies, that stand wholly with one hoster or one account."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy
from binome.analysis.explain import listed
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import required


def contract(context: Context, name: str, path: tuple[str, ...], precedent: str, remedy: Remedy) -> Iterator[Found]:
    """A finding where the loss of `name` leaves a service of several members fewer than it needs."""
    domains, estate = context.platform.domains, context.platform.estate
    stopped = [
        one
        for one, service in estate.services.items()
        if len(service.on) > 1 and sum(not domains.holds(name, member) for member in service.on) < required(service)
    ]
    if stopped:
        copies = [
            one
            for one, backup in estate.backups.items()
            if all(domains.holds(name, estate.vaults[vault].on) for vault in backup.to)
        ]
        also = f", and every copy of {listed(copies)}" if copies else ""
        stand = "stands" if len(stopped) == 1 else "stand"
        message = f"{listed(stopped)} {stand} or {'falls' if len(stopped) == 1 else 'fall'} with it{also}.  {precedent}"
        yield Found(Severity.WARNING, name, path, message, remedy, (name,), tuple(stopped))
