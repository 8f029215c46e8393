"""docs/probes.md has a section for every kind, with its keys and a good example; a test fails when one is missing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from binome.core.target import targets
from binome.drivers import probe
from binome.estate import load
from binome.estate.probe_keys import NEEDED_PROBE_KEYS, PROBE_KEYS
from binome.render.places import HAPROXY_PORT, HEARTBEAT_PORT
from binome.runtime.prober import SLOW_S

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "probes.md").read_text(encoding="utf-8")
SECTIONS = {heading.strip("`"): text for heading, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)}
LITTORAL = (ROOT / "examples" / "littoral" / "estate.yaml").read_text()


def test_every_kind_has_its_section() -> None:
    modules = {path.stem for path in Path(probe.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(SECTIONS) == modules | {"Another kind"}


@pytest.mark.parametrize("kind", sorted(PROBE_KEYS))
def test_every_key_of_a_kind_is_in_its_table(kind: str) -> None:
    rows = re.findall(r"^\| (`.+?) \| (.+) \|$", SECTIONS[kind], re.MULTILINE)
    keys = {key: meaning for names, meaning in rows for key in re.findall("`(.+?)`", names)}
    assert keys.keys() == {*PROBE_KEYS[kind], *NEEDED_PROBE_KEYS.get(kind, ())}
    assert {key for key in keys if "must be given" in keys[key]} == set(NEEDED_PROBE_KEYS.get(kind, ()))


@pytest.mark.parametrize("section", sorted(SECTIONS))
def test_an_example_is_good_and_becomes_targets_of_its_kind(section: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", SECTIONS[section], re.DOTALL)
    plain = {target.name for target in targets(load(LITTORAL.encode()))}
    found = [one for one in targets(load(f"{LITTORAL}\n{example}".encode())) if one.name not in plain]
    assert found and {one.kind for one in found} == {section if section in PROBE_KEYS else "ldap"}


def test_the_details_of_a_kind_are_named() -> None:
    for kind in PROBE_KEYS:
        code = (Path(probe.__file__).parent / f"{kind}.py").read_text()
        named = re.findall(r"details: ((?:`[a-z_]+`(?:, )?)+)", code)
        for detail in re.findall("`(.+?)`", "".join(named)):
            assert f"`{detail}`" in SECTIONS[kind], f"{kind}: {detail}"


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"more than {SLOW_S * 1000:.0f} ms late" in PAGE
    assert f":{HEARTBEAT_PORT}/beat/nightly-dump" in PAGE and f"port {HAPROXY_PORT}" in PAGE
