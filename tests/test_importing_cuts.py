"""One long recording cut into the trials of a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from imports import imported, load
from pipeline.cli import main
from pipeline.raw.bids import read_annotations, read_events
from pipeline.raw.sheet import RecordingRow

RNG = np.random.default_rng(5)
HZ, SOUND_HZ, SECONDS = 500, 8000, 30
LENGTHS_S = (2.0, 1.5, 3.0)
ONSETS_S = (0.4, 4.0, 6.0)
OPTIONS: dict[str, Any] = {"eeg_rate": str(HZ), "sound_rate": str(SOUND_HZ), "units": "uV", "modality": "ieeg"}


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A long neural recording, three stimuli, and a table that says when each was played."""
    folder = tmp_path / "lab"
    (folder / "sounds").mkdir(parents=True)
    np.save(folder / "p01_eeg.npy", RNG.normal(0, 50, (SECONDS * HZ, 4)).astype(np.float32))
    lines = ["onset\tstim_file\ttext\tlabel"]
    for i, (onset_s, length_s) in enumerate(zip(ONSETS_S, LENGTHS_S, strict=True)):
        sound = RNG.integers(-3000, 3000, round(length_s * SOUND_HZ)).astype(np.int16)
        soundfile.write(folder / f"sounds/s{i}.wav", sound, SOUND_HZ)
        lines.append(f"{onset_s}\tsounds/s{i}.wav\tsentence {i}\tword{i}")
    lines[1], lines[3] = lines[3], lines[1]  # rows may stand in any order
    (folder / "trials.tsv").write_text("\n".join(lines) + "\n")
    (folder / "p01_annotations.tsv").write_text("onset\tduration\tdescription\n4.5\t0.25\tBAD_spike\n20\t1\tBAD_off\n")
    return folder


def cut(lab: Path, out: Path, **options: Any) -> list[RecordingRow]:
    return imported(lab / "p01_eeg.npy", out, **OPTIONS | {"cut": lab / "trials.tsv"} | options)


def test_each_row_is_a_trial_with_its_stimulus(lab: Path, tmp_path: Path) -> None:
    rows = cut(lab, tmp_path / "raw")
    whole = np.load(lab / "p01_eeg.npy")
    assert [(r.recording, r.session, r.text) for r in rows] == [
        (f"p01_{i + 1:03d}", "p01", f"sentence {i}") for i in range(3)
    ]
    # 0.5 s around each sound, at most half of the 0.5 s between the second and the third.
    assert [r.start_s for r in rows] == [0.0, 3.5, 5.75]
    for i, row in enumerate(rows):
        assert row.start_s is not None
        neural, first = load(row, "eeg"), round(row.start_s * HZ)
        np.testing.assert_array_equal(neural, whole[first : first + len(neural)])
        np.testing.assert_array_equal(load(row, "audio"), soundfile.read(lab / f"sounds/s{i}.wav", dtype="int16")[0])
        assert row.start_s + row.audio_offset_s == pytest.approx(ONSETS_S[i], abs=1e-9)
        assert row.audio_offset_from == "declared"
        events = read_events(row.path("events"))  # type: ignore[arg-type]
        assert (events.onset_s, events.duration_s, events.label) == ((0.0,), (LENGTHS_S[i],), (f"word{i}",))
    assert len(load(rows[2], "eeg")) == round((9.0 + 0.5 - 5.75) * HZ)
    assert rows[0].path("annotations") is None
    spoilt = read_annotations(rows[1].path("annotations"))  # type: ignore[arg-type]
    assert spoilt.onset_s == pytest.approx([4.5 - 3.5])


def test_sound_and_events_of_the_recording_are_cut_with_it(lab: Path, tmp_path: Path) -> None:
    sound = RNG.integers(-3000, 3000, 20 * SOUND_HZ).astype(np.int16)
    soundfile.write(lab / "whole.wav", sound, SOUND_HZ)
    (lab / "p01_events.tsv").write_text("onset\tduration\tlabel\n1.25\t0.5\tja\n6.5\t0.5\tnee\n")
    (lab / "trials.tsv").write_text("onset\tduration\n3\t2\n8\t2.5\n")
    rows = cut(lab, tmp_path / "raw", sound_file=lab / "whole.wav", offset_s=2.0, events_clock="audio")
    assert [len(load(r, "audio")) for r in rows] == [2 * SOUND_HZ, round(2.5 * SOUND_HZ)]
    np.testing.assert_array_equal(load(rows[1], "audio"), sound[6 * SOUND_HZ : round(8.5 * SOUND_HZ)])
    assert [(r.start_s, r.audio_offset_s) for r in rows] == [(2.5, 0.5), (7.5, 0.5)]
    found = [read_events(r.path("events")) for r in rows]  # type: ignore[arg-type]
    assert [(e.onset_s, e.label) for e in found] == [((0.25,), ("ja",)), ((0.5,), ("nee",))]


def overlapping(lab: Path) -> None:
    (lab / "trials.tsv").write_text("onset\tduration\n3\t2\n4.5\t2\n")


def outside(lab: Path) -> None:
    (lab / "trials.tsv").write_text("onset\tduration\n29\t2\n")


def in_ms(lab: Path) -> None:
    (lab / "trials.tsv").write_text("onset\tduration\n3000\t2000\n")


def no_length(lab: Path) -> None:
    (lab / "trials.tsv").write_text("onset\n3\n")


def no_onset(lab: Path) -> None:
    (lab / "trials.tsv").write_text("start\tduration\n3\t2\n")


def no_number(lab: Path) -> None:
    (lab / "trials.tsv").write_text("onset\tduration\n3\t2\nnan\t2\n")


def no_such_sound(lab: Path) -> None:
    (lab / "sounds/s1.wav").unlink()


def sound_elsewhere(lab: Path) -> None:
    soundfile.write(lab.parent / "out.wav", np.zeros(800, np.int16), SOUND_HZ)
    (lab / "trials.tsv").write_text("onset\tstim_file\n3\t../out.wav\n")


def another_recording(lab: Path) -> None:
    (lab / "trials.tsv").write_text("onset\tduration\trecording\n3\t2\tp01\n8\t2\tp02\n")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (overlapping, "sound from 4.5 s, before the one before it ends at 5 s"),
        (outside, "row 1, onset]: got 29 to 31 s of a recording of 30 s"),
        (in_ms, "got 3000 to 5000 s of a recording of 30 s"),
        (no_length, "duration]: got no such column"),
        (no_onset, "onset]: got no such column"),
        (no_number, "row 2, onset]: got nan, expected a number [s]"),
        (no_such_sound, "got sounds/s1.wav, expected a sound file"),
        (sound_elsewhere, "got ../out.wav, expected a sound file"),
        (another_recording, "got no recording p02"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_table_ends_with_2_and_writes_nothing(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], None], message: str
) -> None:
    spoil(lab)
    command = ["import", str(lab / "p01_eeg.npy"), "--out", str(tmp_path / "raw"), "--cut", str(lab / "trials.tsv")]
    command += ["--eeg-rate", str(HZ), "--units", "uV", "--modality", "ieeg"]
    assert main(command) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "raw").exists()


def test_the_columns_recording_and_stimuli_of_several_recordings(lab: Path, tmp_path: Path) -> None:
    np.save(lab / "p02_eeg.npy", RNG.normal(0, 50, (SECONDS * HZ, 4)).astype(np.float32))
    text = (lab / "trials.tsv").read_text().splitlines()
    rows = [f"{text[0]}\trecording", *(f"{row}\t{name}" for row in text[1:] for name in ("p01", "p02"))]
    table = tmp_path / "trials.tsv"
    table.write_text("\n".join(rows))
    (tmp_path / "sounds").symlink_to(lab / "sounds")
    own = OPTIONS | {"cut": table, "neural": "*_eeg.npy", "sound": "none_*.wav"}
    found = imported(lab, tmp_path / "raw", **own)
    assert [(r.subject, r.session) for r in found] == [("p01", "p01")] * 3 + [("p02", "p02")] * 3
    assert [r.start_s for r in found] == [0.0, 3.5, 5.75] * 2
    np.testing.assert_array_equal(
        load(found[5], "eeg"), np.load(lab / "p02_eeg.npy")[round(5.75 * HZ) : round(9.5 * HZ)]
    )


def test_of_several_runs_of_a_session_trials_begin_where_the_runs_are_known_to(lab: Path, tmp_path: Path) -> None:
    for run in (1, 2):
        np.save(lab / f"p01_run{run}_eeg.npy", RNG.normal(0, 50, (SECONDS * HZ, 4)).astype(np.float32))
    (lab / "p01_eeg.npy").unlink()
    (lab / "p01_annotations.tsv").unlink()
    table = lab / "runs.tsv"
    table.write_text("onset\tstim_file\trecording\n3\tsounds/s0.wav\tp01_run1\n4\tsounds/s1.wav\tp01_run2\n")
    own = OPTIONS | {"cut": table, "neural": "*_eeg.npy", "sound": "none_*.wav", "session": "one"}
    found = imported(lab, tmp_path / "raw", **own)
    assert [(r.session, r.start_s) for r in found] == [("one", None)] * 2
    facts = lab / "facts.tsv"
    facts.write_text("recording\tstart_s\np01_run1\t0\np01_run2\t100\n")
    found = imported(lab, tmp_path / "raw2", **own, trials=facts)
    assert [r.start_s for r in found] == [2.5, 103.5]
