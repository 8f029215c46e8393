"""Why: an effect of a loss as a sentence, with the chain that carries it and the edge at fault.

`campaigns → web → database: sbg-db and sbg2-db (through sbg-2) are lost, all 2 members; …`: the chain says how the
product comes to depend on the service, `through` names the domain that a member stands in and that takes it along.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from binome.analysis.losses import Loss
from binome.analysis.outcome import Cause, Effect, Platform, required, required_for_load
from binome.analysis.times import MEASURED, Time, duration, is_hastened, plus

MOST_NAMED = 6


def is_lost(platform: Platform, name: str, loss: Loss) -> bool:
    """Whether a loss takes this fault domain."""
    return name in platform.domains.lost(loss)


def left(platform: Platform, names: Iterable[str], loss: Loss) -> list[str]:
    """Those that the loss leaves."""
    lost = platform.domains.lost(loss)
    return [name for name in names if name not in lost]


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """`a`, `a and b`, `a, b and c`; beyond `most` names, how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def sentence(platform: Platform, name: str, effects: Sequence[Effect], loss: Loss) -> str:
    """What a loss does to one service or link: what of it is lost, then what follows from each effect."""
    link = platform.estate.links.get(name)
    if link:
        return f"{_gone(platform, list(link.providers), loss, 'provider')}; {_delivers(platform, name, loss)}"
    service = platform.estate.services[name]
    follows = [_follows(platform, effect, left(platform, service.on, loss), loss) for effect in effects]
    hit = any(effect.cause is not Cause.NO_NAME for effect in effects)
    return "; ".join(dict.fromkeys([_gone(platform, service.on, loss), *follows] if hit else follows))


def _delivers(platform: Platform, name: str, loss: Loss) -> str:
    alive = left(platform, platform.estate.links[name].providers, loss)
    if alive:
        return f"{listed(alive)} {'delivers' if len(alive) == 1 else 'deliver'}"
    return "nobody delivers, and how long a new provider takes is unknown"


def _gone(platform: Platform, members: Sequence[str], loss: Loss, noun: str = "member") -> str:
    lost = platform.domains.lost(loss)
    gone = [name for name in members if name in lost]
    if not gone:
        return f"no {noun} is lost"
    if len(gone) < len(members):
        share = f"{len(gone)} of {len(members)} {noun}s"
    else:
        share = (
            f"the only {noun}" if len(gone) == 1 else "both of them" if len(gone) == 2 else f"all {len(gone)} {noun}s"
        )
    shown = [_through(platform, name, loss) for name in gone[:MOST_NAMED]]  # beyond these they are only counted
    return f"{listed([*shown, *gone[MOST_NAMED:]])} {_are(gone)} lost, {share}"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _through(platform: Platform, name: str, loss: Loss) -> str:
    """The member with the domain that takes it along, where that is not its own site or hoster."""
    taken_by = next(domain for domain in loss if platform.domains.holds(domain, name))
    between = [
        step
        for step in platform.domains.way(name, taken_by)[1:-1]
        if platform.domains.kinds[step] not in ("site", "region", "hoster")
    ]
    return f"{name} (through {between[0]})" if between else name


def _follows(platform: Platform, effect: Effect, alive: Sequence[str], loss: Loss) -> str:
    service = platform.estate.services[effect.subject]
    spare = next(iter(left(platform, (one for one in service.spares if one not in service.on), loss)), "")
    if effect.cause is Cause.NO_NAME:
        names = platform.names_of[effect.subject]
        return f"{listed(names)} {_are(names)} lost with the registrar, and how long a new name takes is unknown"
    if effect.cause is Cause.SHORT:
        return f"what is left carries {len(alive) * (service.capacity or 0):g} of {service.load:g}"
    if effect.cause is Cause.RESTORED:
        return f"{_restored(platform, effect, loss)}, loses {_age(effect.loss)}"
    if effect.cause is Cause.TAKEN_OVER:
        who = f"{listed(alive)} {'takes' if len(alive) == 1 else 'take'} over"
        loses = f", loses {_age(effect.loss)}" if _held(platform, effect) else ""
        slowed = ", too few lookout sites to hasten it" if is_slowed(platform, effect) else ""
        return f"{who}: outage {effect.outage}{slowed}{loses}"
    if effect.cause is Cause.LET_GO:
        return f"{service.on[0]} leads and goes on without it: outage {effect.outage}, loses nothing"
    loses = f", loses {_age(effect.loss)}" if effect.loss.seconds != 0 else ""
    if effect.cause is Cause.NOTHING_LEFT:
        return "no copy of its data is left" if _held(platform, effect) else "nothing is left of it"
    return {
        Cause.THINNED: f"{len(alive)} still agree ({required(service)} must)",
        Cause.NO_PARTNER: f"no partner is left for {listed(alive)}, nor a spare",
        Cause.PERSON_STARTS: f"takeover waits for a person: {effect.outage}",
        Cause.NOT_IN_SYNC: f"{listed(alive)} may lack the last writes, so a person decides: {effect.outage}",
        Cause.BELOW_NEED: f"{len(alive)} left, and {required(service)} must live: a person acts: {effect.outage}",
        Cause.NO_QUORUM: f"{required(service)} must agree: nothing is automatic until a person acts: {effect.outage}",
        Cause.REBUILT: f"a person rebuilds it on {spare}: {effect.outage}",
    }[effect.cause] + loses


def _restored(platform: Platform, effect: Effect, loss: Loss) -> str:
    """`a restore of nightly takes 1 h (measured)`; a declared one begins when somebody has come."""
    backup, times = effect.backup or "", platform.times
    if not left(platform, platform.hosts(effect.subject, backup), loss):
        return f"{backup} can be read, and no server is left to restore it on: {effect.outage}"
    came = f" after {duration(times.response.seconds)}" if times.response.seconds else ""
    if times.restore(backup).source == MEASURED or effect.outage.seconds is None:
        return f"a restore of {backup} takes {effect.outage}"
    return f"a restore of {backup} takes {times.restore(backup)}{came}"


def is_slowed(platform: Platform, effect: Effect) -> bool:
    """Whether Patroni's TTL acts alone, too few lookout sites agree, and that takes longer than a hastened takeover."""
    service = platform.estate.services[effect.subject]
    return is_hastened(service) and effect.outage.seconds != platform.times.takeover(effect.subject).seconds


def _held(platform: Platform, effect: Effect) -> bool:
    service = platform.estate.services[effect.subject]
    return service.kind == "postgresql" or effect.subject in platform.data_of


def _age(loss: Time) -> str:
    if loss.seconds == 0:
        return "nothing"
    return "an unknown span of writes" if loss.seconds is None else f"up to {duration(loss.seconds)} of writes"


def unprotected(platform: Platform, loss: Loss) -> list[str]:
    """What still goes on after a loss that touched it, and that one more loss may stop."""
    found = []
    for name, service in platform.estate.services.items():
        alive = left(platform, service.on, loss)
        if len(alive) < len(service.on) and len(alive) == required(service):
            if service.kind == "etcd":
                found.append(f"{name} ({len(alive)} of {len(service.on)} agree: the next loss stops takeovers)")
            else:
                found.append(f"{name} ({_rebuild(platform, name, loss) or f'{len(alive)} left'})")
    for name, link in platform.estate.links.items():
        providers = left(platform, link.providers, loss)
        if len(providers) == 1 < len(link.providers):
            found.append(f"{name} (only {providers[0]})")
    return found


def _rebuild(platform: Platform, name: str, loss: Loss) -> str:
    service = platform.estate.services[name]
    spares = left(platform, (one for one in service.spares if one not in service.on), loss)
    if not spares:
        return "no spare is left"
    takes = plus(platform.times.response, platform.times.rebuild(name))
    return f"{spares[0]} can replace it" + ("" if takes.seconds is None else f" in {duration(takes.seconds)}")


def load_left(platform: Platform, name: str, loss: Loss) -> str:
    """The capacity that is left of a service with a load: `400 of 300 needed`, or nothing."""
    service = platform.estate.services[name]
    if not required_for_load(service):
        return ""
    return (
        f"capacity {len(left(platform, service.on, loss)) * (service.capacity or 0):g} for a load of {service.load:g}"
    )
