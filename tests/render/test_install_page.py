"""docs/install.md: its estate is good, what it shows is rendered, its ports and extras are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from binome.estate import load
from binome.render import places, render

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
ESTATE, OWN_PATRONI = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_estate_of_the_page_gets_the_files_that_the_page_shows() -> None:
    (shown,) = re.findall(r"--into /\n((?:/etc/.+\n)+)", PAGE)
    assert shown.splitlines() == list(render(load(ESTATE.encode()), "gra-db"))


def test_with_a_patroni_of_the_teams_own_only_binome_gets_a_unit() -> None:
    own = ESTATE.replace("takeover: automatic}", f"takeover: shadow, {OWN_PATRONI.strip()}}}")
    paths = render(load(own.encode()), "gra-db")
    assert "/etc/systemd/system/binome.service" in paths and not [path for path in paths if "database" in path]


def test_every_unit_that_is_started_is_rendered_for_some_server() -> None:
    estate = load(ESTATE.encode())
    rendered = {Path(path).stem for server in estate.servers for path in render(estate, server) if "systemd" in path}
    assert set(re.findall(r"enable --now (\S+)\n", PAGE)) == rendered


def test_every_extra_that_a_server_can_need_is_explained_and_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    explained = set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE))
    assert explained == set(project["optional-dependencies"]) - {"dev"}


def test_the_ports_to_open_are_those_of_the_code() -> None:
    (line,) = re.findall(r"The ports that servers.*?\n\n", PAGE, re.DOTALL)
    ports = {value for name, value in vars(places).items() if name.endswith("_PORT")}
    assert set(map(int, re.findall(r"\b\d{4}\b", line))) | {places.METRICS_PORT} == ports
