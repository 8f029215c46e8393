"""How long it takes to read an estate file, beside bare PyYAML reading the same text; and what growth costs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import yaml

from binome.estate import load


def estate_text(servers: int) -> bytes:
    """An estate of pairs: servers in a hundred sites, a service on every ten of them."""
    lines = ["estate: large", "hosters: {one: {}, two: {}}", "sites:"]
    lines += [f"  site-{n}: {{hoster: {'one' if n % 2 else 'two'}, region: region-{n % 10}}}" for n in range(100)]
    lines += ["domains:"]
    lines += [f"  rack-{n}: {{kind: rack, in: site-{n % 100}}}" for n in range(100)]
    lines += ["servers:"]
    for n in range(servers):
        lines.append(f"  server-{n}:")
        lines.append(f"    site: site-{n % 100}")
        lines.append(f"    address: 10.{n // 65536}.{n // 256 % 256}.{n % 256}")
        lines.append(f"    in: [rack-{n % 100}]   # {'what a person says about this server ' * 8}")
    lines += ["services:"]
    for n in range(servers // 10):
        members = ", ".join(f"server-{(n + k * 7) % servers}" for k in range(4))
        lines.append(f"  service-{n}: {{kind: http, on: [{members}], port: 8000, load: 300, capacity: 200}}")
    return "\n".join(lines).encode()


def seconds(work: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    work()
    return time.perf_counter() - begin_s


def main() -> None:
    print("reading an estate file                     binome    bare YAML    ratio")
    for servers in (100, 1_000, 10_000):
        text = estate_text(servers)
        ours = seconds(lambda text=text: load(text))
        bare = seconds(lambda text=text: yaml.load(text, Loader=yaml.CSafeLoader))
        print(f"  {servers:>6,} servers, {len(text) / 1e6:5.2f} MB   {ours:12.2f} s {bare:9.2f} s {ours / bare:8.1f}")
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
