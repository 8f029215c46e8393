"""Alone after a loss: the pair has done its work, and there is nothing to make a pair of again.

New servers take days to come when a whole data centre's customers order at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate, placement
from binome.analysis.domains import CONTRACTS
from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.losses import bits
from binome.analysis.outcome import Cause

SUBJECTS = ("services",)

_FIRE = "After the fire of March 2021 servers in Strasbourg came back over weeks, those of the burned building never."


def findings(context: Context) -> Iterator[Found]:
    """One finding a service that some loss leaves without partner and spare."""
    platform, singles = context.platform, context.survey.singles
    for name, service in platform.estate.services.items():
        alone = next((effect.lost for effect in singles.of(name) if effect.cause is Cause.NO_PARTNER), 0)
        lost = [singles.losses.losses[position][0] for position in bits(alone)]
        physical = [one for one in lost if platform.domains.kinds[one] not in CONTRACTS]
        if physical:
            path = ("services", name, "spares")
            closest = platform.domains.innermost(physical)[:1]
            spare = placement.spare(platform, name)
            message = (
                f"Without {fate.titles(platform, closest)} it is down to what it needs, and no spare is left to "
                f"rebuild on.{fate.precedent(platform, closest, _FIRE)}"
            )
            remedy = Remedy("Rent a server in another place and name it under spares.")
            if spare is not None:
                remedy = put(platform.estate, path, as_list([*service.spares, spare]), "Name a spare in another place.")
            yield Found(Severity.INFO, name, path, message, remedy)
