"""Lines that a finding proposes, applied as they stand: they mend it and bring no new illness."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from binome.analysis.edit import Remedy
from binome.analysis.findings import Finding, Severity, every_rule, judge
from binome.analysis.outcome import Platform
from binome.analysis.survey import survey
from binome.estate import load

TODAY = date(2026, 11, 1)
BEFORE = Path("examples/before-the-fire/estate.yaml").read_text()
LITTORAL = Path("examples/littoral/estate.yaml").read_text()


def judged(text: str) -> list[Finding]:
    return judge(survey(Platform(load(text.encode()))), TODAY)


def found(text: str, rule: str) -> Finding:
    return next(one for one in judged(text) if one.rule == rule)


def applied(text: str, remedy: Remedy) -> str:
    lines = text.splitlines()
    for change in sorted(remedy.changes, key=lambda one: -one.line):
        assert lines[change.line - 1] == change.now
        lines[change.line - 1 : change.line] = change.then
    return "\n".join(lines) + "\n"


def serious(findings: list[Finding]) -> set[tuple[str, str]]:
    counting = [one for one in findings if one.counts and one.found.severity >= Severity.WARNING]
    return {(one.rule, one.found.subject) for one in counting}


def bad(rule: str) -> str:
    page = Path(f"docs/rules/{rule}.md").read_text()
    return str(re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)[0])


PROMISES = ("survives-broken", "objective-unreachable")


def said(finding: Finding) -> tuple[str, str, str]:
    return finding.rule, finding.found.subject, finding.found.message


TEXTS = {"before-the-fire": BEFORE, "littoral": LITTORAL, **{rule.id: bad(rule.id) for rule in every_rule()}}


@pytest.mark.parametrize("name", TEXTS)
def test_proposed_lines_mend_their_finding_and_bring_no_other(name: str) -> None:
    text = TEXTS[name]
    before = judged(text)
    for finding in before:
        if finding.found.remedy.changes:
            after = judged(applied(text, finding.found.remedy))
            # A finding about a promise has many causes; its lines mend the first, and it then names the next.
            assert said(finding) not in {said(one) for one in after}
            if finding.rule not in PROMISES:
                assert (finding.rule, finding.found.subject) not in {(one.rule, one.found.subject) for one in after}
            assert serious(after) <= serious(before), finding.rule


def test_all_proposed_lines_of_the_example_in_printed_order_leave_no_error_that_has_lines() -> None:
    text = BEFORE
    for _ in range(30):
        finding = next((one for one in judged(text) if one.counts and one.found.remedy.changes), None)
        if finding is None:
            break
        text = applied(text, finding.found.remedy)
    else:
        pytest.fail("the remedies go round in a circle")
    assert not [one for one in judged(text) if one.rule in ("agreement-in-one-domain", "pair-in-one-domain")]


def test_the_lines_of_one_answer_do_not_contradict_each_other() -> None:
    changes = {change.line: change for one in judged(BEFORE) for change in one.found.remedy.changes}
    after = judged(applied(BEFORE, Remedy("", tuple(changes.values()))))
    left = [one.rule for one in after if one.counts and one.found.severity is Severity.ERROR]
    assert set(left) == {"paging-depends-on-platform", "survives-broken"}
    assert not [one.rule for one in after if one.counts and one.found.remedy.changes]


HOUSES = "sites: {a: {}, a2: {}, b: {}, c: {}}\ndomains: {house: {kind: building}}\n"
SERVERS = "servers: {x: {site: a, in: house}, y: {site: a2, in: house}, z: {site: b}, v: {site: c}}\n"


def test_a_spare_that_becomes_a_member_is_a_spare_no_longer() -> None:
    text = HOUSES + SERVERS + "services: {web: {kind: http, on: [x, y], spares: [z, v]}}\n"
    remedy = found(text, "pair-in-one-domain").found.remedy
    assert remedy.changes[0].then == ("services: {web: {kind: http, on: [x, z], spares: [v]}}",)
    inlines = HOUSES + SERVERS + "services:\n  web:\n    kind: http\n    spares: [z, v]\n    on: [x, y]   # two\n"
    remedy = found(inlines, "pair-in-one-domain").found.remedy
    assert [change.then for change in remedy.changes] == [("    spares: [v]",), ("    on: [x, z]   # two",)]
    written = "services:\n  web:\n    kind: http\n    on: [x, y]\n    spares:\n      - z\n      - v\n"
    assert found(HOUSES + SERVERS + written, "pair-in-one-domain").found.remedy.changes == ()


@pytest.mark.parametrize(
    "duty",
    [
        "vaults: {copies: {kind: directory, on: z, path: /srv}}\n",
        "lookout: {on: [z]}\n",
        "data: {rows: {in: web, backup: [daily]}}\n"
        "vaults: {copies: {kind: directory, on: v, path: /srv}}\n"
        "backups: {daily: {of: [rows], method: dump, every: 1d, to: [copies], proof: {every: 1d, on: z}}}\n",
    ],
)
def test_a_server_with_a_duty_of_its_own_is_not_proposed(duty: str) -> None:
    servers = SERVERS if "on: v" in duty else SERVERS.replace(", v: {site: c}", "")
    services = "services: {web: {kind: generic, on: [x, y]}, one: {kind: generic, on: [x]}}\n"
    every = judged(HOUSES + servers + services + duty)
    assert {one.rule for one in every} >= {"pair-in-one-domain", "no-partner"}
    assert not [one for one in every if one.found.path[0] == "services" and one.found.remedy.changes]


def test_a_member_is_not_moved_to_where_its_copies_are() -> None:
    servers = "servers: {x: {site: a, in: house}, y: {site: a2, in: house}, z: {site: b}, v: {site: b}}\n"
    text = HOUSES + servers + "services: {web: {kind: generic, on: [x, y]}}\ndata: {rows: {in: web, backup: [daily]}}\n"
    text += "vaults: {copies: {kind: directory, on: v, path: /srv}}\n"
    text += "backups: {daily: {of: [rows], method: dump, every: 1d, to: [copies], proof: {every: 1d, on: v}}}\n"
    assert found(text, "pair-in-one-domain").found.remedy.changes == ()


def test_a_member_is_not_moved_under_one_contract_nor_below_its_load() -> None:
    sites = "hosters: {h: {}, i: {}}\nsites: {a: {hoster: h}, a2: {hoster: i}, b: {hoster: h}}\n"
    servers = "servers: {x: {site: a, in: house}, y: {site: a2, in: house}, z: {site: b}}\n"
    text = sites + "domains: {house: {kind: building}}\n" + servers + "services: {web: {kind: http, on: [y, x]}}\n"
    assert "on: [y, z]" in str(found(text, "pair-in-one-domain").found.remedy)
    text = text.replace("b: {hoster: h}", "b: {}").replace("on: [y, x]", "on: [x, y]")
    assert "on: [x, z]" in str(found(text, "pair-in-one-domain").found.remedy)
    loaded = HOUSES + SERVERS.replace("}, v:", "}, w: {site: c, in: house}, v:")
    loaded += "services: {web: {kind: http, on: [x, y, w], load: 2, capacity: 1}}\n"
    assert found(loaded, "group-in-one-domain").found.remedy.changes == ()


def test_a_machine_is_not_moved_where_something_else_of_it_stands() -> None:
    text = "sites: {dc: {}}\ndomains: {h1: {kind: hypervisor}, h2: {kind: hypervisor}}\n"
    text += "servers: {p: {in: [h1]}, q: {in: [h1]}, r: {in: [h2]}}\n"
    text += "services: {web: {kind: generic, on: [p, q]}, queue: {kind: generic, on: [q, r]}}\n"
    assert found(text, "pair-in-one-domain").found.remedy.changes == ()
    free = text.replace(", queue: {kind: generic, on: [q, r]}", ", queue: {kind: generic, on: [p, r]}")
    assert "in: [h2]" in str(found(free, "pair-in-one-domain").found.remedy)


def test_no_provider_is_invented() -> None:
    text = 'links:\n  sms: {kind: sms, providers: {alpha: {url: "https://a.example"}}}\n'
    assert found(text, "single-provider").found.remedy.changes == ()


@pytest.mark.parametrize(
    ("on", "blamed"),
    [
        ("[x, x2, x3, y, z]", ""),  # three servers of one site are one site of three
        ("[x, y, z, z2, z3]", "region r"),  # two of three sites, though two of five servers
        ("[x, z, w]", ""),
        ("[x, y]", "from a and b only"),
    ],
)
def test_lookouts_are_counted_by_site(on: str, blamed: str) -> None:
    text = "sites: {a: {region: r}, b: {region: r}, c: {}, d: {}}\n"
    text += "servers: {x: {site: a}, x2: {site: a}, x3: {site: a}, y: {site: b}, z: {site: c}, z2: {site: c}, "
    text += f"z3: {{site: c}}, w: {{site: d}}}}\nlookout: {{on: {on}}}\n"
    if on.startswith("[x, x2"):
        text = text.replace("b: {region: r}", "b: {}")
    every = [one for one in judged(text) if one.rule == "too-few-lookout-sites"]
    assert [blamed in one.found.message for one in every] == ([True] if blamed else [])
    for one in every:
        assert str(one.found.remedy).endswith("lookout: {on: [x, z, w]}")


def test_lookouts_in_fewer_than_three_places_are_not_proposed() -> None:
    text = "sites: {a: {region: r}, b: {region: r}, c: {}}\nservers: {x: {site: a}, y: {site: b}, z: {site: c}}\n"
    remedy = found(text + "lookout: {on: [x, y, z]}\n", "too-few-lookout-sites").found.remedy
    assert (remedy.changes, remedy.words[:22]) == ((), "Look from three sites,")


@pytest.mark.parametrize(
    ("on", "then"),
    [("[p, p2, q, q2]", "[p, q, r]"), ("[p, p2, q, r]", "[p, q, r]"), ("[p, p2, p3, q, r, s]", "[p, p2, q, r, s]")],
)
def test_an_agreement_of_an_even_number_loses_a_member(on: str, then: str) -> None:
    text = "sites: {a: {}, b: {}, c: {}, d: {}}\nservers: {p: {site: a}, p2: {site: a}, p3: {site: a}, q: {site: b}, "
    text += "q2: {site: b}, "
    text += f"r: {{site: c}}, s: {{site: d}}}}\nservices: {{agreed: {{kind: etcd, on: {on}}}}}\n"
    every = [one for one in judged(text) if one.rule == "agreement-in-one-domain"]
    assert "A majority stands" not in every[0].found.message
    assert "An even number gains nothing" in every[0].found.remedy.words
    assert str(every[0].found.remedy).endswith(f"on: {then}}}}}")


def test_a_key_that_shares_no_more_than_a_region_is_a_warning() -> None:
    text = "sites: {a: {region: r}, b: {region: r}}\nservers: {x: {site: a}, y: {site: b}}\n"
    text += 'vaults: {copies: {kind: restic, on: x, path: /srv, key: "env:KEY", key_on: [x, y]}}\n'
    assert found(text, "key-beside-copy").found.severity is Severity.WARNING
    assert found(text.replace("[x, y]", "[x]"), "key-beside-copy").found.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("kind", "rule"), [("hypervisor", ""), ("carrier", ""), ("building", "Strasbourg"), ("site", "Strasbourg")]
)
def test_a_precedent_is_of_the_kind_of_place(kind: str, rule: str) -> None:
    text = f"sites: {{a: {{}}, a2: {{}}}}\ndomains: {{d: {{kind: {'rack' if kind == 'site' else kind}}}}}\n"
    text += "servers: {x: {site: a, in: [d]}, y: {site: a2, in: [d]}}\n"
    if kind == "site":
        text = text.replace("a2}", "a}").replace("site: a2, in: [d]", "site: a").replace("site: a, in: [d]", "site: a")
    text += "services: {web: {kind: http, on: [x, y]}}\n"
    message = found(text, "pair-in-one-domain").found.message
    assert ("Strasbourg" in message) == bool(rule)


def rules_of(text: str) -> set[str]:
    return {one.rule for one in judged(text)}


def test_an_agreement_that_shares_a_region_alone_is_a_warning() -> None:
    text = "sites: {a: {region: r}, b: {region: r}, c: {}}\nservers: {x: {site: a}, y: {site: b}, z: {site: c}}\n"
    text += "services: {agreed: {kind: etcd, on: [x, y, z]}}\n"
    finding = found(text, "agreement-in-one-domain")
    assert finding.found.severity is Severity.WARNING
    assert found(text.replace("site: b", "site: a"), "agreement-in-one-domain").found.severity is Severity.ERROR


def test_several_providers_in_one_place_are_one() -> None:
    text = "domains: {lines: {kind: carrier}, other: {kind: carrier}}\nlinks: {sms: {kind: sms, providers: {"
    text += "alpha: {host: a.example, in: [lines]}, beta: {host: b.example, in: [lines]}}}}\n"
    finding = found(text, "single-provider")
    assert "All 2 providers stand in carrier lines" in finding.found.message
    assert finding.found.explains == ("lines",)
    assert "single-provider" not in rules_of(text.replace("b.example, in: [lines]", "b.example, in: [other]"))


def test_a_proof_on_a_member_is_none() -> None:
    text = bad("backup-unproven").replace("to: [away]}", "to: [away], proof: {every: 1d, on: gra-db}}")
    assert "It is proven on gra-db" in found(text, "backup-unproven").found.message
    assert "backup-unproven" not in rules_of(text.replace("on: gra-db}}", "on: par-1}}"))


PAGING = "sites: {a: {}}\nservers: {x: {site: a, address: 10.0.0.1}}\nnames: {}\n"


@pytest.mark.parametrize(
    ("sender", "said"),
    [
        ("{kind: smtp, host: 10.0.0.1}", "a server of the platform"),
        ('{kind: webhook, url: "http://10.0.0.1:8080/page"}', "a server of the platform"),
        ('{kind: webhook, url: "https://SMS.Alpha.example/page"}', "the provider of sms"),
        ('{kind: webhook, url: "https://sms.other.example/page"}', ""),
    ],
)
def test_how_a_sender_hangs_on_the_platform(sender: str, said: str) -> None:
    text = (
        PAGING
        + 'links: {sms: {kind: sms, providers: {one: {url: "https://sms.alpha.Example"}, two: {host: b.example}}}}\n'
    )
    text += f"people: {{senders: {{way: {sender}}}, routes: [{{via: way}}]}}\n"
    every = [one.found.message for one in judged(text) if one.rule == "paging-depends-on-platform"]
    assert [said in one for one in every] == ([True] if said else [])


def test_people_whom_no_page_reaches() -> None:
    text = "people:\n  contacts: {ops: {email: ops@a.example}}\n"
    assert "Nobody is ever paged" in found(text, "paging-depends-on-platform").found.message
    text += "  senders: {mail: {kind: smtp, host: mx.a.example}}\n"
    assert "No route says" in found(text, "paging-depends-on-platform").found.message
    assert "paging-depends-on-platform" not in rules_of(f"{text}  routes: [{{via: mail}}]\n")


def test_an_account_alone_asks_for_no_spare() -> None:
    text = "sites: {a: {}, b: {}, c: {}}\ndomains: {bill: {kind: account}}\nservers: {x: {site: a, in: [bill]}, "
    text += "y: {site: b}, z: {site: c, in: [bill]}}\nservices: {web: {kind: http, on: [x, y], spares: [z]}}\n"
    assert "no-spare" not in rules_of(text)
