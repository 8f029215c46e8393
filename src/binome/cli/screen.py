"""The live screen of the demonstration: sites, engines, roles, the flow of writes, and what happened."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.columns import Columns
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from binome.estate import Estate
from binome.lab.demo import Event, View
from binome.lab.engines import Look

_BARS = "▁▂▃▄▅▆▇█"
_SECONDS_SHOWN = 30


class Screen:
    """Draws the view anew whenever rich asks for it."""

    def __init__(self, estate: Estate, view: View) -> None:
        self._estate = estate
        self._view = view
        self._begun_s = time.monotonic()
        self._loaded = False
        self.lines: list[str] = []

    def say(self, what: str) -> None:
        """Adds a line of the building of the lab."""
        self.lines.append(f"{time.monotonic() - self._begun_s:+8.2f} s  {what}")

    def happened(self, event: Event) -> None:
        """Adds an event of the demonstration; with the first, the building of the lab is history."""
        if not self._loaded:
            self._loaded = True
            self.lines.clear()
        self.lines.append(event_line(event))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        view = self._view
        since = f"{time.monotonic() - view.faulted_at_s:+.1f} s" if view.faulted_at_s else ""
        head = Text(f"{view.estate}   fault: {view.fault}   {view.site}   {since}".rstrip(), style="bold")
        parts: list[RenderableType] = [head, Text()]
        if view.looks:
            parts += [Columns([self._site(site) for site in self._estate.sites], padding=(0, 3)), Text()]
        if view.per_second:
            parts += [self._flow(), Text()]
        above = Group(*parts)
        yield above
        left = console.size.height - len(console.render_lines(above, options)) - 1
        for line in self.lines[-left:] if left > 0 else ():
            yield Text(line, no_wrap=True, overflow="ellipsis")

    def _site(self, site: str) -> Text:
        state = self._view.sites.get(site, "up")
        text = Text(f"{site}{'' if state == 'up' else f'  {state}'}\n", style="" if state == "up" else "red")
        for server, options in self._estate.servers.items():
            if options.site == site:
                members = (service[server] for service in self._view.looks.values() if server in service)
                words = ", ".join(_word(look) for look in members if look.state != "down")
                text.append(f"  {server:<10} {words or '-'}\n", style="default")
        return text

    def _flow(self) -> Text:
        view = self._view
        counts = view.per_second[:-1][-_SECONDS_SHOWN:]
        highest = max([*counts, 1])
        bars = "".join(_BARS[round(count / highest * (len(_BARS) - 1))] for count in counts)
        rate = counts[-1] if counts else 0
        return Text(
            f"writes {bars} {rate:>4}/s     acknowledged {view.acknowledged:,}    unknown {view.unknown:,}",
            no_wrap=True,
        )


def _word(look: Look) -> str:
    """An engine in a word: who leads stands out, what does not work yet says so."""
    word = {"primary": "PRIMARY", "leader": "etcd lead", "follower": "etcd"}.get(look.role, look.role)
    return word if look.state == "up" else f"{word} (starting)"


def event_line(event: Event) -> str:
    """An event as one line, with its time from the fault."""
    return f"{event.at_s:+8.2f} s  {event.what}"


def summary_lines(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    """The summary as aligned lines, readable without colour at 100 columns."""
    names = max(len(name) for name, _, _ in rows)
    values = max(len(value) for _, value, _ in rows)
    return [f"{name:<{names}}  {value:>{values}}   {meaning}" for name, value, meaning in rows]
