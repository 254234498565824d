"""The sample sheet and the BIDS tables: a table of bad input, a table of valid oddities."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import InputError, Problem
from pipeline.raw.bids import (
    channel_differences,
    read_annotations,
    read_channels,
    read_electrodes,
    read_events,
    unmatched_names,
)
from pipeline.raw.sheet import COLUMNS, RecordingRow, read_sheet, rows_of

GOOD = {
    "subject": "sub01",
    "recording": "sub01_run01",
    "eeg": "raw/eeg1.npy",
    "eeg_rate_hz": "1024",
    "audio": "raw/sound1.wav",
    "audio_rate_hz": "48000",
}
OTHER = GOOD | {"recording": "sub01_run02", "eeg": "raw/eeg2.npy", "audio": "raw/sound2.wav"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("eeg1.npy", "eeg2.npy", "sound1.wav", "sound2.wav", "events.tsv"):
        (raw / name).write_text(name)
    return tmp_path


def sheet(folder: Path, *rows: dict[str, str], newline: str = "\n", encoding: str = "utf-8") -> Path:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, *([row.get(column, "n/a") for column in columns] for row in rows)]
    path = folder / "recordings.tsv"
    path.write_bytes("".join("\t".join(line) + newline for line in lines).encode(encoding))
    return path


def problems_of(action: Callable[[], object]) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        action()
    assert all(problem.got and problem.expected and problem.fix for problem in caught.value.problems)
    return caught.value.problems


# --- the sheet: bad cells -----------------------------------------------------------------------------

BAD_CELLS: list[tuple[dict[str, str], str, str, str]] = [
    # changes to a good row, field, part of what was got, part of the fix
    ({"eeg_rate_hz": "0"}, "eeg_rate_hz", "0", "unit"),
    ({"eeg_rate_hz": "-1024"}, "eeg_rate_hz", "-1024", "unit"),
    ({"eeg_rate_hz": "nan"}, "eeg_rate_hz", "nan", "plain number"),
    ({"eeg_rate_hz": "inf"}, "eeg_rate_hz", "inf", "plain number"),
    ({"eeg_rate_hz": "1e999"}, "eeg_rate_hz", "1e999", "plain number"),
    ({"eeg_rate_hz": "fast"}, "eeg_rate_hz", "fast", "plain number"),
    ({"eeg_rate_hz": "1024 Hz"}, "eeg_rate_hz", "1024 Hz", "no unit"),
    ({"eeg_rate_hz": "1024,5"}, "eeg_rate_hz", "1024,5", "1024.5"),
    ({"eeg_rate_hz": "1_024"}, "eeg_rate_hz", "1_024", "plain number"),
    ({"eeg_rate_hz": "0x400"}, "eeg_rate_hz", "0x400", "plain number"),
    ({"eeg_rate_hz": "١٠٢٤"}, "eeg_rate_hz", "١٠٢٤", "plain number"),
    ({"eeg_rate_hz": "0.0009765625"}, "eeg_rate_hz", "0.0009765625", "a period: write 1024"),
    ({"eeg_rate_hz": "n/a"}, "eeg_rate_hz", "nothing", "Fill"),
    ({"audio_rate_hz": "0.0000208333333"}, "audio_rate_hz", "0.0000208333333", "a period: write 48000"),
    ({"audio_rate_hz": "48"}, "audio_rate_hz", "48", "kHz: write 48000"),
    ({"audio_rate_hz": "44.1"}, "audio_rate_hz", "44.1", "kHz: write 44100"),
    ({"audio_rate_hz": "n/a"}, "audio_rate_hz", "nothing", "never guessed"),
    ({"audio_offset_s": "soon"}, "audio_offset_s", "soon", "plain number"),
    ({"audio_drift_ppm": "1e5"}, "audio_drift_ppm", "1e5", "unit"),
    ({"eeg_gain_uv": "0"}, "eeg_gain_uv", "0", "unit"),
    ({"eeg_gain_uv": "0.1", "eeg_units": "mV"}, "eeg_units", "mV beside", "one of the two"),
    ({"eeg_units": "volt"}, "eeg_units", "volt", "one of these"),
    ({"eeg_units": "UV"}, "eeg_units", "UV", "Did you mean uV?"),
    ({"eeg_layout": "channels_time"}, "eeg_layout", "channels_time", "Did you mean channel_time?"),
    ({"audio_modified": "pitch-shifted"}, "audio_modified", "pitch-shifted", "Did you mean pitch_shifted?"),
    ({"audio_modified": "no"}, "audio_modified", "no", ""),
    ({"audio_channel": "centre"}, "audio_channel", "centre", "voice"),
    ({"audio_channel": "-1"}, "audio_channel", "-1", "voice"),
    ({"simulated": "yes"}, "simulated", "yes", "one of these"),
    ({"subject": "n/a"}, "subject", "nothing", "Fill"),
    ({"subject": "../sub"}, "subject", "../sub", "Write sub."),
    ({"subject": "a/b"}, "subject", "a/b", "Write a_b."),
    ({"subject": "-rf"}, "subject", "-rf", "Write rf."),
    ({"subject": ".hidden"}, "subject", ".hidden", "Write hidden."),
    ({"subject": "a b"}, "subject", "a b", "Write a_b."),
    ({"subject": "a;b$(c)"}, "subject", "a;b$(c)", "Write a_b_c."),
    ({"subject": "Jürgen"}, "subject", "Jürgen", "Write J_rgen."),
    ({"subject": "{subject}"}, "subject", "{subject}", "Write subject."),
    ({"subject": "..."}, "subject", "...", "another id"),
    ({"recording": "a" * 81}, "recording", "a" * 81, "a" * 80),
    ({"recording": "a..b"}, "recording", "a..b", "Write a.b."),
    ({"session": "1/2"}, "session", "1/2", "Write 1_2."),
    ({"task": "read\x07"}, "task", "\\x07", "control"),
    ({"eeg": "n/a"}, "eeg", "nothing", "Fill"),
    ({"eeg": "raw/eeg_1.npy"}, "eeg", "eeg_1.npy, which is missing", "Did you mean eeg1.npy?"),
    ({"eeg": "row/eeg1.npy"}, "eeg", "eeg1.npy, which is missing", "no folder row"),
    ({"eeg": "raw"}, "eeg", "raw, a folder", "file itself"),
    ({"eeg": "raw/fifo.npy"}, "eeg", "fifo.npy, a FIFO", "file itself"),
    ({"eeg": "raw/" + "x" * 300}, "eeg", "File name too long", "Correct"),
    ({"eeg": "raw/sound1.wav"}, "audio", "the same file as eeg", "sound file"),
    ({"audio": "raw/sound.wav"}, "audio", "sound.wav, which is missing", "Did you mean sound"),
    ({"events": "raw/event.tsv"}, "events", "event.tsv, which is missing", "Did you mean events.tsv?"),
]


@pytest.mark.parametrize(("changes", "field", "got", "fix"), BAD_CELLS, ids=lambda value: str(value)[:40])
def test_bad_cell(changes: dict[str, str], field: str, got: str, fix: str, folder: Path) -> None:
    os.mkfifo(folder / "raw" / "fifo.npy")
    path = sheet(folder, OTHER, GOOD | changes)
    found = problems_of(lambda: read_sheet(path))
    (problem,) = [p for p in found if p.field == f"row 3, {field}"]
    assert problem.file == str(path)
    assert got in problem.got
    assert fix in problem.fix
    assert len(found) == 1


BAD_PAIRS: list[tuple[dict[str, str], dict[str, str], str, str, str]] = [
    # two rows, field in the second, part of what was got, part of the fix
    (GOOD, OTHER | {"recording": "sub01_run01"}, "recording", "also in row 2", "sub01_sub01_run01"),
    (GOOD, OTHER | {"recording": "SUB01_run01"}, "recording", "but sub01_run01 in row 2", "Rename"),
    (GOOD, OTHER | {"subject": "Sub01"}, "subject", "but sub01 in row 2", "Write sub01."),
    (GOOD, OTHER | {"eeg": "raw/eeg1.npy"}, "eeg", "the file of row 2 again", "right file"),
    (GOOD, OTHER | {"eeg": "./raw/../raw/eeg1.npy"}, "eeg", "the file of row 2 again", "right file"),
    (GOOD, OTHER | {"eeg": "link.npy"}, "eeg", "the file of row 2 again", "right file"),
    (GOOD, OTHER | {"audio": "hard.wav"}, "audio", "the file of row 2 again", "right file"),
]


@pytest.mark.parametrize(("first", "second", "field", "got", "fix"), BAD_PAIRS)
def test_rows_that_clash(
    first: dict[str, str], second: dict[str, str], field: str, got: str, fix: str, folder: Path
) -> None:
    (folder / "link.npy").symlink_to(folder / "raw" / "eeg1.npy")
    (folder / "hard.wav").hardlink_to(folder / "raw" / "sound1.wav")
    path = sheet(folder, first, second)
    (problem,) = problems_of(lambda: read_sheet(path))
    assert problem.field == f"row 3, {field}"
    assert got in problem.got
    assert fix in problem.fix


# --- the sheet: bad tables ---------------------------------------------------------------------------------

HEADER = "\t".join(GOOD)
LINE = "\t".join(GOOD.values())
BAD_TABLES: dict[str, tuple[bytes, str, str, str]] = {
    # content, field, part of what was got, part of the fix
    "empty": (b"", "", "an empty file", "again"),
    "blank lines": (b"\n \n", "", "no line", "one row per recording"),
    "header only": (HEADER.encode(), "", "no row", "one row per recording"),
    "commas": (HEADER.replace("\t", ",").encode() + b"\n1,2", "header", "commas", "tab-separated"),
    "semicolons": (HEADER.replace("\t", ";").encode() + b"\n1;2", "header", "semicolons", "tab-separated"),
    "spaces": (HEADER.replace("\t", "  ").encode() + b"\n1  2", "header", "spaces", "tab-separated"),
    "UTF-16": (f"{HEADER}\n{LINE}\n".encode("utf-16"), "encoding", "byte 0", "UTF-8"),
    "Latin-1": (f"{HEADER}\n{LINE}\nä".encode("latin-1"), "encoding", "not UTF-8", "UTF-8"),
    "an array": (b"\x93NUMPY\x01\x00v\x00{'descr': ", "encoding", "byte 0", "UTF-8"),
    "near column": (HEADER.replace("g_rate_hz", "g_rate").encode() + b"\n1", "eeg_rate_hz", "no such", "eeg_rate to"),
    "missing column": (b"subject\trecording\n1\t2", "eeg", "no such", "Add a column eeg"),
    "unknown column": (f"{HEADER}\taudio_ofset_s\n{LINE}\t1".encode(), "audio_ofset_s", "unknown", "audio_offset_s?"),
    "far column": (f"{HEADER}\tmood\n{LINE}\tgood".encode(), "mood", "unknown", "known are"),
    "nameless column": (f"{HEADER}\t\n{LINE}\t1".encode(), "header", "unknown", "known are"),
    "column twice": (f"{HEADER}\tsubject\n{LINE}\t1".encode(), "subject", "2 columns", "others"),
    "short row": (f"{HEADER}\n\n1\t2".encode(), "row 3", "2 cells", "n/a"),
    "long row": (f"{HEADER}\n{LINE}\tx".encode(), "row 2", "7 cells", "n/a"),
    "NUL": (f"{HEADER}\n{LINE}\0".encode(), "row 2, audio_rate_hz", "\\x00", "control"),
    "terminal escape": (f"{HEADER}\n\x1b[31m{LINE}".encode(), "row 2, subject", "\\x1b", "control"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_table(name: str, tmp_path: Path) -> None:
    content, field, got, fix = BAD_TABLES[name]
    path = tmp_path / "recordings.tsv"
    path.write_bytes(content)
    found = {problem.field: problem for problem in problems_of(lambda: read_sheet(path))}
    assert got in found[field].got
    assert fix in found[field].fix
    assert str(found[field]).isprintable()


@pytest.mark.parametrize(("name", "got"), [("gone.tsv", "missing"), ("folder", "a folder"), ("fifo", "a FIFO")])
def test_sheet_that_is_no_file(name: str, got: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (problem,) = problems_of(lambda: read_sheet(tmp_path / name))
    assert got in problem.got


def test_all_problems_of_a_sheet_at_once(folder: Path) -> None:
    bad = GOOD | {"subject": "a/b", "eeg_rate_hz": "x", "audio_offset_s": "y"}
    found = problems_of(lambda: read_sheet(sheet(folder, bad, OTHER | {"recording": GOOD["recording"]})))
    assert {problem.field for problem in found} == {
        "row 2, subject", "row 2, eeg_rate_hz", "row 2, audio_offset_s", "row 3, recording"
    }  # fmt: skip


def test_all_missing_files_at_once(folder: Path) -> None:
    found = problems_of(lambda: read_sheet(sheet(folder, GOOD | {"eeg": "a", "audio": "b"}, OTHER | {"eeg": "c"})))
    assert [problem.field for problem in found] == ["row 2, eeg", "row 2, audio", "row 3, eeg"]


# --- the sheet: valid oddities ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        {"newline": "\r\n"},
        {"newline": "\r"},
        {"encoding": "utf-8-sig"},
        {"newline": "\n\n"},
    ],
)
def test_forms_of_text(form: dict[str, str], folder: Path) -> None:
    rows = read_sheet(sheet(folder, GOOD, OTHER, **form))
    assert [row.recording for row in rows] == ["sub01_run01", "sub01_run02"]


def test_columns_in_any_order_and_cells_with_blanks(folder: Path) -> None:
    turned = {column: f" {GOOD[column]} " for column in reversed(GOOD)}
    (row,) = read_sheet(sheet(folder, turned))
    assert row == RecordingRow("sub01", "sub01_run01", "raw/eeg1.npy", 1024.0, "raw/sound1.wav", 48000.0, folder=folder)


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("eeg_rate_hz", "1.024e3", 1024.0),
        ("eeg_rate_hz", "+999.99", 999.99),
        ("eeg_rate_hz", "8", 8.0),
        ("audio_offset_s", "-0.25", -0.25),
        ("audio_drift_ppm", "12.5", 12.5),
        ("eeg_units", "µV", "uV"),
        ("eeg_units", "μV", "uV"),
        ("eeg_units", "a.u.", "a.u."),
        ("audio_channel", "1", "1"),
        ("audio_channel", "mean", "mean"),
        ("eeg_layout", "channel_time", "channel_time"),
        ("simulated", "true", True),
        ("session", "", None),
        ("audio_modified", "n/a", "unknown"),
        ("subject", "01", "01"),
        ("subject", "sub-01.b_C", "sub-01.b_C"),
    ],
)
def test_cells_that_are_right(column: str, cell: str, value: object, folder: Path) -> None:
    (row,) = read_sheet(sheet(folder, GOOD | {column: cell}))
    assert getattr(row, column) == value


def test_a_recording_without_sound(folder: Path) -> None:
    (row,) = read_sheet(sheet(folder, GOOD | {"audio": "n/a", "audio_rate_hz": ""}))
    assert (row.audio, row.audio_rate_hz, row.path("audio")) == (None, None, None)
    assert list(row.files()) == ["eeg"]


def test_paths_with_blanks_unicode_and_links(folder: Path) -> None:
    odd = folder / "raw" / "Hörtest 1; $(rm) 'x'.npy"
    odd.write_text("x")
    (folder / "link.wav").symlink_to(folder / "raw" / "sound1.wav")
    (row,) = read_sheet(sheet(folder, GOOD | {"eeg": f"raw/{odd.name}", "audio": "link.wav"}))
    assert row.path("eeg") == odd
    (absolute,) = read_sheet(sheet(folder, GOOD | {"eeg": str(odd)}))
    assert absolute.path("eeg") == odd


def test_subjects_may_hear_the_same_sound(folder: Path) -> None:
    other = OTHER | {"subject": "sub02", "audio": GOOD["audio"]}
    assert len(read_sheet(sheet(folder, GOOD, other))) == 2


def test_paths_are_relative_to_the_sheet_not_to_the_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sheet(folder, GOOD)
    monkeypatch.chdir(folder / "raw")
    assert read_sheet(Path("..") / path.name)[0].files()["eeg"].read_text() == "eeg1.npy"


def test_canonical_json_holds_the_declared_and_no_place(folder: Path) -> None:
    (row,) = read_sheet(sheet(folder, GOOD | {"eeg_rate_hz": "1.024e3"}))
    (same,) = rows_of([GOOD], Path("elsewhere/recordings.tsv"))
    assert row.json_text == same.json_text
    assert str(folder) not in row.json_text
    assert RecordingRow.from_json(row.json_text, folder) == row
    (changed,) = rows_of([GOOD | {"audio_offset_s": "0.1"}], folder)
    assert changed.json_text != row.json_text


def test_a_sheet_that_is_not_there_yet_is_checked_but_for_its_files() -> None:
    (problem,) = problems_of(lambda: rows_of([GOOD | {"eeg_rate_hz": "0"}], Path("recordings.tsv")))
    assert problem.field == "row 2, eeg_rate_hz"


def test_reading_a_sheet_imports_nothing_slow() -> None:
    code = "import sys, main; print({'numpy', 'scipy', 'h5py', 'snakemake'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_every_column_is_known_once() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS) == 26


# --- BIDS tables ------------------------------------------------------------------------------------------------------


def table(folder: Path, text: str) -> Path:
    path = folder / "table.tsv"
    path.write_text(text, encoding="utf-8")
    return path


def test_channels(tmp_path: Path) -> None:
    text = "name\ttype\tunits\tlow_cutoff\tstatus\textra\nLA1\tSEEG\tuV\tn/a\tgood\tx\nLA 2\tSEEG\tuV\t0.5\tBad\ty\n"
    channels = read_channels(table(tmp_path, text), 2)
    assert channels.name == ("LA1", "LA 2")
    assert channels.status == ("good", "bad")
    assert channels.low_cutoff[0] != channels.low_cutoff[0]
    assert channels.low_cutoff[1] == 0.5
    assert channels.status_description == ("n/a", "n/a")


def test_the_shaft_of_a_channel_is_its_group(tmp_path: Path) -> None:
    channels = read_channels(table(tmp_path, "name\tgroup\nLA1\tLA\nEKG\t\n"))
    assert channels.group == ("LA", "n/a")


def test_electrodes(tmp_path: Path) -> None:
    text = "name\tx\ty\tz\tsize\tregion\nLA1\t-1.5\t2\t3e0\t5\tinsula\nLA2\tn/a\tn/a\tn/a\t5\t\n"
    electrodes = read_electrodes(table(tmp_path, text))
    assert (electrodes.x[0], electrodes.z[0], electrodes.region) == (-1.5, 3.0, ("insula", "n/a"))
    assert unmatched_names(("LA1", "LA2", "LA3"), electrodes.name) == ("LA3",)


def test_events_come_by_onset_with_their_word(tmp_path: Path) -> None:
    text = "onset\tduration\ttrial_type\tlabel\n2.5\tn/a\tword\tnero\n-0.5\t0.3\tword\tsami\n"
    events = read_events(table(tmp_path, text))
    assert (events.onset_s, events.duration_s, events.label) == ((-0.5, 2.5), (0.3, 0.0), ("sami", "nero"))
    plain = read_events(table(tmp_path, "onset\tduration\ttrial_type\n1\t2\thouse\n"))
    assert plain.label == ("house",)
    assert read_events(table(tmp_path, "onset\tduration\n")).onset_s == ()


def test_annotations_come_by_onset(tmp_path: Path) -> None:
    text = "onset\tduration\tdescription\n3\t1\tBAD_seizure\n1\t1\tphone rings\n2\t1\tbad muscle\n"
    annotations = read_annotations(table(tmp_path, text))
    assert annotations.description == ("phone rings", "bad muscle", "BAD_seizure")


BAD_BIDS: list[tuple[Callable[[Path], object], str, str, str]] = [
    # reader, text, field, part of what was got
    (read_channels, "", "", "an empty file"),
    (read_channels, "name\ttype\n", "", "no row"),
    (read_channels, "type\nSEEG\n", "name", "no such column"),
    (read_channels, "name\tname\nA\tB\n", "name", "several columns"),
    (read_channels, "name\nA\nA\n", "row 3, name", "A, also in row 2"),
    (read_channels, "name\tstatus\nA\tgood\n\tgood\n", "row 3, name", "n/a"),
    (read_channels, "name\tstatus\nA\tbroken\n", "row 2, status", "broken"),
    (read_channels, "name\tlow_cutoff\nA\t-1\n", "row 2, low_cutoff", "-1"),
    (read_channels, "name\tsampling_frequency\nA\tmany\n", "row 2, sampling_frequency", "many"),
    (lambda path: read_channels(path, 3), "name\nA\nB\n", "name", "2 channels"),
    (read_channels, "name\ttype\nA SEEG\n", "row 2", "1 cells"),
    (read_electrodes, "name\tx\ty\nA\t1\t2\n", "z", "no such column"),
    (read_electrodes, "name\tx\ty\tz\nA\t1\t2\tinf\n", "row 2, z", "inf"),
    (read_electrodes, "name\tx\ty\tz\nA\t1\t2\t3\nA\t1\t2\t3\n", "row 3, name", "also in row 2"),
    (read_events, "onset\ttrial_type\n1\tword\n", "duration", "no such column"),
    (read_events, "onset\tduration\nn/a\t1\n", "row 2, onset", "n/a"),
    (read_events, "onset\tduration\n1\t-1\n", "row 2, duration", "-1"),
    (read_events, "onset\tduration\n" + "1,5\t1\n" * 5, "row 2 and 4 more, onset", "1,5"),
    (read_events, "onset,duration\n1,1\n", "header", "commas between columns"),
    (read_events, "onset\tduration\n1 s\t1\n", "row 2, onset", "1 s"),
    (read_events, "onset\tduration\nnan\t1\n", "row 2, onset", "nan"),
    (read_annotations, "onset\tduration\n1\t1\n", "description", "no such column"),
    (read_annotations, "onset\tduration\tdescription\n1\tlong\tBAD\n", "row 2, duration", "long"),
]


@pytest.mark.parametrize(("reader", "text", "field", "got"), BAD_BIDS)
def test_bad_bids_table(reader: Callable[[Path], object], text: str, field: str, got: str, tmp_path: Path) -> None:
    path = table(tmp_path, text)
    (problem,) = problems_of(lambda: reader(path))
    assert (problem.file, problem.field) == (str(path), field)
    assert got in problem.got


@pytest.mark.parametrize("reader", [read_channels, read_electrodes, read_events, read_annotations])
def test_bids_table_that_is_no_text(reader: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(b"name\tx\n\xff\xfe")
    os.mkfifo(tmp_path / "fifo.tsv")
    for name in ("a.tsv", "fifo.tsv", "gone.tsv"):
        assert problems_of(lambda name=name: reader(tmp_path / name))  # type: ignore[misc]


def test_channels_that_differ_between_recordings() -> None:
    names = {"run1": ("A", "B", "C"), "run2": ("A", "B", "C"), "run3": ("A", "C", "B"), "run4": ("A", "B", "D")}
    found = {problem.file: problem.got for problem in channel_differences(names)}
    assert found == {"run3": "the same channels in another order", "run4": "also D; lacks C"}
