"""`binome check`: what it prints for both examples, each planted mistake and its fix, one loss, unusable input.

The expected outputs are the files in tests/cli/golden. After a wanted change rewrite them and read the difference:

    pytest tests/cli/test_check.py --rewrite && git diff tests/cli/golden
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from binome.cli import check as command
from binome.cli.main import app

GOLDEN = Path("tests/cli/golden")
LITTORAL = "examples/littoral/estate.yaml"
BEFORE = "examples/before-the-fire/estate.yaml"


@pytest.fixture(autouse=True)
def _one_day_on_one_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_today", lambda: date(2026, 11, 1))
    monkeypatch.setenv("COLUMNS", "100")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments])


@pytest.mark.parametrize(
    ("golden", "arguments", "code"),
    [
        ("littoral.txt", [LITTORAL], 0),
        ("littoral.json", [LITTORAL, "--json"], 0),
        ("littoral-lose-strasbourg.txt", [LITTORAL, "--lose", "strasbourg"], 0),
        ("littoral-lose-strasbourg-paris.txt", [LITTORAL, "--lose", "strasbourg,paris"], 1),
        ("littoral-lose-ovh.txt", [LITTORAL, "--lose", "ovh"], 1),
        ("before-the-fire.txt", [BEFORE], 1),
        ("before-the-fire.json", [BEFORE, "--json"], 1),
        ("before-the-fire-lose-sbg-2.txt", [BEFORE, "--lose", "sbg-2"], 1),
        ("before-the-fire-lose-sbg-2.json", [BEFORE, "--lose", "sbg-2", "--json"], 1),
    ],
)
def test_golden(golden: str, arguments: Sequence[str], code: int, rewrite: bool) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.stderr
    path = GOLDEN / golden
    if rewrite:
        path.write_text(result.stdout)
    assert result.stdout == path.read_text()
    if golden.endswith(".txt"):  # lines to copy are whole
        assert all(len(line) <= 100 for line in result.stdout.splitlines() if not re.match(r" +([→+] )?\d+ *\|", line))


def findings(text: str, folder: Path) -> set[tuple[str, str]]:
    file = folder / "estate.yaml"
    file.write_text(text)
    return {(one["rule"], one["subject"]) for one in json.loads(run(str(file), "--json").stdout)["findings"]}


FIXES: dict[str, list[tuple[str, str]]] = {
    "agreement-in-one-domain coordination": [("on: [sbg-db, sbg-web, gra-web]", "on: [sbg-db, gra-web, par-small]")],
    "pair-in-one-domain database": [("on: [sbg-db, sbg2-db]", "on: [sbg-db, gra-db]")],
    "takeover-against-rto database": [("takeover: manual", "takeover: automatic")],
    "single-provider sms": [
        ('secret: "env:ALPHA"}}   #', 'secret: "env:ALPHA"}, beta: {url: "https://beta.example"}}   #'),
    ],
    "one-registrar names-r-us": [
        ("names-r-us: {kind: registrar}", "names-r-us: {kind: registrar}\n  other-names: {kind: registrar}"),
        ("\nproducts:", "  app.littoral.test: {to: edge, registrar: other-names}\n\nproducts:"),
    ],
    "key-beside-copy vault-sbg": [("key_on: [sbg2-vault]", "key_on: [sbg2-vault, gra-db]")],
    "backup-unproven nightly": [("keep: {daily: 14}", "keep: {daily: 14}\n    proof: {every: 1d, on: par-small}")],
    "backup-beside-source nightly": [("to: [vault-sbg] ", "to: [vault-sbg, vault-par] ")],
    "paging-depends-on-platform sms-gateway": [
        ("{via: sms-gateway, after: 0s}", "{via: sms-gateway, after: 0s}, {via: mail, after: 2m}"),
        ("  senders:\n", "  senders:\n    mail: {kind: smtp, host: mx.page.example}\n"),
    ],
    "too-few-lookout-sites lookout": [("on: [sbg-edge]", "on: [sbg-edge, gra-edge, par-small]")],
}


def fixed(text: str, changes: Sequence[tuple[str, str]]) -> str:
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def test_every_mistake_that_the_example_marks_is_found_and_no_other(tmp_path: Path) -> None:
    text = Path(BEFORE).read_text()
    marked = [line.split("# mistake: ")[1] for line in text.splitlines() if "# mistake: " in line]
    summed_up = [("survives-broken", "campaigns"), ("survives-broken", "website"), ("one-hoster", "ovh")]
    found = findings(text, tmp_path)
    assert sorted(rule for rule, subject in found if (rule, subject) not in summed_up) == sorted(marked)
    assert sorted(f"{rule} {subject}" for rule, subject in found if (rule, subject) not in summed_up) == sorted(FIXES)


@pytest.mark.parametrize("mistake", FIXES)
def test_each_fix_alone_removes_exactly_its_finding(mistake: str, tmp_path: Path) -> None:
    text = Path(BEFORE).read_text()
    before, after = findings(text, tmp_path), findings(fixed(text, FIXES[mistake]), tmp_path)
    rule, subject = mistake.split()
    assert before - after == {(rule, subject)}
    assert after <= before


def test_all_fixes_together_keep_the_promise(tmp_path: Path) -> None:
    text = fixed(Path(BEFORE).read_text(), [change for changes in FIXES.values() for change in changes])
    assert findings(text, tmp_path) == {("one-hoster", "ovh")}
    assert run(str(tmp_path / "estate.yaml"), "--fail-on", "info").exit_code == 0


@pytest.mark.parametrize("mistake", FIXES)
def test_the_lines_that_a_finding_proposes_mend_it(mistake: str, tmp_path: Path) -> None:
    """Where the remedy has lines, they are applied as they stand."""
    from binome.analysis.findings import judge
    from binome.analysis.outcome import Platform
    from binome.analysis.survey import survey
    from binome.estate import load

    text = Path(BEFORE).read_text()
    every = judge(survey(Platform(load(text.encode()))), date(2026, 11, 1))
    finding = next(one for one in every if f"{one.rule} {one.found.subject}" == mistake)
    lines = text.splitlines()
    for change in finding.found.remedy.changes:
        assert lines[change.line - 1] == change.now
        lines[change.line - 1 : change.line] = change.then
    if finding.found.remedy.changes:
        rule, subject = mistake.split()
        assert (rule, subject) not in findings("\n".join(lines), tmp_path)


def test_the_severity_to_fail_on() -> None:
    assert run(LITTORAL, "--fail-on", "info").exit_code == 0
    assert run(BEFORE, "--fail-on", "error").exit_code == 1
    result = run(LITTORAL, "--fail-on", "eror")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Did you mean error?" in result.stderr


def test_warnings_alone_fail_only_when_asked(tmp_path: Path) -> None:
    file = tmp_path / "estate.yaml"
    file.write_text("links: {sms: {kind: sms, providers: {alpha: {host: a.example}}}}\n")
    assert run(str(file)).exit_code == 0
    assert run(str(file), "--fail-on", "warning").exit_code == 1


def test_an_acceptance_comes_back_when_its_day_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_today", lambda: date(2027, 7, 1))
    result = run(LITTORAL)
    assert result.exit_code == 1
    assert "accepted until 2027-06-30, which is over" in " ".join(result.stdout.split())
    monkeypatch.setattr(command, "_today", lambda: date(2027, 6, 30))
    assert run(LITTORAL).exit_code == 0


def test_unknown_names_are_refused_all_at_once() -> None:
    result = run(LITTORAL, "--lose", "strasburg,gra-bd,")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Did you mean strasbourg?" in result.stderr
    assert "Did you mean gra-db?" in result.stderr
    assert run(LITTORAL, "--lose", ",").exit_code == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "this is not JSON"),
        ("[]", "expected an object"),
        ('{"servises": {"database": {"takeover_s": 1}}}', "Did you mean services?"),
        ('{"services": {"databse": {"takeover_s": 1}}}', "Did you mean database?"),
        ('{"services": {"database": {"takeover": 1}}}', "Did you mean takeover_s?"),
        ('{"services": {"database": {"takeover_s": -1}}}', "expected seconds"),
        ('{"services": {"database": {"takeover_s": NaN}}}', "expected seconds"),
        ('{"services": {"database": {"takeover_s": true}}}', "expected seconds"),
        ('{"services": {"database": 3}}', "expected an object"),
        ('{"services": {"database": {"takeover_s": 1, "takeover_s": 2}}}', "takeover_s is there 2 times"),
        ("[" * 100_000, "nested too deeply"),
        (" " * 20_000_000, "larger than"),
    ],
)
def test_a_bad_file_of_measured_values_is_refused(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    file.write_text(content)
    result = run(LITTORAL, "--measured", str(file))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    result = run(LITTORAL, "--measured", str(file), "--json")
    assert (result.exit_code, result.stderr) == (2, "")
    assert any(said in one["message"] for one in json.loads(result.stdout)["errors"])


def test_a_missing_file_of_measured_values_is_refused() -> None:
    assert run(LITTORAL, "--measured", "/nonexistent").exit_code == 2


def test_measured_values_are_used_and_named(tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    file.write_text('{"services": {"database": {"takeover_s": 1.07}}, "backups": {"nightly": {"restore_s": 5400}}}')

    def product(loss: str) -> dict[str, Any]:
        answer = json.loads(run(LITTORAL, "--measured", str(file), "--json").stdout)
        return dict(next(one for one in answer["losses"] if one["domains"] == [loss])["products"]["campaigns"])

    assert product("strasbourg")["outage_s"] == 1.07
    assert product("ovh")["outage_s"] == 5400
    assert any("1.07 s (measured)" in why for why in product("strasbourg")["because"])


def test_an_estate_that_is_refused_is_refused_here_too(tmp_path: Path) -> None:
    file = tmp_path / "estate.yaml"
    file.write_text("sites: {a: {hoster: nobody}}\n")
    assert run(str(file)).exit_code == 2
    assert json.loads(run(str(file), "--json").stdout)["errors"]


def test_an_estate_of_groups_and_hypervisors_alone_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["sites: {dc: {}}", "domains:", *(f"  hv-{n}: {{kind: hypervisor, in: dc}}" for n in range(40)), "servers:"]
    lines += [f"  vm-{n}: {{in: hv-{n // 3 % 40}}}" for n in range(240)]
    lines += ["services:", *(f"  group-{n}: {{kind: generic, on: [vm-{2 * n}, vm-{2 * n + 1}]}}" for n in range(120))]
    file = Path("estate.yaml")
    file.write_text("\n".join(lines))
    result = run(str(file))
    assert result.exit_code == 1
    assert "pair-in-one-domain" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 100
    assert len(result.stdout.splitlines()) < 200
    answer = json.loads(run(str(file), "--json").stdout)
    assert answer["summary"]["products"]["group-0"]["worst_one"] == "gone"


def test_an_estate_of_nothing_is_answered(tmp_path: Path) -> None:
    file = tmp_path / "estate.yaml"
    file.write_text("sites: {a: {}}\n")
    result = run(str(file))
    assert result.exit_code == 0
    assert "nothing to lose" in result.stdout


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (
            "sms",
            "it is a link, and what can be lost is a fault domain.  It is carried by alpha and beta: --lose alpha.",
        ),
        ("database", "it is a service, and what can be lost is a fault domain.  It is carried by gra-db and sbg-db"),
        ("website", "it is a product, and what can be lost is a fault domain.  It is carried by gra-edge, sbg-edge, "),
    ],
)
def test_what_carries_a_link_a_service_or_a_product_can_be_lost(name: str, what: str) -> None:
    result = run(LITTORAL, "--lose", name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"--lose {name}: {what}" in result.stderr
    assert "Did you mean" not in result.stderr


def test_fail_on_is_refused_together_with_lose() -> None:
    result = run(LITTORAL, "--lose", "strasbourg", "--fail-on", "warning")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--fail-on is about findings" in result.stderr
    assert "Not with --lose" in " ".join(run("--help").stdout.replace("│", " ").split())


STANDBY = """
sites: {a: {}, b: {}, c: {}, d: {}}
servers: {x: {site: a}, y: {site: b}, z: {site: c}, s: {site: c}, v: {site: d}}
services:
  agree: {kind: etcd, on: [x, y, z]}
  db: {kind: postgresql, on: [x, y], needs: [agree], takeover: automatic, replication: asynchronous, spares: [s]LAG}
products: {shop: {needs: [db], objective: {rto: 1m}}}
vaults: {away: {kind: directory, on: v, path: /srv}}
data: {rows: {in: db, backup: [nightly]}}
backups: {nightly: {of: [rows], method: dump, every: 1d, to: [away], proof: {every: 1d, on: s}}}
lookout: {on: [x, y, z]}
"""


@pytest.mark.parametrize(
    ("lag", "cell", "legend"),
    [
        ("", "up 25 s −?", "−?: writes may be lost, and how many nobody has measured"),
        (", lag: 30s", "up 25 s −30 s", "−: so much of the last writes may be lost."),
        (", lag: 0s", "−", "9 single losses hurt nobody: up, no data lost, away for 25 s"),
    ],
)
def test_writes_that_are_lost_are_said(lag: str, cell: str, legend: str, tmp_path: Path) -> None:
    file = tmp_path / "estate.yaml"
    file.write_text(STANDBY.replace("LAG", lag))
    printed = run(str(file)).stdout
    assert (cell in printed) == (lag != ", lag: 0s")
    assert legend in printed
    assert ("lag-unknown" in printed) == (lag == "")
    explained = run(str(file), "--lose", "a").stdout
    assert ("goes on without anybody doing anything, but writes may be lost." in explained) == (lag != ", lag: 0s")


def test_a_product_that_a_loss_does_not_touch_is_left_out() -> None:
    answer = json.loads(run(LITTORAL, "--json").stdout)
    products = {tuple(one["domains"]): one["products"] for one in answer["losses"]}
    assert list(products["maps",]) == ["shop-presence"]
    assert products["ams-vault",] == {}
    for loss in answer["losses"]:
        assert all(one["because"] for one in loss["products"].values())


def test_many_products_do_not_make_the_answer_long(tmp_path: Path) -> None:
    """A chain of services that one site takes: reasons are capped, though each service is a reason for the next."""
    lines = [
        "sites: {a: {}, b: {}}",
        "servers:",
        *(f"  s-{n}: {{site: {'ab'[n % 2]}}}" for n in range(60)),
        "services:",
    ]
    for n in range(60):
        lines.append(f"  t-{n}: {{kind: generic, on: [s-{n}], needs: [{f't-{n - 1}' if n else ''}]}}")
    file = tmp_path / "estate.yaml"
    file.write_text("\n".join(lines))
    without = json.loads(run(str(file), "--json").stdout)["losses"][0]["products"]
    assert max(len(one["because"]) for one in without.values()) == 3
    file.write_text("\n".join([*lines, "products: {p: {needs: [t-59]}}"]))
    reasons = json.loads(run(str(file), "--json").stdout)["losses"][0]["products"]["p"]["because"]
    assert (len(reasons), reasons[-1]) == (13, "and more")


def test_the_lines_of_a_remedy_are_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    printed = run(BEFORE).stdout
    assert "…" not in "".join(line for line in printed.splitlines() if "|" in line)
    assert "lookout: {on: [sbg-edge, gra-edge, par-small], every: 1s, fall: 3, rise: 2, timeout: 800ms}" in printed
