"""Kind `heartbeat`: a job sent its beat in time. Nothing is asked: the beats come to runtime/heartbeats.py.

    job        whose beats; the target's name unless given
    every_ms   how often the job beats
    grace_ms   how much later a beat may be

A lookout that has not listened for long enough has no word about a job that it never heard: another one may have.
"""

from __future__ import annotations

from binome.core.target import Target
from binome.drivers.probe.shared.findings import NotAskedError, WrongError, timed, up
from binome.ports import Finding, Surroundings


class HeartbeatProbe:
    """A `Probe` that looks up when a job was heard last."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._beats = surroundings.beats

    async def look(self, target: Target) -> Finding:
        """Up while the newest beat is young enough; details: `age_s`."""
        return await timed(target, self._clock, self._ask(target))

    async def _ask(self, target: Target) -> Finding:
        options = target.options
        allowed_s = (int(options["every_ms"]) + int(options.get("grace_ms", 0))) / 1000
        now_s, last_s = self._clock.monotonic_s(), self._beats.last_s(str(options.get("job", target.name)))
        if last_s is None:
            listened_s = now_s - self._beats.since_s
            if listened_s <= allowed_s:
                raise NotAskedError(f"no beat yet; this server listens for {listened_s:.0f} s")
            raise WrongError(f"no beat in {listened_s:.0f} s; one is due every {allowed_s:.0f} s at the latest")
        age_s = max(0.0, now_s - last_s)
        if age_s > allowed_s:
            raise WrongError(f"the last beat came {age_s:.0f} s ago; one is due every {allowed_s:.0f} s at the latest")
        return up(f"the last beat came {age_s:.0f} s ago", {"age_s": round(age_s, 3)})
