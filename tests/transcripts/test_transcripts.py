"""Bad nights from the first missing answer to the last sentence, as a person would read them.

Each file scenes/NAME.txt is a script, a line of dashes, and the transcript of what then happened. After a wanted change
rewrite them and read the difference:

    pytest tests/transcripts --rewrite && git diff tests/transcripts/scenes
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcripts.stage import play

SCENES = sorted((Path(__file__).parent / "scenes").glob("*.txt"))
LINE = "----\n"


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_scene(scene: Path, rewrite: bool) -> None:
    script, _, expected = scene.read_text().partition(LINE)
    happened = play(script)
    if rewrite:
        scene.write_text(f"{script}{LINE}{happened}")
        return
    assert happened == expected
