"""One way out: a link with one provider, or with several that share a fault domain."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy, put
from binome.analysis.fate import shared, titles
from binome.analysis.findings import Context, Found, Severity


def findings(context: Context) -> Iterator[Found]:
    """One finding a link."""
    platform = context.platform
    for name, link in platform.estate.links.items():
        providers, path = list(link.providers), ("links", name, "providers")
        both = shared(platform, providers) if len(providers) > 1 else []
        if len(providers) == 1:
            message = (
                f"{providers[0]} alone delivers {link.kind}: when it is away, so is every product that needs {name}."
                "  A provider's bad day comes oftener than a fire."
            )
        elif both:
            message = f"All {len(providers)} providers stand in {titles(platform, both)}: they fail together."
        else:
            continue
        words = f"Add a second provider that shares nothing with {providers[0]}, and let messages wait for either."
        yield Found(Severity.WARNING, name, path, message, _remedy(context, name, words), (*providers[:1], *both))


def _remedy(context: Context, name: str, words: str) -> Remedy:
    estate = context.platform.estate
    place = estate.place("links", name, "providers")
    line = estate.line(place.line)
    opened = line.find("{", place.column)
    if opened < 0 or "providers" not in line or line.count("{") != line.count("}"):
        return Remedy(words)
    inside = line[opened + 1 : line.rstrip().rfind("}")]
    value = f'{{{inside.rstrip("}")}}}, second: {{url: "https://…", secret: "env:SECOND"}}}}'
    return put(estate, ("links", name, "providers"), value, words)
