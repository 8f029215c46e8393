"""`binome lab verify`: every loss that check tries, burned in the lab, and held against what check said."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from binome.analysis.outcome import Detail, Outcome, Platform
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.lab import LOGS, lab_errors
from binome.estate.problem import did_you_mean
from binome.lab import engines, verify_page, verify_record
from binome.lab.errors import LabError
from binome.lab.foretold import FACTOR, Answer, Burn, Cell, cell_of, cells, distinct, foretold, measures
from binome.lab.report import check_writable, write_whole
from binome.lab.verify import IN_VAIN_S, Patience, burns, lab_copy

PAGE = "verify.md"


def verify(
    file: Annotated[Path, typer.Argument(metavar="ESTATE", help="The estate file.")],
    *,
    pairs: Annotated[bool, typer.Option("--pairs", help="Every two sites too.")] = False,
    lose: Annotated[
        list[str] | None, typer.Option(metavar="NAME,…", help="This loss alone; may be given several times.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Burn also what was burned before.")] = False,
    out: Annotated[Path, typer.Option(help="The folder for verify.json and verify.md.")] = Path("binome-verify"),
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, and nothing else, on standard output.")] = False,
) -> None:
    """Burn every loss that check tries, one after the other, and compare what came of it with what check said.

    Goes on from what the folder has of the same estate, code and engines. Ends with 0 only if all of it agrees.
    """
    estate = read_estate(file, as_json=as_json)
    text, platform = file.read_bytes(), Platform(estate)
    with lab_errors():
        check_writable(out)
        kept = _Kept(out, platform, text, pairs=pairs)
        wanted = [cell_of(platform, _loss(one, platform)) for one in lose or []] or kept.cells
        kept.add(wanted)
        waiting = [one for one in distinct(wanted) if again or one.servers not in kept.burned]
        patience = _Patience(platform, kept.cells)
        say = partial(typer.echo, err=as_json)
        say(f"{len(waiting)} losses to burn, {len(list(distinct(wanted))) - len(waiting)} known already")
        where = partial(_salvage, kept)
        for number, burn in enumerate(
            burns(lab_copy(text, estate), waiting, patience, say, salvage=where, logs=LOGS), 1
        ):
            kept.keep(burn)
            say(f"{number} of {len(waiting)}: {line(platform, burn, kept.named(burn))}")
    found = kept.record()
    amiss = verify_record.disagreements(found)
    if as_json:
        print_json({"estate": estate.estate, **found})
    for one in amiss:
        say(one)
    unseen = verify_record.unseen(found)
    say(f"{len(amiss)} cells disagree, {len(unseen)} losses are not burned.  The page: {out / PAGE}")
    raise typer.Exit(Exit.BAD_ANSWER if amiss else Exit.GOOD)


def line(platform: Platform, burn: Burn, cell: Cell) -> str:
    """What came of a loss, in a line."""
    (said,) = foretold(platform, [cell.loss])
    how = measures(platform)
    words: dict[str, list[str]] = {}
    for product, detail in said.items():
        one = verify_record.product_answer(platform, detail, how[product], burn)
        seen = "down" if one["seen_outage_s"] is None else f"{one['seen_outage_s']:.1f} s"
        outage_s = one["foretold_outage_s"]
        expected = "?" if outage_s is None else f"{outage_s:g} s"
        words.setdefault(f"{one['seen']} {seen} (foretold {one['foretold']} {expected}) {one['answer']}", []).append(
            product
        )
    return f"{' + '.join(cell.loss)}: " + "; ".join(f"{', '.join(names)} {seen}" for seen, names in words.items())


def _loss(names: str, platform: Platform) -> tuple[str, ...]:
    loss = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    known = platform.domains.kinds
    for name in loss:
        if name not in known:
            remedy = did_you_mean(name, [frozenset(known)], "Name a site, a domain or a server.")
            fail(f"binome: --lose {name}: there is no such fault domain; nothing was done.  {remedy}", Exit.BAD_INPUT)
    if not loss:
        fail("binome: --lose names nothing.  Name a site, a domain or a server.", Exit.BAD_INPUT)
    return loss


class _Patience:
    """How long each loss is watched, by what check says of it."""

    def __init__(self, platform: Platform, some: list[Cell]) -> None:
        said = foretold(platform, [one.loss for one in some])
        self._by_servers = {cell.servers: _patience(list(one.values())) for cell, one in zip(some, said, strict=True)}

    def __call__(self, cell: Cell) -> Patience:
        return self._by_servers[cell.servers]


def _patience(details: list[Detail]) -> Patience:
    worst = max((one.outcome for one in details), default=Outcome.UP)
    longest = max((one.outage_s or 0.0 for one in details), default=0.0)
    return Patience(not worst.goes_on, max(IN_VAIN_S, FACTOR * longest + 5) if worst.goes_on else IN_VAIN_S)


class _Kept:
    """What the folder keeps of one estate, written anew after every loss."""

    def __init__(self, folder: Path, platform: Platform, text: bytes, *, pairs: bool) -> None:
        self._folder, self._platform = folder, platform
        self._estates = verify_record.read(folder)
        self._made = verify_record.made_with(text, engines.versions())
        old = self._estates.get(platform.estate.estate, {})
        good = verify_record.same(old, text, engines.versions())
        some = verify_record.parse(old["burns"]) if good else []
        self.burned = {one.servers: one for one in some}
        self.cells = cells(platform, pairs=pairs)
        if good:  # pairs that were burned are not forgotten because nobody asks for them today
            self.add([cell_of(platform, tuple(one["loss"])) for one in old["cells"] if "products" in one])
        self._write()

    def add(self, some: list[Cell]) -> None:
        """These losses are told of too."""
        known = {one.loss for one in self.cells}
        self.cells += [one for one in some if one.loss not in known]

    def named(self, burn: Burn) -> Cell:
        """The first loss that takes what was burned."""
        return next(one for one in self.cells if one.servers == burn.servers)

    def keep(self, burn: Burn) -> None:
        """Keeps what was seen of a loss."""
        self.burned[burn.servers] = burn
        self._write()

    def record(self) -> dict[str, Any]:
        """What is kept of this estate."""
        return verify_record.record(self._platform, self.cells, list(self.burned.values()), self._made)

    def agrees(self, burn: Burn) -> bool:
        """Whether a loss came as it was foretold."""
        (said,) = foretold(self._platform, [self.named(burn).loss])
        how = measures(self._platform)
        answers = [
            verify_record.product_answer(self._platform, one, how[product], burn)["answer"]
            for product, one in said.items()
        ]
        return all(one == Answer.AGREES for one in answers)

    def _write(self) -> None:
        name, found = self._platform.estate.estate, self.record()
        self._estates[name] = found
        try:
            text = json.dumps({"estates": self._estates}, indent=1, ensure_ascii=False)
            write_whole(self._folder / verify_record.FILE, text + "\n")
            write_whole(self._folder / f"measured-{name}.json", json.dumps(found["measured"], indent=1) + "\n")
            write_whole(self._folder / PAGE, verify_page.page(json.loads(text)["estates"]))
        except OSError as error:
            raise LabError(f"{self._folder} cannot be written: {error.strerror}.  Free some space.") from None


def _salvage(kept: _Kept, burn: Burn) -> Path | None:
    """Where the lab's logs are kept after a loss that came otherwise than foretold; nowhere after others."""
    return None if kept.agrees(burn) else LOGS / "-".join(kept.named(burn).loss).replace(":", "-")
