"""Made-up brains: none may claim more than it knows, and a link must be kept (a fast part of bench/referee.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench import made_up, referee, referee_raw

from pipeline.evaluation.levels import LEVELS

WRONG = ["voice", "loudness_clean", "speaker", "speaker_column", "walk", "leak", "copies"]


@pytest.mark.parametrize("name", [*WRONG, "edges_folds", "fan_folds", "five_words_duration", "amplitude"])
def test_a_brain_claims_no_more_than_it_knows(name: str) -> None:
    found = referee.run(name, 0)
    assert not referee.is_wrong(referee.ALL[name], found["level"]), found


@pytest.mark.parametrize("name", ["snr_0.08", "identity", "true_clean", "true_words"])
def test_what_is_true_is_kept(name: str) -> None:
    found = referee.run(name, 0)
    assert found["level"] == "content", found


def test_leak_and_copies_are_caught_and_not_only_unlinked() -> None:
    """Without the check the leak is a link; only the copied trial is refused."""
    sound = made_up.spoken(0, "plain")
    raw, check = referee_raw.leaky(sound.wave, 0)
    assert check.result == "suspect"
    features = referee_raw.high_gamma(raw, len(sound.mel))
    fold = referee.fold_of("s00", 0, "plain", sound, features, 0, None)
    assert (
        referee.score([fold], referee.EVALUATE, referee.CHANCE, referee.RunContext({}))["claims"]["level"] != "no_link"
    )
    assert referee.run("copies", 0)["level"] == "refused"


def test_the_table_counts_wrong_and_kept() -> None:
    found = [
        {"row": "voice", "seed": k, "level": level} for k, level in enumerate(["timing", "loudness", None, "no_link"])
    ]
    found += [{"row": "snr_0.3", "seed": k, "level": level} for k, level in enumerate(["content", "beyond_loudness"])]
    found += [{"row": "copies", "seed": k, "level": level} for k, level in enumerate(["refused", "content"])]
    lines = referee.table(found).splitlines()
    assert lines[2].endswith("| 1 | 1 | 1 |  |  | 1 |  | 1 of 4 wrong |")
    assert lines[3].endswith("|  |  |  |  | 1 |  | 1 | 1 of 2 wrong |")
    assert lines[4].endswith("|  |  |  | 1 | 1 |  |  | 1 of 2 kept |")
    assert [referee.is_wrong(referee.ROWS["voice"], level) for level in LEVELS] == [False, False, True, True, True]


def test_a_run_resumes(tmp_path: Path) -> None:
    file = tmp_path / "found.jsonl"
    file.write_text(json.dumps({"row": "voice", "seed": 0, "level": "timing"}) + "\n")
    left = list(referee.missing(["voice", "edges"], 2, referee.kept(file), first=0))
    assert left == [("edges", 0), ("voice", 1), ("edges", 1)]
    nothing = [name for name, row in referee.ROWS.items() if row.text.startswith("nothing")]
    assert len(list(referee.missing(nothing, None, []))) == 200
    assert min(seed for _, seed in referee.missing(["voice"], None, [])) == 100, (
        "none of those that tests were chosen on"
    )
