"""The edge at fault: of all that a loss does to a product, the one thing to mend first, and how.

The worst effect decides; among equals the one of the longest outage, since that is what breaks a promise. What is to be
done follows from its cause.
"""

from __future__ import annotations

from binome.analysis.edit import Remedy, put
from binome.analysis.explain import is_lost, is_slowed, listed, sentence
from binome.analysis.losses import Loss
from binome.analysis.outcome import Cause, Detail, Effect, Platform, required
from binome.analysis.placement import manned, moved
from binome.analysis.times import needs_person

LOOK = "Look from three sites that no single loss takes two of: only then is a takeover hastened"
_ADVICE = {
    Cause.THINNED: "Measure how long it is away",
    Cause.TAKEN_OVER: "Make its takeover quicker, or measure it",
    Cause.LET_GO: "Nothing makes this shorter but asynchronous replication, which may lose writes",
    Cause.NO_PARTNER: "Give it a spare in another place",
    Cause.SHORT: "Add members in other places",
    Cause.PERSON_STARTS: "Let it be taken over without a person: takeover: automatic, with an agreement that lives",
    Cause.BELOW_NEED: "Add members in other places, so that enough of them live",
    Cause.NO_QUORUM: "Put its members in three places, so that a majority lives",
    Cause.REBUILT: "Give it a member in another place",
    Cause.NO_PROVIDER: "Add a provider that shares nothing with those that there are",
    Cause.NO_NAME: "Register a second name elsewhere",
    Cause.RESTORED: "Give it a member in another place",
    Cause.NOTHING_LEFT: "Give it a member in another place, and a copy elsewhere",
}


def fault(platform: Platform, product: str, detail: Detail, loss: Loss, otherwise: str) -> Remedy:
    """The edge at fault in a loss of a product, with lines to change where they are known; `otherwise` ends it."""
    effect = max(detail.effects, key=_weight)
    chain = " → ".join(platform.chains(product)[effect.subject])
    what = f"{chain}: {sentence(platform, effect.subject, [effect], loss)}."
    remedy = _automatic(platform, effect) or _spread(platform, effect, loss)
    advice = remedy.words if remedy else _advice(platform, effect)
    return Remedy(f"First {what}  {advice}; or {otherwise}", remedy.changes if remedy else ())


def _advice(platform: Platform, effect: Effect) -> str:
    if effect.cause is Cause.TAKEN_OVER and is_slowed(platform, effect):
        return LOOK
    if effect.cause is Cause.TAKEN_OVER and effect.loss.seconds != 0 and effect.outage.seconds is not None:
        return "Let every write be on two members before it is acknowledged, or make the takeover quicker"
    return _ADVICE[effect.cause]


def _automatic(platform: Platform, effect: Effect) -> Remedy | None:
    """A takeover without a person, where the service itself asks for one."""
    service = platform.estate.services.get(effect.subject)
    if service is None or effect.cause is not Cause.PERSON_STARTS or not needs_person(service):
        return None
    words = "Let it be taken over without a person"
    return put(platform.estate, ("services", effect.subject, "takeover"), "automatic", words)


def _weight(effect: Effect) -> tuple[int, bool, float, bool, float]:
    outage, loss = effect.outage.seconds, effect.loss.seconds
    return effect.cause.outcome, outage is None, outage or 0.0, loss is None, loss or 0.0


def _spread(platform: Platform, effect: Effect, loss: Loss) -> Remedy | None:
    """A member elsewhere, where the loss of one place takes more members than the service can spare."""
    service = platform.estate.services.get(effect.subject)
    if service is None or len(loss) > 1 or platform.domains.is_server(loss[0]):
        return None
    gone = [one for one in service.on if is_lost(platform, one, loss)]
    if effect.cause is Cause.NOT_IN_SYNC:
        need = len(service.on) - 1
    elif effect.cause in (Cause.BELOW_NEED, Cause.NO_QUORUM, Cause.RESTORED, Cause.NOTHING_LEFT, Cause.REBUILT):
        need = required(service)
    else:
        return None
    if len(gone) < 2:
        return None
    words = f"Part {listed(gone)}: not so many of them may stand in {platform.domains.title(loss[0])}"
    members = moved(platform, effect.subject, need)
    return manned(platform, effect.subject, members, words) if members else Remedy(words)
