"""Senders are found by the entry points of pyproject.toml; what is not there is a problem, and the others go on."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from binome.drivers import notify
from binome.drivers.notify import GROUP, load, secret_of
from binome.estate import load as load_estate
from binome.estate.model import Sender

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """What this tree registers, whatever is installed."""
    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    points = [EntryPoint(name, value, GROUP) for name, value in named.items()]
    monkeypatch.setattr(notify, "entry_points", lambda group, name: [one for one in points if one.name == name])
    return points


LITTORAL = (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_text()


def senders(text: str) -> dict[str, Sender]:
    return dict(load_estate(text.encode()).people.senders)


def test_the_examples_of_the_docs_are_senders() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        loaded = load(senders(example), lambda _place: "s")
        assert loaded.problems == ()
        assert len(loaded.senders) == 1


def test_every_kind_is_registered_and_described(registered: list[EntryPoint]) -> None:
    assert {one.name for one in registered} == {"sms-http", "smtp", "webhook"}
    assert all(f"### `kind: {one.name}`" in DOCS for one in registered)


def test_a_sender_that_cannot_be_is_a_problem_and_the_others_go_on(registered: list[EntryPoint]) -> None:
    three = senders(
        "people: {senders: {a: {kind: smtp}, b: {kind: webhook, url: 'http://x.example', secret: 'env:X'}, "
        "c: {kind: sms-http}}}"
    )
    registered[:] = [one for one in registered if one.name != "sms-http"]
    registered.append(EntryPoint("sms-http", "no.such.module:Sender", GROUP))
    loaded = load(three, lambda _place: "s")
    assert list(loaded.senders) == ["b"]
    assert loaded.problems == (
        "sender a: an smtp sender needs `host`.",
        "sender c cannot be loaded: No module named 'no'.  Install the extra `binome[paging]`.",
    )
    registered.append(EntryPoint("smtp", "another:Sender", GROUP))
    assert "registered by another:Sender and binome.drivers.notify.smtp:Smtp" in load(three, secret_of).problems[0]


def test_the_senders_of_the_example_can_send_as_they_stand(registered: list[EntryPoint]) -> None:
    loaded = load(senders(LITTORAL), lambda _place: "s")
    assert (set(loaded.senders), loaded.problems) == ({"sms-gateway", "mail"}, ())


def test_a_secret_is_of_one_line_and_never_in_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.write_text("geheim\n")
    monkeypatch.setenv("PAGE", " geheim ")
    assert secret_of(f"file:{path}") == secret_of("env:PAGE") == "geheim"
    monkeypatch.delenv("PAGE")
    for raw in (b"", b"geheim\ngeheim", b"\xff\xfe", b"geheim" * 1_000):
        path.write_bytes(raw)
        with pytest.raises(OSError) as refused:
            secret_of(f"file:{path}")
        assert "geheim" not in str(refused.value)
    for place in ("env:PAGE", f"file:{tmp_path}/none"):
        with pytest.raises(OSError):
            secret_of(place)
