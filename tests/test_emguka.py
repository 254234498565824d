"""The benchmark on real sessions: parts of the curve, a table for whatever is done, and its page; on made-up arrays."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ROOT
from pipeline.raw.sheet import read_sheet

SPEC: Any = importlib.util.spec_from_file_location("emguka", ROOT / "bench/emguka.py")
emguka = sys.modules["emguka"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(emguka)

COLUMNS = ["subject", "recording", "session", "eeg", "eeg_rate_hz", "audio", "audio_rate_hz", "events"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty utterances of 3 s of one session, and one of another."""
    lines = [COLUMNS]
    for i in range(41):
        np.save(tmp_path / f"u{i}_emg.npy", np.zeros((1800, 6), np.int16))
        np.save(tmp_path / f"u{i}_audio.npy", np.zeros(48000, np.int16))
        (tmp_path / f"u{i}_events.tsv").write_text("onset\tduration\tlabel\n0.1\t0.2\tone\n")
        session = "101" if i < 40 else "001"
        lines.append(["s2", f"u{i}", session, f"u{i}_emg.npy", "600", f"u{i}_audio.npy", "16000", f"u{i}_events.tsv"])
    (tmp_path / "recordings.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    return tmp_path


def test_a_session_is_taken_from_whichever_folder_has_it(data: Path) -> None:
    cells = emguka.sheet_of(emguka.ROWS["2-1"], [data])
    assert [c["recording"] for c in cells] == ["u40"]
    assert cells[0]["modality"] == "emg"
    assert Path(cells[0]["eeg"]).is_absolute()
    assert emguka.sheet_of(emguka.ROWS["4-1"], [data]) == []


def test_the_curve_tests_the_same_utterances_after_more_and_more_training(data: Path, tmp_path: Path) -> None:
    found = {}
    for minutes in (0.5, 1.0):
        cells = emguka.sheet_of(emguka.Row("s2", "101", minutes=minutes), [data])
        parts = {s: [c["recording"] for c in cells if c["session"] == s] for s in ("test", "validation", "train")}
        assert list(dict.fromkeys(c["session"] for c in cells)) == list(parts)
        assert len(parts["test"]) == 8
        assert len(parts["validation"] + parts["train"]) * 3 == 60 * minutes
        assert not set(parts["test"]) & set(parts["validation"] + parts["train"])
        found[minutes] = parts
    assert found[0.5]["test"] == found[1.0]["test"]
    sheet = tmp_path / "own.tsv"
    sheet.write_text("\n".join("\t".join(line) for line in [list(cells[0]), *(list(c.values()) for c in cells)]) + "\n")
    assert len(read_sheet(sheet)) == len(cells)


def test_the_table_says_what_the_check_suspects_or_sees() -> None:
    def session(result: str, level: float | None, **suspects: float) -> dict[str, object]:
        return {"result": result, "detectable_db": level, "suspect_channels": suspects}

    clean = session("no evidence", -28.0)
    assert emguka._leak([clean, session("no evidence", -12.0)]) == "no evidence (-12 dB)"
    assert emguka._leak([session("suspect", -28.0, ch002=0.0029)]) == "suspect (ch002, P 0.003)"
    assert emguka._leak([clean, session("not testable", None)]) == "no evidence, not testable (no level)"
    assert emguka._leak([clean, session("no evidence", None)]) == "no evidence (no level)", "not that of the others"


def test_the_page_has_a_line_for_every_row_that_was_run_and_the_command_of_the_others() -> None:
    _, _, rest = emguka.PAGE.read_text(encoding="utf-8").partition(emguka.START)
    measured, _, text = rest.partition(emguka.STOP)
    assert "not run" not in measured
    found = [line.split("|")[1].strip() for line in measured.strip().splitlines()[2:]]
    assert found == [name for name in emguka.ROWS if f'`python bench/emguka.py --rows "{name}"`' not in text]
