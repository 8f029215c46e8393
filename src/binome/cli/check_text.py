"""What `binome check` prints: a matrix of products and losses, the findings, and what to do next."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from textwrap import wrap

from binome.analysis.edit import Change
from binome.analysis.explain import is_lost, left, listed, load_left, sentence, unprotected
from binome.analysis.findings import Finding, Severity
from binome.analysis.losses import Loss, bits, most, union
from binome.analysis.outcome import UNTOUCHED, Detail, Effect, Evaluation, Outcome, Platform, details
from binome.analysis.survey import Survey, together
from binome.analysis.times import duration
from binome.estate.model import Accepted

MOST_ROWS = 20
MOST_COLUMNS = 14
MOST_OF_A_RULE = 5

Column = tuple[str, tuple[str, ...], list[str]]
"""A loss, the wider ones that do just the same, and a cell for each product."""


def report(survey: Survey, findings: Sequence[Finding], file: str) -> str:
    """The whole answer in words."""
    accepted = {name for finding in findings if finding.accepted for name in finding.found.explains}
    parts = [_head(survey), "\n".join(_matrix(survey, accepted)), "\n".join(_pairs(survey))]
    parts.extend(_findings(survey.platform, findings, file))
    parts.append("\n".join(_end(survey, findings, file)))
    return "\n\n".join(part for part in parts if part)


def explanation(platform: Platform, loss: Loss, outcomes: Mapping[str, Detail], file: str) -> str:
    """One loss: what dies, through which chain, what is left."""
    effects: dict[str, list[Effect]] = {}
    for detail in outcomes.values():
        for effect in detail.effects:
            known = effects.setdefault(effect.subject, [])
            if effect not in known:
                known.append(effect)
    parts = [_lost(platform, loss), "\n".join(_products(outcomes)), "\n".join(_services(platform, loss, effects))]
    alone = unprotected(platform, loss)
    if alone:
        parts.append(wrapped(f"Left unprotected: {'; '.join(alone)}.", ""))
    worst = max((detail.outcome for detail in outcomes.values()), default=Outcome.UP)
    if worst.goes_on:
        writes = any(detail.loss_s != 0 for detail in outcomes.values())
        but = ", but writes may be lost" if writes else ""
        parts.append(f"Everything goes on without anybody doing anything{but}.")
    else:
        parts.append(f"binome check {file} lists what to change.")
    return "\n\n".join(part for part in parts if part)


def width() -> int:
    """The columns to fill: the terminal's, at most 100."""
    return max(60, min(100, shutil.get_terminal_size((100, 24)).columns))


def wrapped(text: str, indent: str, first: str | None = None) -> str:
    """A text in lines that fit, behind `indent`; the first one behind `first`."""
    lines = wrap(
        text,
        width(),
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines)


def _many(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}es" if noun.endswith("s") else f"{count} {noun}s"


def _head(survey: Survey) -> str:
    estate = survey.platform.estate
    sections = ("hosters", "sites", "servers", "services", "products")
    counts = [(len(getattr(estate, section)), section.removesuffix("s")) for section in sections]
    what = f"{estate.estate}   {', '.join(_many(count, noun) for count, noun in counts if count)}"
    tried = f"{_many(survey.tried - survey.pairs_tried, 'single loss')} and {_many(survey.pairs_tried, 'pair')} tried"
    gap = width() - len(what) - len(tried)
    return f"{what}{' ' * gap}{tried}" if gap > 2 else f"{what}\n{tried}"


def _cell(detail: Detail) -> str:
    """`up 25 s`, `restore 6 h −2 d`, `manual ?`, `gone`: the outcome, how long, what is lost; `?` if nobody knows."""
    if detail.outcome is Outcome.GONE:
        return "gone"
    parts = [str(detail.outcome)]
    if detail.outage_s != 0:
        parts.append("?" if detail.outage_s is None else duration(detail.outage_s))
    if detail.loss_s != 0:
        parts.append("−?" if detail.loss_s is None else f"−{duration(detail.loss_s)}")
    return " ".join(parts)


def _matrix(survey: Survey, accepted: Set[str]) -> Iterator[str]:
    products = [product for product in survey.platform.products if survey.singles.hurt(product)]
    if not survey.platform.products:
        yield "There is nothing to lose: the file names no products and no services."
        return
    worst = sorted(products, key=lambda product: -survey.one[product].outcome)[:MOST_ROWS]
    shown = sorted(worst, key=products.index)
    columns, harmless = _columns(survey, shown, products)
    fitting = _fitting(columns, shown)
    for first in range(0, min(len(columns), MOST_COLUMNS), fitting):
        yield from _block(survey, shown, columns[first : min(first + fitting, MOST_COLUMNS)], accepted)
        yield ""
    yield from _legend([cell for _, _, cells in columns[:MOST_COLUMNS] for cell in cells])
    same = [(name, wider) for name, wider, _ in columns[:MOST_COLUMNS] if wider]
    for name, wider in same:
        yield wrapped(f"{name} stands for {', '.join(map(survey.platform.domains.title, wider))} too.", "")
    if len(columns) > MOST_COLUMNS:
        yield f"{len(columns) - MOST_COLUMNS} more losses hurt; --json has them all."
    noun = "product" if survey.platform.estate.products else "service"
    hidden = len(products) - len(shown)
    if hidden:
        yield f"{hidden} more {noun}{'s' if hidden > 1 else ''} hurt by some loss; --json has them all."
    unhurt = len(survey.platform.products) - len(products)
    if unhurt and products:
        yield f"{_many(unhurt, noun)} {'goes' if unhurt == 1 else 'go'} on whatever single domain is lost."
    if harmless:
        hurt = "hurts nobody" if harmless.bit_count() == 1 else "hurt nobody"
        yield f"{_many(harmless.bit_count(), 'single loss')} {hurt}: up, no data lost, {_longest(survey, harmless)}."


def _legend(cells: Sequence[str]) -> Iterator[str]:
    if any(" ?" in cell for cell in cells):
        yield "?: for how long nobody has measured (--measured) or declared (docs/check.md)."
    lost = [cell for cell in cells if "−" in cell]
    if any(not cell.endswith("−?") for cell in lost):
        yield "−: so much of the last writes may be lost."
    if any(cell.endswith("−?") for cell in lost):
        yield "−?: writes may be lost, and how many nobody has measured (--measured) or declared (lag, proof)."


def _longest(survey: Survey, harmless: int) -> str:
    """How long the outages of losses that hurt nobody are."""
    outages: list[float | None] = [0.0]
    platform = survey.platform
    needed = {name for product in platform.estate.products for name in platform.chains(product)}
    for name in needed or {*platform.estate.services, *platform.estate.links}:
        outages.extend(effect.outage.seconds for effect in survey.singles.of(name) if effect.lost & harmless)
    known = max(outage for outage in outages if outage is not None)
    unknown = "" if None not in outages else "; some outages are unknown"
    return (f"away for {duration(known)} at most" if known else "at once") + unknown


def _columns(survey: Survey, shown: Sequence[str], products: Sequence[str]) -> tuple[list[Column], int]:
    """The losses that hurt, worst first; and those that do not, a bit each."""
    every = survey.singles.losses.losses
    found = {product: details(survey.singles, product) for product in shown}
    hurting = 0
    for product in products:
        hurting |= survey.singles.hurt(product)
    domains = survey.platform.domains
    cells: dict[str, tuple[list[str], int]] = {}
    for position, (name,) in ((position, loss) for position, loss in enumerate(every) if hurting >> position & 1):
        here = [found[product].get(position, UNTOUCHED) for product in shown]
        if any(detail.outcome > Outcome.UP or detail.loss_s != 0 for detail in here):
            cells[name] = [_cell(detail) for detail in here], max(detail.outcome for detail in here)
    columns: list[Column] = []
    for name in sorted(
        cells, key=lambda name: (-len(domains.around(name)), cells[name][1], name)
    ):  # inner before outer
        inner = next((one for one in columns if one[2] == cells[name][0] and domains.holds(name, one[0])), None)
        if inner is None:
            columns.append((name, (), cells[name][0]))
        else:
            columns[columns.index(inner)] = (inner[0], (*inner[1], name), inner[2])
    columns.sort(key=lambda column: (-cells[column[0]][1], domains.size(column[0])))
    return columns, survey.singles.losses.all & ~hurting


def _fitting(columns: Sequence[Column], shown: Sequence[str]) -> int:
    wide = max((len(text) for name, _, cells in columns for text in (name, *cells)), default=1)
    return max(1, (width() - max(map(len, shown), default=0) - 3) // (wide + 3))


def _block(survey: Survey, shown: Sequence[str], columns: Sequence[Column], accepted: Set[str]) -> Iterator[str]:
    kinds = [survey.platform.domains.kinds[name] for name, _, _ in columns]
    names = [name.removeprefix("region:") for name, _, _ in columns]
    marks = ["accepted" if name in accepted else "" for name, _, _ in columns]
    rows = [("", kinds), ("", names), *([("", marks)] if any(marks) else [])]
    rows.extend((product, [cells[row] for *_, cells in columns]) for row, product in enumerate(shown))
    label = max(map(len, shown))
    wide = [max(map(len, texts)) for texts in zip(*(texts for _, texts in rows), strict=True)]
    for title, texts in rows:
        cells = "   ".join(f"{text:<{size}}" for text, size in zip(texts, wide, strict=True))
        yield f"{title:<{label}}   {cells}".rstrip()


def _pairs(survey: Survey) -> Iterator[str]:
    """The pairs that are worse together, by an example of each outcome: the smallest domains that hurt the most."""
    count = len(survey.worse_pairs)
    if not count:
        return
    pairs, domains = Evaluation(survey.platform, survey.worse_pairs), survey.platform.domains
    beyond = together(survey, pairs)
    yield f"{_many(count, 'pair')} {'is' if count == 1 else 'are'} worse than either loss alone, for example:"
    examples: list[tuple[str, dict[str, int]]] = []
    for outcome in sorted(Outcome, reverse=True)[:-1]:
        here = {
            product: worse.levels[outcome - 1] & ~(pairs.levels(product)[outcome] if outcome < Outcome.GONE else 0)
            for product, worse in beyond.items()
        }
        examples.append((str(outcome), here))
    weaker = {product: union(worse.levels) for product, worse in beyond.items()}
    examples.append(("longer", {product: worse.longer & ~weaker[product] for product, worse in beyond.items()}))
    examples.append(("costlier", {product: worse.costlier & ~weaker[product] for product, worse in beyond.items()}))
    rows = []
    for title, here in examples:
        if any(here.values()):
            best = max(
                bits(most(here.values())), key=lambda at: [domains.size(name) for name in survey.worse_pairs[at]]
            )
            products = [product for product, positions in here.items() if positions >> best & 1]
            rows.append((title, " with ".join(survey.worse_pairs[best]), listed(products, 4)))
    wide = max(len(row[1]) for row in rows)
    for name, pair, products_ in rows:
        yield wrapped(f"{name:<8}   {pair:<{wide}}   {products_}".rstrip(), " " * (wide + 16), "  ")


def _findings(platform: Platform, findings: Sequence[Finding], file: str) -> Iterator[str]:
    counted: Counter[str] = Counter()
    for finding in findings:
        if finding.counts:
            counted[finding.rule] += 1
            if counted[finding.rule] <= MOST_OF_A_RULE:
                yield "\n".join(_finding(finding, file))
    more = [f"{count - MOST_OF_A_RULE} more {rule}" for rule, count in counted.items() if count > MOST_OF_A_RULE]
    if more:
        yield wrapped(f"And {', '.join(more)}: --json has them all.", "")
    accepted = [_accepted(finding, finding.accepted) for finding in findings if finding.accepted]
    if accepted:
        yield "\n".join(accepted)


def _finding(finding: Finding, file: str) -> Iterator[str]:
    found, indent = finding.found, " " * 9
    where = f"{file}:{finding.place.line}:{finding.place.column}"
    head = f"{found.severity!s:<7}  {finding.rule:<26} {found.subject}"
    if len(head) + len(where) + 2 > width():
        yield f"{head}\n{indent}{where}"
    else:
        yield f"{head}, {where}"
    yield wrapped(found.message, indent)
    yield wrapped(found.remedy.words, indent + "  ", indent + "→ ")
    for change in found.remedy.changes:
        yield from _change(change)


def _change(change: Change) -> Iterator[str]:
    """The line now and then, whole: a terminal wraps what is too long, and what is copied is the line."""
    added = len(change.then) > 1
    lines = [change.now, *(change.then[1:] if added else change.then)]
    numbers = [
        f"  {change.line}",
        *(f"{'+' if added else '→'} {change.line + (at if added else 0)}" for at in range(1, len(lines))),
    ]
    for number, line in zip(numbers, lines, strict=True):
        yield f"         {number:<5}| {line}".rstrip()


def _accepted(finding: Finding, entry: Accepted) -> str:
    return wrapped(
        f"{finding.rule}, {finding.found.subject}, until {entry.until}: {entry.reason}", " " * 10, "accepted  "
    )


def _end(survey: Survey, findings: Sequence[Finding], file: str) -> Iterator[str]:
    counts = Counter(finding.found.severity for finding in findings if finding.counts)
    parts = [
        _many(counts[severity], str(severity)) if severity else f"{counts[severity]} info"
        for severity in reversed(Severity)
        if counts[severity]
    ]
    accepted = [finding.accepted for finding in findings if finding.accepted]
    if accepted:
        parts.append(f"{len(accepted)} accepted until {min(entry.until for entry in accepted)}")
    first = next((finding for finding in findings if finding.counts), None)
    losses = _worst(survey)
    yield f"{', '.join(parts) or 'No findings'}."
    if first and first.found.severity is Severity.ERROR:
        yield wrapped(f"Next: mend {first.found.subject} (line {first.place.line}) and run this again.", "")
    if losses:
        yield f"binome check {file} --lose {losses[0]} explains that loss."
    elif survey.platform.domains.above_servers:
        yield f"binome check {file} --lose {survey.platform.domains.above_servers[0]} shows what a loss would do."


def _worst(survey: Survey) -> list[str]:
    """The closest of the single losses that are worst, if any stops a product."""
    worst = max((one.outcome for one in survey.one.values()), default=Outcome.UP)
    if worst.goes_on:
        return []
    found = union(survey.singles.levels(product)[worst - 1] for product in survey.platform.products)
    return survey.platform.domains.innermost(survey.singles.losses.losses[position][0] for position in bits(found))


def _lost(platform: Platform, loss: Loss) -> str:
    inside = dict.fromkeys(one for name in loss for one in platform.domains.inside(name))
    servers = [one for one in inside if platform.domains.is_server(one)]
    wider = [platform.domains.title(one) for one in inside if not platform.domains.is_server(one) and one not in loss]
    titles = " and ".join(map(platform.domains.title, loss))
    what = f"{titles[:1].upper()}{titles[1:]} {'is' if len(loss) == 1 else 'are'} lost"
    also = f", with {listed(wider, 8)}" if wider else ""
    return wrapped(f"{what}{also}: {listed(servers, 12)}." if servers else f"{what}{also}.", "  ", "")


def _products(outcomes: Mapping[str, Detail]) -> Iterator[str]:
    shown = [product for product, detail in outcomes.items() if detail.effects][: MOST_ROWS * 2]
    label = max(map(len, shown), default=0)
    for product in shown:
        detail = outcomes[product]
        outage = "outage unknown" if detail.outage_s is None else f"outage {duration(detail.outage_s)}"
        loss = "unknown" if detail.loss_s is None else f"up to {duration(detail.loss_s)} of writes"
        data = "no data lost" if detail.loss_s == 0 else f"data lost: {loss}"
        if detail.outcome is Outcome.GONE:
            needs = [effect.subject for effect in detail.effects if effect.cause.outcome is Outcome.GONE]
            outage, data = f"nothing is left{'' if product in needs else f' of {listed(needs)}'}", ""
        yield f"{product:<{label}}   {', '.join(filter(None, [str(detail.outcome), outage, data]))}"
    untouched = len(outcomes) - sum(1 for detail in outcomes.values() if detail.effects)
    hidden = len(outcomes) - untouched - len(shown)
    if hidden:
        yield f"and {hidden} more"
    if untouched:
        names = [product for product, detail in outcomes.items() if not detail.effects]
        yield wrapped(f"Not touched: {listed(names, 8)}.", "  ", "")


def _services(platform: Platform, loss: Loss, effects: Mapping[str, Sequence[Effect]]) -> Iterator[str]:
    """Each service and link that is hit: what happens there, what is left, and whom it carries."""
    for name in sorted(effects, key=lambda one: -max(effect.cause.value[0] for effect in effects[one])):
        yield wrapped(f"{sentence(platform, name, effects[name], loss)}.", "    ", f"{name}: ")
        capacity = load_left(platform, name, loss) if name in platform.estate.services else ""
        if capacity:
            yield f"    {capacity}"
        chains = [platform.chains(product).get(name, ()) for product in platform.estate.products]
        carried = ["  ".join(["", " → ".join(chain)]).strip() for chain in chains if chain]
        if carried:
            yield wrapped(f"needed by {'; '.join(carried)}", "      ", "    ")
    for name, backup in platform.estate.backups.items():
        vaults = [vault for vault in backup.to if not is_lost(platform, platform.estate.vaults[vault].on, loss)]
        if len(vaults) < len(backup.to):
            count = _many(len(backup.to), "vault")
            yield (
                f"{name}: {len(vaults)} of {count} left: {listed(vaults)}." if vaults else f"{name}: no vault is left."
            )
    lookout = platform.estate.lookout
    if lookout and len(left(platform, lookout.on, loss)) < len(lookout.on):
        yield f"lookout: looks from {listed(left(platform, lookout.on, loss)) or 'nowhere'}."
