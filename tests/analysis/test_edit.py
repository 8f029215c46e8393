"""Remedies as lines: written where the file is written so, in words where it is not."""

from __future__ import annotations

import pytest

from binome.analysis.edit import put
from binome.estate import load

HEAD = "sites: {a: {}}\nservers: {x: {site: a}, y: {site: a}}\n"


@pytest.mark.parametrize(
    ("services", "key", "then"),
    [
        ("services:\n  web: {kind: http, on: [x]}", "on", ("  web: {kind: http, on: [x, y]}",)),
        ("services:\n  web: {kind: http, on: x}", "on", ("  web: {kind: http, on: [x, y]}",)),
        ("services:\n  web:\n    kind: http\n    on: [x]  # one", "on", ("    on: [x, y]  # one",)),
        ("services:\n  web:\n    kind: http\n    on: [x]", "spares", ("  web:", "    spares: [x, y]")),
        (
            "services:\n  web: {kind: http, on: [x]} # c",
            "spares",
            ("  web: {kind: http, on: [x], spares: [x, y]} # c",),
        ),
        ("services: {web: {kind: http, on: [x]}}", "on", ("services: {web: {kind: http, on: [x, y]}}",)),
        ("services:\n  web:\n    kind: http\n    on:\n      - x", "on", None),
        ("services:\n  web: {kind: http, on: [x,\n    y]}", "on", None),
        ("services:\n  web: {kind: http,\n    on: [x]}", "spares", None),
    ],
)
def test_put(services: str, key: str, then: tuple[str, ...] | None) -> None:
    estate = load((HEAD + services + "\n").encode())
    remedy = put(estate, ("services", "web", key), "[x, y]", "Do it.")
    assert remedy.words == "Do it."
    assert tuple(change.then for change in remedy.changes) == (() if then is None else (then,))


def test_an_estate_from_no_file_gets_words() -> None:
    from binome.estate import Estate

    assert put(Estate(), ("services", "web", "on"), "[x]", "Do it.").changes == ()
