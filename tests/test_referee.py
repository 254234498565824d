"""Made-up brains: none may claim more than it knows, and a link must be kept (a fast part of bench/referee.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench import referee

from pipeline.evaluation.levels import LEVELS


@pytest.mark.parametrize("name", ["voice", "loudness", "speaker", "walk"])
def test_a_brain_claims_no_more_than_it_knows(name: str) -> None:
    found = referee.run(name, 0)
    assert not referee.is_wrong(referee.ROWS[name], found["level"]), found


def test_a_link_is_kept() -> None:
    found = referee.run("snr_0.15", 0)
    assert found["level"] == "content", found


def test_the_table_counts_wrong_and_kept() -> None:
    found = [
        {"row": "voice", "seed": k, "level": level} for k, level in enumerate(["timing", "loudness", None, "no_link"])
    ]
    found += [{"row": "snr_0.3", "seed": k, "level": level} for k, level in enumerate(["content", "beyond_loudness"])]
    lines = referee.table(found).splitlines()
    assert lines[2].endswith("| 1 | 1 | 1 |  |  | 1 | 1 of 4 wrong |")
    assert lines[3].endswith("|  |  |  | 1 | 1 |  | 1 of 2 kept |")
    assert [referee.is_wrong(referee.ROWS["voice"], level) for level in LEVELS] == [False, False, True, True, True]


def test_a_run_resumes(tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    file.write_text(json.dumps({"row": "voice", "seed": 0, "level": "timing"}) + "\n")
    left = list(referee.missing(["voice", "edges"], 2, referee.kept(file)))
    assert left == [("edges", 0), ("voice", 1), ("edges", 1)]
