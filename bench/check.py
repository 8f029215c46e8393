"""How fast `binome check` decides: reading and evaluation apart, against the oracle, and as the estate grows.

Run by `make bench`. Prints a table; nothing is asserted. The estates are made from a seed.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.analysis.oracle import Oracle

from binome.analysis.answer import as_json
from binome.analysis.findings import judge
from binome.analysis.outcome import Platform
from binome.analysis.survey import Survey, survey
from binome.estate import Estate, load

_T = TypeVar("_T")
KINDS = ("building", "power", "rack", "hypervisor", "carrier")


def estate_text(servers: int, services: int, domains: int) -> bytes:
    """An estate of so many servers, services and fault domains above the server, as tools would write it."""
    chance = random.Random(servers)
    sites = max(3, domains // 10)
    regions = sites // 2
    others = domains - sites - regions - 2
    lines = ["estate: bench", "hosters: {hoster-0: {}, hoster-1: {}}", "sites:"]
    lines += [f"  site-{n}: {{hoster: hoster-{n % 2}, region: region-{n % regions}}}" for n in range(sites)]
    lines += ["domains:"]
    lines += [f"  domain-{n}: {{kind: {KINDS[n % 5]}, in: [site-{n % sites}]}}" for n in range(others)]
    lines += ["servers:"]
    for n in range(servers):
        lines += [
            f"  server-{n}:",
            f"    site: site-{n % sites}",
            f"    address: 10.{n >> 16}.{n >> 8 & 255}.{n & 255}",
        ]
        lines += ["    in:"]  # one domain of each kind
        lines += [f"      - domain-{5 * chance.randrange(others // 5) + kind}" for kind in range(5)]
    lines += ["services:"]
    for n in range(services):
        members = [f"server-{one}" for one in chance.sample(range(servers), min(100, servers))]
        needs = sorted({f"service-{chance.randrange(n)}" for _ in range(2)}) if n else []
        lines += [f"  service-{n}:", f"    kind: {('http', 'generic', 'postgresql', 'etcd')[n % 4]}"]
        lines += [f"    on: [{', '.join(members)}]", f"    needs: [{', '.join(needs)}]"]
        lines += [] if n % 4 == 3 else ["    load: 700", "    capacity: 10", f"    spares: [{members[0]}]"]
    return "\n".join(lines).encode()


def timed(work: Callable[[], _T]) -> tuple[float, _T]:
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def oracle_seconds(estate: Estate, found: Survey, tried: int) -> float:
    """What the oracle needs a loss and product, from `tried` of them; its answers are compared on the way."""
    chance = random.Random(1)
    losses = [found.singles.losses.losses[chance.randrange(len(found.singles.losses.losses))] for _ in range(tried)]
    products = [chance.choice(list(found.platform.products)) for _ in losses]
    took, answers = timed(
        lambda: [Oracle(estate, loss).product(one) for loss, one in zip(losses, products, strict=True)]
    )
    for loss, product, answer in zip(losses, products, answers, strict=True):
        if str(found.alone(product, loss[0])) != answer[0]:
            raise SystemExit(f"the oracle disagrees: {product} when {loss[0]} is lost")
    return took / tried


def main() -> None:
    print("servers  services  domains     losses   file MB   read s   evaluate s   rules s   peak MB   --json s   MB")
    for servers in (100, 1_000, 10_000):
        text = estate_text(servers, servers // 10, 200)
        reading, estate = timed(lambda text=text: load(text))  # type: ignore[misc]
        evaluating, found = timed(lambda estate=estate: survey(Platform(estate)))  # type: ignore[misc]
        peak = peak_mb()
        judging, found_by_rules = timed(lambda found=found: judge(found, date(2026, 1, 1)))  # type: ignore[misc]
        writing, size = timed(lambda: sum(len(part.encode()) for part in as_json(found, found_by_rules)))  # noqa: B023
        peak = max(peak, peak_mb())
        print(
            f"{servers:>7}  {servers // 10:>8}  {len(found.platform.domains.above_servers):>7}  {found.tried:>9,}"
            f"   {len(text) / 1e6:>7.2f}   {reading:>6.2f}   {evaluating:>10.2f}"
            f"   {judging:>7.2f}   {peak:>7}   {writing:>8.2f}   {size / 1e6:>4.0f}"
        )
        if servers == 100:
            one = oracle_seconds(estate, found, 20)
            every = found.tried * len(found.platform.products)
            ratio = one * every / evaluating
            oracle = f"the oracle at 100 servers: {one * 1000:.1f} ms a loss and service (20 tried, all agree); "
            oracle += (
                f"all {every:,} would take {one * every / 60:.0f} min, {ratio:,.0f} times as long as the evaluation"
            )
    print(oracle)


if __name__ == "__main__":
    main()
