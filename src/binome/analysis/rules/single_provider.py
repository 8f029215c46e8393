"""One way out: a link with one provider, or with several that share a fault domain."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy
from binome.analysis.fate import shared, titles
from binome.analysis.findings import Context, Found, Severity

SUBJECTS = ("links",)


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
        about = tuple(both) or (providers[0],)
        yield Found(Severity.WARNING, name, path, message, Remedy(words), about)
