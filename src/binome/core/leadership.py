"""Leadership, as the journal tells of it: who led from when on, in which generation."""

from __future__ import annotations

from binome.core.entry import Fact


class LeadershipTaken(Fact, frozen=True, tag="leadership-taken"):
    """A lookout leads from here on, in the generation of this entry."""

    leader: str


FACTS = (LeadershipTaken,)
