"""The page of what was burned: each loss, what check said, what was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from binome.analysis.times import duration

HEAD = """\
# Every loss, foretold and burned

`binome check` says what every loss does to every product, from the file alone. `binome lab verify ESTATE --pairs` burns
each of them in the lab, under the load of the demonstration, and holds what was seen against it: the outcome, and the
outage within a factor of two (below 1 s outages are alike: the client that measures them waits 1 s for an answer).
Written by `binome lab verify`, not by hand; [lab.md](lab.md#every-loss-foretold-and-burned) says how it is done.

*Foretold* is what check says of the needs that the lab can build, without measured values. *Lost* is seen where no
member with the data is left, which is *restore* or *gone*: copies are not built. The primary stood in the loss wherever
a member that may lead did. *Down* is still so after the time that is given. Losses of the same servers are one burn.
"""


def page(estates: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all estates that are kept."""
    return "\n".join([HEAD, *(line for name, kept in estates.items() for line in _estate(name, kept))])


def _estate(name: str, kept: Mapping[str, Any]) -> Iterator[str]:
    built = [cell for cell in kept["cells"] if "not_built" not in cell]
    answers = [one["answer"] for cell in built for one in cell.get("products", {}).values()]
    agree, burned = answers.count("agrees"), sum("products" in cell for cell in built)
    yield f"## {name}"
    yield ""
    yield f"{burned} of {len(built)} losses burned: {agree} of {len(answers)} cells agree."
    yield ""
    for product, how in kept["measured_over"].items():
        without = f", without {', '.join(how['without'])}, which the lab does not build" if how["without"] else ""
        yield f"- *{product}* is measured by {', '.join(how['operations'])}: over {', '.join(how['needs'])}{without}."
    yield from ("", "| loss | servers | primary | product | foretold | seen | lost | load | answer |", f"|{'---|' * 9}")
    burns = {tuple(one["servers"]): one for one in kept["burns"]}
    for cell in built:
        yield from _cell(cell, burns.get(tuple(cell["servers"])))
    reasons: dict[str, list[str]] = {}
    for cell in kept["cells"]:
        if "not_built" in cell:
            reasons.setdefault(f"{cell['kind']}: {cell['not_built']}", []).append(" + ".join(cell["loss"]))
    if reasons:
        yield from ("", "| not burned | why |", "|---|---|")
        yield from (f"| {', '.join(names)} | {why} |" for why, names in reasons.items())
    takes = [f"{one} {values['takeover_s']:g} s" for one, values in kept["measured"]["services"].items()]
    yield ""
    yield f"Longest takeover seen, in `measured-{name}.json` for `check --measured`: {', '.join(takes) or 'none'}."
    dates, made = sorted({one["date"] for one in kept["burns"]}), kept["made_with"]
    versions = ", ".join(f"{engine} {version}" for engine, version in made["engines"].items())
    yield f"{' to '.join(dict.fromkeys([*dates[:1], *dates[-1:]]))}; {versions}; code {made['code']}."
    yield ""


def _cell(cell: Mapping[str, Any], burn: Mapping[str, Any] | None) -> Iterator[str]:
    loss = f"{cell['kind']} {' + '.join(one.removeprefix('region:') for one in cell['loss'])}"
    servers = ", ".join(cell["servers"])
    if burn is None or "products" not in cell:
        yield f"| {loss} | {servers} | – | – | – | not burned | – | – | – |"
        return
    lost = "?" if burn["lost"] is None else f"{burn['lost']} of {burn['acknowledged']:,}"
    for products, one in _alike(cell["products"]):
        answer = one["answer"] if one["answer"] == "agrees" else f"**{one['answer']}**"
        seen = f"{one['seen']}, {_away(one['seen_outage_s'], one['watched_s'])}"
        said = f"{one['foretold']}, {_said(one)}"
        cells = (loss, servers, burn["primary"], ", ".join(products), said, seen, lost, f"{burn['load']:g}", answer)
        yield f"| {' | '.join(cells)} |"


def _alike(products: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[list[str], Mapping[str, Any]]]:
    """Products of which the same is to be said, together."""
    found: list[tuple[list[str], Mapping[str, Any]]] = []
    for name, one in products.items():
        same = next((names for names, other in found if other == one), None)
        if same is None:
            found.append(([name], one))
        else:
            same.append(name)
    return found


def _said(one: Mapping[str, Any]) -> str:
    return "?" if one["foretold_outage_s"] is None else duration(one["foretold_outage_s"])


def _away(seconds: float | None, watched_s: float) -> str:
    return f"down ({watched_s:.0f} s)" if seconds is None else f"{seconds:.1f} s"
