"""Small disks: that they can be full, and leave nothing; the rows that need them with `make lab-test ALL=1`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from binome.estate import load
from binome.lab import disks
from binome.lab.clients import prepare_ledger
from binome.lab.disks import SIZES_MIB, Disk
from binome.lab.lab import Lab
from binome.lab.matrix import Trial, lab_for
from binome.lab.rows import ROWS, Row
from binome.lab.state import unmount_below
from tests.lab.conftest import LITTORAL

pytestmark = pytest.mark.lab
CHOSEN = [row for row in ROWS if row.disks and os.environ.get("BINOME_MATRIX") == "all"]


class Folders:
    """A lab that is claimed, as far as disks are concerned."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.estate = folder, load(LITTORAL.read_bytes())

    def root(self, server: str) -> Path:
        return self.folder / "servers" / server


@pytest.fixture
def claimed(tmp_path: Path) -> Iterator[Lab]:
    folder = tmp_path / "lab"
    folder.mkdir()
    yield cast(Lab, Folders(folder))
    unmount_below(folder)


def test_a_small_disk_can_be_full_while_others_are_not_and_goes_with_the_lab(claimed: Lab) -> None:
    some = disks.small(claimed, SIZES_MIB)
    assert {one.server for one in some if one.name == "database"} == {"gra-db", "sbg-db"}
    assert Disk("par-watch", "agreement") in some
    assert Disk("gra-edge", "binome") in some
    full, other = Disk("gra-db", "database"), Disk("gra-db", "agreement")
    disks.mount(claimed, {full, other, Disk("gra-db", "binome")})
    assert disks.fill(claimed, full) > (SIZES_MIB["database"] - 2) << 20
    with pytest.raises(OSError, match="No space left"):
        (disks.folder(claimed, full) / "more").write_bytes(bytes(8192))
    (disks.folder(claimed, other) / "more").write_bytes(bytes(8192))
    assert disks.fill(claimed, full) == 0, "there is nothing left to take"
    disks.free(claimed, full)
    (disks.folder(claimed, full) / "more").write_bytes(bytes(8192))
    unmount_below(claimed.folder)
    assert str(claimed.folder) not in Path("/proc/self/mounts").read_text()


@pytest.fixture(scope="module")
def small() -> Iterator[Lab]:
    with lab_for(LITTORAL.read_bytes(), CHOSEN[0]) as lab:
        prepare_ledger(lab)
        yield lab


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.name)
def test_row(small: Lab, row: Row) -> None:
    trial = Trial(small, row, print)
    trial.prepare()
    assert trial.run().amiss == []
