"""Something is needed, and nothing in the file runs it: a link without providers, a Patroni without an etcd.

What is not declared is not counted as lost: the outcomes of what needs it are better than the truth.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.findings import Context, Found, Severity

SUBJECTS = (
    "links",
    "services",
)


def findings(context: Context) -> Iterator[Found]:
    """One finding for each link or database that lacks what it stands on."""
    estate = context.platform.estate
    for name, link in estate.links.items():
        if not link.providers:
            needing = next((product for product, one in estate.products.items() if name in one.needs), None)
            who = f"{needing} needs it" if needing else "it is declared"
            message = (
                f"It has no providers, though {who}: no loss of it can be counted, and nothing would be delivered."
            )
            remedy = Remedy(f"Name who delivers: providers: {{first: {{url: …}}, second: {{url: …}}}} under {name}.")
            yield Found(Severity.ERROR, name, ("links", name), message, remedy)
    agreements = [name for name, service in estate.services.items() if service.kind == "etcd"]
    for name, service in estate.services.items():
        if service.kind == "postgresql" and not any(need in agreements for need in service.needs):
            message = (
                "Patroni agrees on its primary through etcd, and it needs none here: the loss of it is not counted."
            )
            path = ("services", name, "needs")
            if agreements:
                value = as_list([*service.needs, agreements[0]])
                remedy = put(estate, path, value, f"Say that it needs {agreements[0]}.")
            else:
                remedy = Remedy(
                    "Declare one in three sites: coordination: {kind: etcd, on: [SERVER, SERVER, SERVER]}, and need it."
                )
            yield Found(Severity.ERROR, name, path, message, remedy)
