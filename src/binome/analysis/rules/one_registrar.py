"""All names of a service with one registrar: a lapsed bill or a stolen login, and nobody finds the platform."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy
from binome.analysis.explain import listed
from binome.analysis.findings import Context, Found, Severity

SUBJECTS = ("domains:registrar",)


def findings(context: Context) -> Iterator[Found]:
    """One finding a registrar."""
    platform = context.platform
    names = platform.estate.names
    alone: dict[str, list[str]] = {}
    for leading in platform.names_of.values():
        registrars = {names[name].registrar for name in leading}
        registrar = registrars.pop()
        if not registrars and registrar is not None:
            alone.setdefault(registrar, []).extend(leading)
    for registrar, leading in alone.items():
        yield Found(
            Severity.WARNING,
            registrar,
            ("domains", registrar),
            f"{listed(leading)} {'hangs' if len(leading) == 1 else 'hang'} on this one account: without it customers "
            "do not find a platform that runs.",
            Remedy(
                "Register a second name elsewhere and let products answer on both; or buy a registry lock and write "
                f"under accept: {{rule: one-registrar, subject: {registrar}, reason: …, until: …}}."
            ),
            (registrar,),
            tuple({names[name].to: None for name in leading}),
        )
