"""`binome letter --send`: a real conversation with a mail server, after a person has seen the letter and said yes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from binome.cli.main import app
from tests.cli.mail_side import MailSide
from tests.cli.test_door_commands import Door, door
from tests.cli.test_letter import ONE

__all__ = ["door"]


def estate(folder: Path, port: int, more: str = "") -> Path:
    path = folder / "estate.yaml"
    path.write_text(
        "people:\n"
        "  contacts: {ann: {email: ann@example.org}, bob: {email: bob@example.org}, cyd: {sms: '+33600000003'}}\n"
        "  senders:\n"
        f"    mail: {{kind: smtp, host: 127.0.0.1, port: {port}, from: pages@example.org, tls: none{more}}}\n"
    )
    return path


def send(door: Door, file: Path, *arguments: str, says: str = "y\n", **values: Any) -> Result:
    door.answer = {"estate": "littoral", "incident": {**ONE, **values}}
    asked = ["letter", "14", *arguments, "--send", "--estate", str(file), "--socket", str(door.path)]
    return CliRunner().invoke(app, asked, input=says)


def test_it_is_shown_asked_about_and_delivered_to_each_address_by_itself(door: Door, tmp_path: Path) -> None:
    with MailSide() as side:
        result = send(door, estate(tmp_path, side.port), "--to", "staff")
    assert result.exit_code == 0, result.output
    shown, asked, sent = result.output.partition("Send this to ann@example.org, bob@example.org by mail? [y/N]: y\n")
    assert "Subject: Incident 14: Site strasbourg lost" in shown
    assert (bool(asked), sent) == (
        True,
        "ann@example.org: accepted (250 queued)\nbob@example.org: accepted (250 queued)\n",
    )
    assert [one for one in side.commands if one.startswith("RCPT")] == [
        "RCPT TO:<ann@example.org>",
        "RCPT TO:<bob@example.org>",
    ]
    first, second = side.mails
    assert (first["From"], first["To"], second["To"]) == ("pages@example.org", "ann@example.org", "bob@example.org")
    assert first["Subject"] == "Incident 14: Site strasbourg lost"
    assert first["Message-ID"] != second["Message-ID"]
    assert abs(parsedate_to_datetime(str(first["Date"])) - datetime.now(UTC)) < timedelta(minutes=5)
    assert "".join(first.get_content().split()) in "".join(shown.split()), "what is sent is what was shown"


@pytest.mark.parametrize("says", ["n\n", "\n", "", "perhaps\nn\n", "Yes please\nno\n"])
def test_without_a_yes_nobody_is_even_spoken_to(door: Door, tmp_path: Path, says: str) -> None:
    with MailSide() as side:
        result = send(door, estate(tmp_path, side.port), "--to", "staff", says=says)
    assert (side.connections, side.mails) == (0, [])
    assert "accepted" not in result.output
    assert result.exit_code in (0, 1), result.output


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"RCPT": b"550 5.1.1 no such user\r\n"}, "ann@example.org: refused (550 5.1.1 no such user)"),
        ({"RCPT": b"451 4.7.1 greylisted\r\n"}, "ann@example.org: later (451 4.7.1 greylisted)"),
        ({"MAIL": b""}, "ann@example.org: later ("),
        ({"end": b"garbage\r\n"}, "ann@example.org: unknown ("),
    ],
)
def test_what_was_not_accepted_is_said_and_ends_with_1(
    door: Door, tmp_path: Path, answers: dict[str, bytes], said: str
) -> None:
    with MailSide(answers) as side:
        result = send(door, estate(tmp_path, side.port), "--to", "customers", "--address", "ann@example.org")
    assert result.exit_code == 1
    assert said in result.output
    assert len(side.mails) == (1 if "end" in answers else 0)


def test_customers_are_named_by_a_person_never_taken_from_the_staff(door: Door, tmp_path: Path) -> None:
    with MailSide() as side:
        file = estate(tmp_path, side.port)
        assert send(door, file, "--to", "customers").exit_code == 2
        for address in ("nobody", "a@b\r\nRCPT TO:<all@example.org>", "@", "a b"):
            assert send(door, file, "--to", "customers", "--address", address).exit_code in (1, 2), address
        result = send(door, file, "--to", "customers", "--address", "all@customers.example")
    assert result.exit_code == 0, result.output
    assert [one for one in side.commands if one.startswith("RCPT")] == ["RCPT TO:<all@customers.example>"]


HOSTILE = "lost\r\nBcc: all@example.org\r\n\r\n.\r\nRCPT TO:<all@example.org>\u202e\x1b[2J"


def test_no_name_and_no_note_becomes_a_header_or_a_command(door: Door, tmp_path: Path) -> None:
    moment = {"at_ms": 1, "at": "00:47:12 CET", "kind": "done", "origin": "par", "said": HOSTILE}
    with MailSide() as side:
        result = send(
            door,
            estate(tmp_path, side.port),
            *("--to", "staff", "--address", "zoe@example.org"),
            headline=HOSTILE,
            sentence=HOSTILE,
            acknowledged_by=HOSTILE,
            moments=[moment],
        )
    assert result.exit_code == 0, result.output
    assert len(side.mails) == 3
    for mail in side.mails:
        assert mail["Bcc"] is None
        assert set(mail.keys()) <= {
            "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
            "Content-Transfer-Encoding",
        }  # fmt: skip
        assert str(mail["Subject"]).startswith("Incident 14: lost")
    assert sum(one.startswith("RCPT") for one in side.commands) == 3
    assert "\x1b" not in result.output and "\u202e" not in result.output


def test_where_no_sender_of_mail_works_it_is_said(door: Door, tmp_path: Path) -> None:
    result = send(door, estate(tmp_path, 25, ", user: littoral"), "--to", "staff")
    assert result.exit_code == 3
    assert "no sender of kind smtp works" in result.output
