"""`binome backup` and `binome vault`, end to end: files and repositories into directories, without any engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from binome.cli.main import app
from tests.drivers.installed import install
from tests.drivers.vault_suite import run, silent

ESTATE = """
sites: {{gra: {{}}, ams: {{}}}}
servers: {{gra-web: {{site: gra}}, ams-1: {{site: ams}}}}
services: {{web: {{kind: http, on: [gra-web]}}}}
data: {{uploads: {{in: web, paths: [{root}/uploads]}}}}
vaults:
  here: {{kind: directory, on: gra-web, path: {root}/disk/here}}
  there: {{kind: directory, on: gra-web, path: {root}/disk/there}}
  far: {{kind: directory, on: ams-1, path: /srv/far}}
  keyed: {{kind: restic, on: ams-1, path: /srv/keyed, key: "file:{root}/key", key_on: [ams-1, gra-web]}}
backups:
  files: {{of: uploads, method: files, every: 1d, to: [here, there], keep: {{last: 1}}}}
  half: {{of: uploads, method: files, every: 1d, to: [here, far]}}
  none: {{of: uploads, method: files, every: 1d, to: [far]}}
  to-keyed: {{of: uploads, method: files, every: 1d, to: [keyed]}}
"""

Binome = Callable[..., Result]


@pytest.fixture
def binome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Binome:
    """The command, in a folder with an estate; `gra-web` is this server."""
    install(monkeypatch)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "a").write_text("hello")
    (tmp_path / "disk").mkdir()
    (tmp_path / "scratch").mkdir()
    (tmp_path / "estate.yaml").write_text(ESTATE.format(root=tmp_path))
    monkeypatch.chdir(tmp_path)

    def invoke(*words: str, server: str = "gra-web") -> Result:
        scratch = ["--scratch", str(tmp_path / "scratch")] if words[:2] == ("backup", "take") else []
        return CliRunner().invoke(app, [*words, *(["--as", server] if server else []), *scratch])

    return invoke


def answer(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_backup_is_taken_listed_and_shown(binome: Binome, tmp_path: Path) -> None:
    taken = answer(binome("backup", "take", "files", "--json"))
    assert set(taken["stored"]) == {"here", "there"} == set(taken["made"]) and taken["failed"] == {}
    listed = answer(binome("backup", "list", "files", "--json"))
    assert {(one["vault"], one["id"], one["proven"]) for one in listed["copies"]} == {
        (vault, id_, False) for vault, id_ in taken["stored"].items()
    }
    shown = answer(binome("backup", "show", "files", "--json"))
    assert shown["data"] == ["uploads"] and shown["method"] == "files" and shown["server"] == "gra-web"
    assert shown["fingerprints"]["uploads"]["files"] == 1 and list(shown["files"]) == ["uploads/files.tar"]
    assert shown["began_ms"] <= shown["at_ms"] <= shown["ended_ms"]
    assert list((tmp_path / "scratch").iterdir()) == [], "nothing is left in the scratch folder"
    words = binome("backup", "show", "files", taken["stored"]["there"][:20]).stdout
    assert "uploads by files" in words and "not proven" in words


def test_a_vault_that_cannot_be_had_stops_no_other(binome: Binome) -> None:
    half = answer(binome("backup", "take", "half", "--json"), 1)
    assert set(half["stored"]) == {"here"} and "is a directory of ams-1" in half["failed"]["far"]
    assert answer(binome("backup", "take", "none", "--json"), 3)["stored"] == {}
    listed = answer(binome("backup", "list", "--json"), 4)
    assert {one["backup"] for one in listed["copies"]} == {"half"}
    assert set(listed["failed"]) == {"far", "keyed", "there"}, "one that was never made, or is gone, is said too"


@pytest.mark.parametrize(
    ("words", "server", "code", "said"),
    [
        (("backup", "take", "filse"), "gra-web", 2, "no backup filse; nothing was done.  Did you mean files?"),
        (("backup", "take", "files"), "gra-wbe", 2, "no server gra-wbe"),
        (("backup", "take", "files"), "ams-1", 2, "data.uploads lies on gra-web, and ams-1 cannot read it"),
        (("backup", "show", "files"), "gra-web", 4, "files: no copy was found"),
        (("backup", "list", "filse"), "gra-web", 2, "Did you mean files?"),
        (("vault", "check", "heer"), "gra-web", 2, "no vault heer"),
        (("vault", "check", "here"), "gra-web", 4, "there is no vault"),
        (("vault", "prune", "--keep", "{}"), "gra-web", 2, "--keep belongs to --simulate"),
    ],
)
def test_what_cannot_be_done_is_said(binome: Binome, words: tuple[str, ...], server: str, code: int, said: str) -> None:
    result = binome(*words, server=server)
    assert result.exit_code == code and said in result.output, result.output


def test_a_source_that_is_gone_makes_no_copy(binome: Binome, tmp_path: Path) -> None:
    (tmp_path / "uploads").rename(tmp_path / "moved")
    result = binome("backup", "take", "files")
    assert result.exit_code == 3 and "it is not there" in result.output and "no copy was made" in result.output
    assert not (tmp_path / "disk" / "here").exists() and list((tmp_path / "scratch").iterdir()) == []


def test_damage_is_found_and_a_cut_manifest_is_not_shown(binome: Binome, tmp_path: Path) -> None:
    id_ = answer(binome("backup", "take", "files", "--json"))["stored"]["here"]
    assert answer(binome("vault", "check", "--read", "here", "--json"))["vaults"]["here"] == {
        "copies": 1,
        "damage": [],
        "trouble": None,
    }
    manifest = tmp_path / "disk" / "here" / id_ / "copy.json"
    os.truncate(manifest, 100)
    found = answer(binome("vault", "check", "here", "--json"), 1)["vaults"]["here"]["damage"]
    assert found == [f"{id_}/copy.json: it is shorter than what was saved"]
    assert answer(binome("vault", "check", "there", "--json"))["vaults"]["there"]["damage"] == []
    (tmp_path / "disk" / "there").rename(tmp_path / "disk" / "away")
    result = binome("backup", "show", "files")
    assert result.exit_code == 1 and "copy.json cannot be read" in result.output


def test_prune_keeps_the_last_proven_copy_and_says_why(binome: Binome, tmp_path: Path) -> None:
    for _ in range(3):
        answer(binome("backup", "take", "files", "--json"))
    ids = planned(binome)  # newest first; of one second perhaps, and then by their names
    assert list(ids.values()) == [["one of the last"], ["no rule keeps it"], ["no rule keeps it"]]
    newest, middle, oldest = ids
    prove(tmp_path, oldest, "proven")
    prove(tmp_path, middle, "proven")
    prove(tmp_path, middle, "failed", later_ms=1000)
    assert planned(binome) == {
        newest: ["one of the last"],
        middle: ["no rule keeps it"],  # its newest proof says that it is bad
        oldest: ["the newest proven copy"],
    }
    assert len(answer(binome("backup", "list", "files", "--json"))["copies"]) == 6, "nothing was deleted yet"
    done = binome("vault", "prune", "here", "--why")
    assert done.exit_code == 0 and "2 stay, 1 went" in done.stdout and "the newest proven copy" in done.stdout
    listed = answer(binome("backup", "list", "files", "--json"))["copies"]
    assert {one["id"]: one["proven"] for one in listed if one["vault"] == "here"} == {newest: False, oldest: True}
    proofs = [path for path in (tmp_path / "disk" / "here").glob("*.json") if middle in path.read_text()]
    assert proofs == [], "what was said of a copy goes with it"


def planned(binome: Binome) -> dict[str, list[str]]:
    """The copies in `here`, newest first, with why each stays or goes."""
    plan = answer(binome("vault", "prune", "here", "--dry-run", "--json"))["vaults"]["here"]["files"]["copies"]
    return {one["id"]: one["why"] for one in plan}


def prove(root: Path, id_: str, verdict: str, later_ms: int = 0) -> None:
    """Puts what a proof will leave beside a copy."""
    from binome.drivers.vault.directory import DirectoryVault
    from binome.ports_of_copies import VaultPlace

    folder = root / "proof"
    folder.mkdir(exist_ok=True)
    (folder / "proof.json").write_text("{}")
    vault = DirectoryVault(VaultPlace("here", "directory", str(root / "disk" / "here")), str)
    at_ms = int(datetime.now(UTC).timestamp() * 1000) + later_ms
    run(vault.put(folder, at_ms, {"kind": "proof", "of": id_, "verdict": verdict}, silent))


def test_what_a_killed_backup_left_is_swept_away(binome: Binome, tmp_path: Path) -> None:
    (tmp_path / "scratch" / "binome-copy-old").mkdir()
    (tmp_path / "scratch" / "other").mkdir()
    binome("backup", "take", "files")
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["other"]


def test_keys_for_the_safe(binome: Binome, tmp_path: Path) -> None:
    result = binome("vault", "keys", "keyed")
    assert result.exit_code == 1 and "not here: file:" in result.stdout and "gra-web, MISSING THERE" in result.stdout
    (tmp_path / "key").write_text("a-long-key\n")
    result = binome("vault", "keys", "keyed")
    assert result.exit_code == 0 and "key      a-long-key" in result.stdout
    assert "ams-1   beside the copies: server ams-1" in result.stdout
    assert "gra-web, seen there   beside the source: server gra-web" in result.stdout
    row = answer(binome("vault", "keys", "keyed", "--json"))["vaults"][0]
    assert row["key"] == "a-long-key" and row["doubts"] == [] and row["missing_here"] is False


COPIES = [
    {"id": "c", "time": "2026-11-24T02:00:00Z"},
    {"id": "b", "time": "2026-11-23T02:00:00.123456789Z"},
    {"id": "a", "time": "2026-11-20T02:00:00+01:00", "proven": True},
]


def test_rules_are_tried_without_a_vault(binome: Binome, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps(COPIES))
    words = ("vault", "prune", "--simulate", "s.json", "--keep", '{"daily": 1}')
    assert answer(binome(*words, "--json", server="")) == ["c", "a"]
    assert binome(*words, server="").stdout.splitlines() == [
        "2026-11-24T02:00:00+00:00  c  stays  daily",
        "2026-11-23T02:00:00.123456+00:00  b  goes   no rule keeps it",
        "2026-11-20T02:00:00+01:00  a  stays  the newest proven copy",
    ]
    assert [one["why"] for one in answer(binome(*words, "--json", "--why", server=""))] == [
        ["daily"],
        ["no rule keeps it"],
        ["the newest proven copy"],
    ]
    assert answer(binome("vault", "prune", "--simulate", "s.json", "--json", server="")) == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("content", "keep", "said"),
    [
        ("{}", "{}", "expected a JSON list"),
        ("[1]", "{}", "copy 1: expected"),
        ('[{"id": "a", "time": "yesterday"}]', "{}", "copy 1: expected"),
        ('[{"id": 1, "time": "2026-11-24T02:00:00Z"}]', "{}", "copy 1: expected"),
        ('[{"id": "a", "time": "2026-11-24T02:00:00Z", "proven": 1}]', "{}", "copy 1: expected"),
        ("[", "{}", "expected a JSON list"),
        ("[]", "daily", "--keep: expected rules"),
        ("[]", '{"dayly": 1}', "--keep: dayly"),
        ("[]", '{"daily": 0}', "--keep: daily"),
    ],
)
def test_unusable_lists_and_rules(binome: Binome, tmp_path: Path, content: str, keep: str, said: str) -> None:
    (tmp_path / "s.json").write_text(content)
    result = binome("vault", "prune", "--simulate", "s.json", "--keep", keep, server="")
    assert result.exit_code == 2 and said in result.output, result.output
