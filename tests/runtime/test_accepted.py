"""What a server has accepted, over several files and where one cannot be read."""

from __future__ import annotations

from pathlib import Path

from binome.runtime.accepted import AcceptedFile, newest_generation


def test_the_newest_of_several_files_counts_and_what_cannot_be_read_does_not(tmp_path: Path) -> None:
    files = (tmp_path / "accepted", tmp_path / "agent" / "accepted")
    assert newest_generation(files) == 0
    AcceptedFile(files[1]).admit_word(7)
    assert newest_generation(files) == 7
    files[0].write_text("torn")
    assert newest_generation(files) == 7
    AcceptedFile(tmp_path / "third").admit_word(9)
    assert newest_generation((*files, tmp_path / "third")) == 9
