"""Frames that are lost: which ones, as a program that the kernel runs on each frame that a server sends.

Every server's frames enter the fabric by a port of their own. A filter at that port sees who sent a frame by where it
hangs, and for whom it is by the address of its destination, the last two bytes of which are the number of that server
(network.py). So one program a port says what is lost on the way to each other server:

    load the number of the destination
    for each rule:    is it this one? ► draw a number ► drop it where the number is below the share
    let it pass

It is written in the kernel's classic filter language, which needs no compiler. What is dropped is dropped in silence,
and in one direction only: a link that fails both ways has two rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from binome.lab.shell import run

_LOAD_WORD = 0x20
_RANDOM = 0xFFFFF038  # the place at which a load draws a number of 32 bits
_NUMBER = 2  # the last four bytes of the destination's address: two of them are zero
_EQUAL, _AT_LEAST, _RETURN = 0x15, 0x35, 0x06
_DROP, _PASS = 2, 0xFFFFFFFF


class Loss(NamedTuple):
    """Of what `source` sends to `target`, both names of servers, `percent` of all frames are lost."""

    source: str
    target: str
    percent: float = 100


class Port(NamedTuple):
    """Where a server hangs at the fabric: its interface there, and its number."""

    interface: str
    number: int


def both_ways(some: Iterable[str], others: Iterable[str], percent: float = 100) -> list[Loss]:
    """Loss between each of some servers and each of the others, in both directions."""
    pairs = [(one, other) for one in some for other in others]
    return [Loss(*pair, percent) for one, other in pairs for pair in ((one, other), (other, one))]


def program(losses: Sequence[tuple[int, float]]) -> str:
    """The program of a port that loses `percent` of what goes to each of these numbers, as `tc` reads it."""
    words = [(_LOAD_WORD, 0, 0, _NUMBER)]
    for number, percent in losses:
        if percent >= 100:
            words += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DROP)]
        else:
            share = min(round(percent / 100 * 2**32), 2**32 - 1)
            words += [
                (_EQUAL, 0, 4, number),
                (_LOAD_WORD, 0, 0, _RANDOM),
                (_AT_LEAST, 1, 0, share),
                (_RETURN, 0, 0, _DROP),
                (_LOAD_WORD, 0, 0, _NUMBER),
            ]
    words.append((_RETURN, 0, 0, _PASS))
    return ",".join([str(len(words)), *(" ".join(str(one) for one in word) for word in words)])


def lose(fabric: str, ports: Mapping[str, Port], losses: Sequence[Loss]) -> None:
    """Makes these losses the only ones in the fabric. Raises LabError where the kernel or `tc` cannot."""
    lines = []
    for server, port in ports.items():
        here = [(ports[loss.target].number, loss.percent) for loss in losses if loss.source == server]
        if here:
            lines += [
                f"qdisc replace dev {port.interface} clsact",
                f"filter replace dev {port.interface} ingress pref 1 handle 1 bpf da bytecode '{program(here)}'",
            ]
        elif _is_filtered(fabric, port.interface):
            lines.append(f"qdisc del dev {port.interface} clsact")
    if lines:
        run("tc", "-n", fabric, "-batch", "-", text="\n".join(lines) + "\n")


def _is_filtered(fabric: str, interface: str) -> bool:
    return "clsact" in run("tc", "-n", fabric, "qdisc", "show", "dev", interface)
