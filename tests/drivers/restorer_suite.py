"""What everything that restores is held to, whatever its method.

A method's own test says how a copy is made, how an engine is started on it, and how what was restored is changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from binome.ports_of_copies import Compared, Copied, Needs, Place, RestoreError, Restorer, Unrestored
from tests.drivers.copier_suite import silent


class RestorerSuite:
    """The suite; a class `TestX(RestorerSuite)` fills in what is of its method."""

    needs: Needs

    def make(self) -> Restorer:
        """What restores."""
        raise NotImplementedError

    def copied(self, into: Path) -> Copied:
        """Makes a copy in a folder that is not there yet, of something that is not empty."""
        raise NotImplementedError

    def place(self, folder: Path) -> AbstractContextManager[Place]:
        """An empty place, which may use a folder that is not there yet."""
        raise NotImplementedError

    def change(self, place: Place) -> None:
        """Changes what was restored, so that it is not what was saved."""
        raise NotImplementedError

    def broken(self) -> Mapping[str, Callable[[Path], None]]:
        """Ways to damage a copy, each of which `verify` or `restore` has to say."""
        raise NotImplementedError

    @contextmanager
    def started(self, place: Place) -> Iterator[Place]:
        """The place with an engine on it, for a method that needs one to compare."""
        yield place

    def compared(self, place: Place, copied: Copied) -> Compared:
        return asyncio.run(self.make().compare(place, copied.fingerprint, copied.versions, silent))

    def test_it_says_what_it_needs_and_how_much_there_is(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        amounts = self.make().amounts(copied.fingerprint)
        assert self.make().needs is self.needs
        assert amounts and all(count > 0 and name.isprintable() for name, count in amounts.items()), amounts

    def test_what_is_restored_is_what_was_saved_and_a_change_is_not(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        with self.place(tmp_path / "place") as empty:
            assert list(asyncio.run(self.make().verify(tmp_path / "copy", copied.fingerprint, empty))) == []
            restored = asyncio.run(self.make().restore(tmp_path / "copy", empty, silent))
            with self.started(restored) as place:
                found = self.compared(place, copied)
                assert found.differences == ()
                assert found.counts and all(isinstance(count, int) for count in found.counts.values())
                self.change(place)
                lines = self.compared(place, copied).differences
                assert lines and all(line.isprintable() for line in lines), lines

    def test_what_is_broken_is_said(self, tmp_path: Path) -> None:
        for name, damage in self.broken().items():
            copied = self.copied(tmp_path / name)
            damage(tmp_path / name)
            with self.place(tmp_path / f"{name}-place") as empty:
                lines = list(asyncio.run(self.make().verify(tmp_path / name, copied.fingerprint, empty)))
                if lines:
                    assert all(line.isprintable() for line in lines), lines
                    continue
                with pytest.raises(RestoreError) as refused:
                    asyncio.run(self.make().restore(tmp_path / name, empty, silent))
                assert refused.value.why is Unrestored.BROKEN, (name, refused.value)
                assert str(refused.value).isprintable()

    def test_what_is_there_already_is_not_written_over(self, tmp_path: Path) -> None:
        self.copied(tmp_path / "1")
        self.copied(tmp_path / "2")
        with self.place(tmp_path / "place") as empty:
            asyncio.run(self.make().restore(tmp_path / "1", empty, silent))
            with pytest.raises(RestoreError) as refused:
                asyncio.run(self.make().restore(tmp_path / "2", empty, silent))
            assert refused.value.why is Unrestored.OCCUPIED, refused.value
