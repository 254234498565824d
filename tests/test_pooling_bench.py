"""The benchmark on minutes of a new session: what the model of the other sessions may have heard; on made-up sheets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bench import emguka, pooling

COLUMNS = ["subject", "recording", "session", "eeg", "eeg_rate_hz", "audio", "audio_rate_hz", "events"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten sentences, said in each of three sessions."""
    lines = [COLUMNS]
    for i in range(30):
        np.save(tmp_path / f"u{i}_emg.npy", np.zeros((1800, 6), np.int16))
        np.save(tmp_path / f"u{i}_audio.npy", np.zeros(48000, np.int16))
        words = "".join(f"{0.1 * k}\t0.1\t{word}\n" for k, word in reversed(list(enumerate(["sentence", f"{i % 10}"]))))
        (tmp_path / f"u{i}_events.tsv").write_text(f"onset\tduration\ttrial_type\n{words}")
        session = ("101", "001", "003")[i // 10]
        lines.append(["s2", f"u{i}", session, f"u{i}_emg.npy", "600", f"u{i}_audio.npy", "16000", f"u{i}_events.tsv"])
    (tmp_path / "recordings.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))
    return tmp_path


def test_the_model_of_the_others_has_heard_no_tested_sentence(data: Path) -> None:
    cells = emguka.sheet_of(emguka.Row("s2", "101", minutes=pooling.ALL), [data])
    tested = {pooling.sentence(c) for c in cells if c["session"] == "test"}
    others = pooling.sheet_of_others("101", cells, [data])
    assert len(tested) == 2
    assert all(sentence.startswith("sentence ") for sentence in tested), "words in the order of their onsets"
    assert {c["session"] for c in others} == {"001", "003"}
    assert len(others) == 16
    assert not tested & {pooling.sentence(c) for c in others}


def test_every_row_has_a_session_and_others() -> None:
    assert all(
        session in pooling.OTHERS and session not in pooling.OTHERS[session] for session, _ in pooling.ROWS.values()
    )
    assert {"2-101 1 min", "2-101 8 min", "2-1 all", "2-3 all"} <= set(pooling.ROWS)
