"""The record of what was burned: `verify.json` keeps it, by estate, and a later run goes on from it.

What was seen is kept as long as the estate, the engines and the code that ran are the same; what check foretells is
computed anew each time, so that a mended model is held against what was seen before.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import binome
from binome.analysis.outcome import Platform
from binome.lab.errors import LabError
from binome.lab.foretold import Answer, Burn, Cell, Measure, fate, foretold, judge, measured, measures, outage_s

FILE = "verify.json"
_RUNS = ("core", "drivers", "estate", "journal", "render", "runtime")
"""The parts of the program that run in a lab's servers, or decide what does."""


@cache
def code() -> str:
    """What tells the code that runs in a lab from another one."""
    top = Path(binome.__file__).parent
    found = sha256()
    for path in sorted(one for part in _RUNS for one in (top / part).rglob("*.py")):
        found.update(str(path.relative_to(top)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:16]


def same(kept: Mapping[str, Any], text: bytes, versions: Mapping[str, str]) -> bool:
    """Whether a record was made with this estate, this code and these engines."""
    return bool(kept.get("made_with") == made_with(text, versions))


def made_with(text: bytes, versions: Mapping[str, str]) -> dict[str, Any]:
    """What a record is good for."""
    return {"estate": sha256(text).hexdigest()[:16], "code": code(), "engines": dict(versions)}


def read(folder: Path) -> dict[str, Any]:
    """The records of all estates that are kept in a folder. Raises LabError where they are damaged."""
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        estates: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["estates"]
        for one in estates.values():
            parse(one["burns"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise LabError(f"{path} is damaged: {error}.  Remove it, and burn all losses again.") from None
    return estates


def parse(burns: Iterable[Mapping[str, Any]]) -> list[Burn]:
    """The burns of a record."""
    return [
        Burn(**{**one, "servers": tuple(one["servers"]), "down": tuple(one["down"])})  # JSON has lists
        for one in burns
    ]


def record(platform: Platform, some: Sequence[Cell], burns: Sequence[Burn], made: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of one estate: what was seen, and each cell's answer."""
    return {
        "made_with": dict(made),
        "measured_over": {
            name: {"operations": one.operations, "needs": one.over, "without": one.without}
            for name, one in measures(platform).items()
        },
        "cells": list(_answers(platform, some, {one.servers: one for one in burns})),
        "measured": measured(platform, burns),
        "burns": [asdict(one) for one in burns],
    }


def _answers(
    platform: Platform, some: Sequence[Cell], burns: Mapping[tuple[str, ...], Burn]
) -> Iterable[dict[str, Any]]:
    how = measures(platform)
    for cell, said in zip(some, foretold(platform, [cell.loss for cell in some]), strict=True):
        burn = burns.get(cell.servers)
        found: dict[str, Any] = {"loss": cell.loss, "kind": cell.kind, "servers": cell.servers}
        if cell.not_built:
            found["not_built"] = cell.not_built
        elif burn is not None:
            found["products"] = {
                product: product_answer(platform, detail, how[product], burn)
                for product, detail in said.items()
                if how[product].operations
            }
        yield found


def product_answer(platform: Platform, said: Any, how: Measure, burn: Burn) -> dict[str, Any]:
    """What was foretold of a product, what was seen, and whether they agree."""
    seen = fate(platform, how, burn)
    away: float | None = outage_s(how, burn)
    return {
        "foretold": str(said.outcome),
        "foretold_outage_s": said.outage_s,
        "seen": str(seen),
        "seen_outage_s": None if set(burn.down) & set(how.operations) else away,
        "watched_s": burn.watched_s,
        "answer": str(judge(said, how, seen, burn)),
    }


def disagreements(kept: Mapping[str, Any]) -> list[str]:
    """The cells of a record that do not agree, in words."""
    return [
        f"{' + '.join(cell['loss'])}: {product}: {one['answer']}"
        for cell in kept["cells"]
        for product, one in cell.get("products", {}).items()
        if one["answer"] != Answer.AGREES
    ]


def unseen(kept: Mapping[str, Any]) -> list[str]:
    """The losses that the lab can burn and that were not burned yet."""
    return [" + ".join(cell["loss"]) for cell in kept["cells"] if not {"products", "not_built"} & set(cell)]
