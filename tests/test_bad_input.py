"""What a user can get wrong, each as they meet it: named with a fix, all at once, code 2, nothing written.

Also the opposite: what looks odd and is right goes through.  The readers' own tables are in test_sheet.py,
test_arrays.py and test_config.py; this one uses the commands of a user.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import socket
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from conftest import ROOT
from entry import AUDIO_RATE_HZ, RATE_HZ, SECONDS, Lab, Outcome, brain, copied, plan_options, stage_config, voice
from pipeline.artifacts.contamination import write_contamination
from pipeline.artifacts.core import Provenance, content_digest, opened_any
from pipeline.raw.sessions import Session, SessionPlan
from pipeline.raw.sheet import RecordingRow

FORM = re.compile(r"error: (?P<file>.+?): got (?P<got>.+), expected (?P<expected>.+)\. Fix: (?P<fix>.+)")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    folder = tmp_path / "work"
    folder.mkdir()
    return Lab(folder, monkeypatch, capsys)


def refused(lab: Lab, go: Callable[[Lab], Outcome], *words: str, problems: int = 1) -> None:
    """``go`` ends with code 2, ``problems`` messages in the one form that hold ``words``, and leaves no trace."""
    before = lab.tree()
    outcome = go(lab)
    assert outcome.code == 2, outcome.errors
    assert "Traceback" not in outcome.errors
    assert all(FORM.fullmatch(line) for line in outcome.lines), outcome.errors
    assert len(outcome.lines) == problems, outcome.errors
    for word in words:
        assert word in outcome.errors
    assert lab.tree() == before


def npy(values: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values, **options))  # type: ignore[call-overload]
    return buffer.getvalue()


def header(text: str) -> bytes:
    line = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


def npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, eeg=brain())
    return buffer.getvalue()


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, AUDIO_RATE_HZ, format="WAV")
    return buffer.getvalue()


# --- files whose header or length tells: main.py, before anything is written -----------------------------------

CLAIM = "{'descr': '<f8', 'fortran_order': False, 'shape': (%s), }"
OBJECTS = np.array([[{"a": 1}], [None]], dtype=object)
BAD_ARRAYS: dict[str, tuple[str, bytes, str]] = {
    # name: file, content, words
    "object array": ("eeg1.npy", npy(OBJECTS), "Python objects"),
    "pickle": ("eeg1.npy", pickle.dumps([1.0, 2.0]), "a pickle"),
    "npz renamed": ("eeg1.npy", npz(), "a .npz archive"),
    "empty file": ("eeg1.npy", b"", "an empty file"),
    "truncated": ("eeg1.npy", npy(brain())[:-1000], "bytes where the header claims"),
    "truncated header": ("eeg1.npy", npy(brain())[:50], "a damaged header"),
    "claims 256 TB": ("eeg1.npy", header(CLAIM % "274877906944, 128"), "281474976710784"),
    "claims more than a number holds": ("eeg1.npy", header(CLAIM % f"{10**30}, 4"), "claims"),
    "trailing bytes": ("eeg1.npy", npy(brain()) + b"xx", "2 bytes after the array"),
    "huge header": ("eeg1.npy", b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 20000, "header"),
    "0-d": ("eeg1.npy", npy(np.float32(1)), "0 axes"),
    "1-d": ("eeg1.npy", npy(brain()[:, 0]), "1 axes"),
    "3-d": ("eeg1.npy", npy(brain()[None]), "3 axes"),
    "transposed": ("eeg1.npy", npy(brain().T), "8000 channels of 4 samples"),
    "complex": ("eeg1.npy", npy(brain().astype(complex)), "complex numbers"),
    "bool": ("eeg1.npy", npy(brain() > 0), "booleans"),
    "text": ("eeg1.npy", npy(brain()[:9].astype(str)), "text"),
    "no channel": ("eeg1.npy", npy(brain()[:, :0]), "an empty array"),
    "int16 without scale": ("eeg1.npy", npy(brain().astype(np.int16)), "int16 without scale"),
    "stereo without a choice": ("voice1.npy", npy(np.stack([voice()] * 2, 1)), "audio_channel"),
    "stereo transposed": ("voice1.npy", npy(np.stack([voice()] * 2)), "(2, 128000)"),
    "zero-length sound": ("voice1.npy", npy(voice()[:0]), "no sample"),
    "sound of objects": ("voice1.npy", npy(OBJECTS[:, 0]), "Python objects"),
    "twice as long": ("voice1.npy", npy(np.tile(voice(), 2)), "expected durations at most 0.5 % or 1 s apart"),
    "copy of the other recording": ("eeg1.npy", npy(brain(2)), "the same content as eeg of run1"),
}


@pytest.mark.parametrize("name", BAD_ARRAYS)
def test_bad_array(lab: Lab, name: str) -> None:
    file, content, words = BAD_ARRAYS[name]
    (lab.folder / file).write_bytes(content)
    refused(lab, Lab.main, words)


BAD_WAVS = {
    "truncated WAV": (wav(voice())[:-1001], "where the header claims"),
    "WAV of the header only": (wav(voice())[:40], "a WAV file without sound"),
    "text as WAV": (b"no sound at all", "a sound file"),
    "another rate than declared": (
        wav(voice()[: AUDIO_RATE_HZ // 2 * SECONDS]),
        "durations at most 0.5 % or 1 s apart",
    ),
}


@pytest.mark.parametrize("name", BAD_WAVS)
def test_bad_wav(lab: Lab, name: str) -> None:
    content, words = BAD_WAVS[name]
    (lab.folder / "voice.wav").write_bytes(content)
    lab.cell(audio="voice.wav")
    refused(lab, Lab.main, words)


# --- what is no file ---------------------------------------------------------------------------------------------


def _unreadable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.chmod(0)
    if os.geteuid() == 0:  # root may read anything: answer as for anybody else
        asked = os.access
        monkeypatch.setattr(os, "access", lambda p, mode: Path(p).name != path.name and asked(p, mode))


def _socket(path: Path, _: object) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


NO_FILES: dict[str, tuple[Callable[[Path, pytest.MonkeyPatch], object], str]] = {
    "missing": (lambda path, _: path.rename(path.with_name("near_" + path.name)), "Did you mean"),
    "directory": (lambda path, _: (path.unlink(), path.mkdir()), "a folder"),
    "FIFO": (lambda path, _: (path.unlink(), os.mkfifo(path)), "a FIFO"),
    "socket": (lambda path, _: (path.unlink(), _socket(path, _)), "a socket"),
    "device": (lambda path, _: (path.unlink(), path.symlink_to("/dev/zero")), "a device"),
    "dangling link": (
        lambda path, _: (path.unlink(), path.symlink_to("nowhere")),
        "a link to nothing, expected a file. Fix: Correct",
    ),
    "looping link": (lambda path, _: (path.unlink(), path.symlink_to(path.name)), "symbolic links"),
    "unreadable": (_unreadable, "no permission"),
}


@pytest.mark.parametrize("file", ["eeg1.npy", "voice1.npy", "recordings.tsv", "my.yaml"])
@pytest.mark.parametrize("name", NO_FILES)
def test_no_file(lab: Lab, file: str, name: str) -> None:
    spoil, words = NO_FILES[name]
    lab.monkeypatch.chdir(lab.folder)
    spoil(lab.folder / file, lab.monkeypatch)
    refused(lab, Lab.main, words, file)


# --- cells of the sheet ----------------------------------------------------------------------------------------

BAD_CELLS: dict[str, tuple[dict[str, str], str]] = {
    # name: cells of the first row, words
    "rate 0": ({"eeg_rate_hz": "0"}, "from 0.5 to 1e+06"),
    "rate negative": ({"eeg_rate_hz": "-1000"}, "from 0.5 to 1e+06"),
    "rate NaN": ({"eeg_rate_hz": "nan"}, "a number from"),
    "rate text": ({"audio_rate_hz": "CD"}, "a number from"),
    "period for a rate": ({"eeg_rate_hz": "0.001"}, "It looks like a period: write 1000"),
    "kHz for Hz": ({"audio_rate_hz": "16"}, "It looks like kHz: write 16000"),
    "declared against implied duration": ({"eeg_rate_hz": "2000"}, "eeg_rate_hz 1000 would fit the sound"),
    "offset beyond the end": ({"audio_offset_s": "9"}, "Correct the offset"),
    "channel that is not there": ({"audio_channel": "3"}, "audio_channel 3"),
    "duplicated id": ({"recording": "run2"}, "an id that no other row has"),
    "twins but for case": ({"recording": "RUN2"}, "differ by more than case"),
    "id with ..": ({"recording": "../run1"}, "Write run1"),
    "id of dots": ({"subject": ".."}, "Choose another id"),
    "id with a slash": ({"subject": "a/b"}, "Write a_b"),
    "id with a control character": ({"recording": "run\x1b[2J"}, "printable text"),
    "id with a leading dash": ({"recording": "-rf"}, "Write rf"),
    "id that Snakemake refuses": ({"recording": "run" + "0" * 20}, "does not end in 20 times 0"),
    "session that Snakemake refuses": ({"session": "1" * 30}, "row 2, session"),
    "id of a pooled model": ({"subject": "Pooled"}, "Rename the subject"),
    "same file twice": ({"eeg": "eeg2.npy"}, "a file of its own"),
    "sound as brain": ({"eeg": "voice1.npy"}, "the same file as eeg"),
    "file name too long": ({"eeg": "e" * 300}, "File name too long"),
    "unit that is none": ({"eeg_units": "volts"}, "one of uV"),
}


@pytest.mark.parametrize("name", BAD_CELLS)
def test_bad_cell(lab: Lab, name: str) -> None:
    cells, words = BAD_CELLS[name]
    lab.cell(**cells)
    refused(lab, Lab.main, words)


GOOD_SHEET = "subject\trecording\teeg\teeg_rate_hz\taudio\taudio_rate_hz\ns1\trun1\teeg1.npy\t1000\tvoice1.npy\t16000\n"
BAD_SHEETS: dict[str, tuple[bytes, str, int]] = {
    # name: content, words, problems
    "empty": (b"", "an empty file", 1),
    "only a header": (GOOD_SHEET.splitlines()[0].encode(), "at least one recording", 1),
    "commas": (GOOD_SHEET.replace("\t", ",").encode(), "tab-separated", 1),
    "Latin-1": ((GOOD_SHEET + "Jürgen").encode("latin-1"), "UTF-8", 1),
    "UTF-16": (GOOD_SHEET.encode("utf-16"), "UTF-8", 1),
    "NUL bytes": (GOOD_SHEET.encode().replace(b"run1", b"run\0"), "printable text", 1),
    "a column twice": (GOOD_SHEET.replace("audio\t", "eeg\t").encode(), "2 columns of that name", 2),
    "a column misspelt": (GOOD_SHEET.replace("eeg_rate_hz", "eeg_rate").encode(), "Rename column eeg_rate", 2),
    "a short row": ((GOOD_SHEET + "s1\trun2\n").encode(), "2 cells", 1),
    "an array": (npy(brain()), "UTF-8", 1),
    "no sound at all": (GOOD_SHEET.replace("voice1.npy\t16000", "n/a\tn/a").encode(), "no recording with sound", 1),
    "more than 10 MB": (b"x" * 10_000_001, "more than 10 MB", 1),
}


@pytest.mark.parametrize("name", BAD_SHEETS)
def test_bad_sheet(lab: Lab, name: str) -> None:
    content, words, problems = BAD_SHEETS[name]
    (lab.folder / "recordings.tsv").write_bytes(content)
    refused(lab, Lab.main, words, "recordings.tsv", problems=problems)


BAD_TABLES: dict[str, tuple[str, str, str]] = {
    # name: column of the sheet, content, words
    "channel without a name": ("channels", "name\ttype\nA\tSEEG\n\tSEEG\nC\tSEEG\nD\tSEEG\n", "Give every row a name"),
    "channel twice": ("channels", "name\nA\nB\nB\nD\n", "also in row 3"),
    "channels missing": ("channels", "name\nA\nB\n", "one row per channel of the array"),
    "channels of another recording": ("channels", "name\nA\nB\nC\nD\n", "the channels of run1"),
    "event without a time": ("events", "onset\tduration\nn/a\t1\n", "a time in seconds"),
    "event of negative length": ("events", "onset\tduration\n1\t-1\n", "a number in range"),
    "electrode at infinity": ("electrodes", "name\tx\ty\tz\nA\t0\t0\tinf\n", "a plain number"),
    "annotations that say nothing": ("annotations", "onset\tduration\n0\t1\n", "what is marked"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_table(lab: Lab, name: str) -> None:
    column, content, words = BAD_TABLES[name]
    (lab.folder / "table.tsv").write_text(content)
    lab.cell(0, session="1", **{column: "table.tsv"})
    lab.cell(1, session="1")
    refused(lab, Lab.main, words)


# --- the config ---------------------------------------------------------------------------------------------------

BAD_CONFIGS: dict[str, tuple[str | bytes, str, int]] = {
    # name: settings (bytes: the whole file), words, problems
    "hop longer than the window": ("window: {hop_s: 1.13}", "hop_s is longer", 1),
    "window longer than the transform": ("mel: {win_length: 2048}", "win_length", 1),
    "fmax above Nyquist": ("mel: {fmax_hz: 12000}", "11025", 1),
    "fmin above fmax": ("mel: {fmin_hz: 9000}", "fmin", 1),
    "more bands than bins": ("mel: {n_mels: 400}", "n_mels", 1),
    "feature band upside down": ("align: {features: [{kind: band_envelope, bands: [[9, 7]]}]}", "0 < low < high", 1),
    "a feature of no kind": ("align: {features: [{kind: envelope}]}", "band_envelope", 1),
    "a key of another kind": ("align: {features: [{kind: low_pass, high_hz: 5}]}", "cutoff_hz, frame_length_s", 1),
    "features that cannot be stacked": ("align: {features: [{kind: signal}, {kind: low_pass}]}", "stands alone", 1),
    "fold beyond the count": ("fold: 5", "split.folds is 5", 1),
    "fold negative": ("fold: -1", "fold -1", 1),
    "no folds": ("split: {folds: 0}", "greater than or equal to 1", 1),
    "unknown key": ("train: {learning_rte: 0.1}", "an unknown key", 1),
    "unknown section": ("trian: {lr: 0.1}", "Did you mean train?", 1),
    "key in another section": ("lr: 0.1", "Did you mean train.lr?", 1),
    "key twice": ("train: {lr: 0.1, lr: 0.2}", "'lr' twice", 1),
    "number as text": ("train: {lr: '0.1'}", "without quotes", 1),
    "no for false": ("causal: no", "Write true or false", 1),
    "sexagesimal": ("train: {seed: 1:30}", "train.seed", 1),
    "octal": ("train: {seed: 0o17}", "train.seed", 1),
    "infinity": ("train: {lr: .inf}", "train.lr", 1),
    "null for a number": ("train: {lr: null}", "train.lr", 1),
    "alias": ("train: &t {lr: 0.1}\nmodel: *t", "an alias", 1),
    "billion laughs": ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "an alias", 1),
    "tag": ("train: !!python/name:os.system ''", "python/name", 1),
    "sheet that is a number": (b"data: {sheet: 5}", "a valid string", 1),
    "sheet that is nothing": (b"data: {sheet: ''}", "at least 1 character", 1),
    "a list": (b"- train\n", "not a mapping", 1),
    "a text": (b"just words\n", "not a mapping", 1),
    "binary": (bytes(range(256)), "plain YAML", 1),
    "more than 1 MB": (b"#" * 1_100_000, "more than 1 MB", 1),
    "nested too deep": (b"[" * 5000, "plain YAML", 1),
    "all at once": ("fold: x\ntrain: {lr: -1, seed: 0.5}\nmell: {}\n", "train.seed", 4),
}


@pytest.mark.parametrize("name", BAD_CONFIGS)
def test_bad_config(lab: Lab, name: str) -> None:
    settings, words, problems = BAD_CONFIGS[name]
    lab.config(settings) if isinstance(settings, bytes) else lab.settings(settings)
    refused(lab, Lab.main, words, "my.yaml", problems=problems)


BAD_OPTIONS = {
    "no value": (["--set", "train.lr"], "no key=value"),
    "no key": (["--set", "=3"], "no key=value"),
    "key that climbs": (["--set", "../x=3"], "no key=value"),
    "bad YAML": (["--set", "train.lr={"], "--set"),
    "unknown": (["--set", "train.rate=3"], "an unknown key"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_override(lab: Lab, name: str) -> None:
    options, words = BAD_OPTIONS[name]
    refused(lab, lambda lab: lab.main("--config", "my.yaml", *options), words)


def test_toml_is_as_strict(lab: Lab) -> None:
    (lab.folder / "my.toml").write_text("[train]\nlr = 1\nlr = 2\n")
    refused(lab, lambda lab: lab.main("--config", "my.toml"), "my.toml", "Cannot overwrite a value")


def test_every_problem_of_every_file_at_once(lab: Lab) -> None:
    np.save("eeg1.npy" if Path.cwd() == lab.folder else lab.folder / "eeg1.npy", brain()[None])
    np.save(lab.folder / "voice1.npy", np.stack([voice()] * 2, 1))
    np.save(lab.folder / "eeg2.npy", brain().astype(complex))
    (lab.folder / "events.tsv").write_text("onset\tduration\nsoon\t1\n")
    lab.cell(1, events="events.tsv")
    refused(lab, Lab.main, "eeg1.npy[shape]", "voice1.npy[audio_channel]", "eeg2.npy[dtype]", "events.tsv", problems=4)


# --- what only the samples tell: the stage ingest ---------------------------------------------------------------


def _gap(first: int, last: int) -> np.ndarray:
    values = brain(1)
    values[first:last, 1] = np.nan
    return values


def _flat(channels: int) -> np.ndarray:
    values = brain(1)
    values[:, :channels] = 3.0
    return values


BAD_SAMPLES: dict[str, tuple[str, np.ndarray, str, str]] = {
    # name: file, values, settings, words
    "V for µV": ("eeg1.npy", brain(1) * np.float32(1e-6), "", "the values look like V"),
    "raw steps for µV": ("eeg1.npy", brain(1) * np.float32(1e4), "", "0.1 to 20000 µV"),
    "NaN": ("eeg1.npy", _gap(100, 120), "", "Set ingest.nan_policy"),
    "infinity": ("eeg1.npy", np.where(np.isnan(_gap(5, 6)), np.inf, brain(1)), "", "NaN or infinity"),
    "a gap too long to bridge": ("eeg1.npy", _gap(100, 900), "ingest: {nan_policy: interpolate}", "gaps of at most"),
    "most channels flat": ("eeg1.npy", _flat(3), "", "3 of 4 channels bad (3 flat)"),
    "most channels clipped": ("eeg1.npy", np.clip(brain(1), -20, 20), "", "4 clipped"),
    "silence": ("voice1.npy", voice(1) * 0, "", "expected sound"),
    "NaN in the sound": ("voice1.npy", np.where(voice(1) > 9000, np.nan, voice(1) / 32768), "", "finite samples"),
    "sound beyond full scale": ("voice1.npy", voice(1).astype(np.float32), "", "samples in [-1, 1]"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_SAMPLES)
def test_bad_samples(lab: Lab, name: str) -> None:
    file, values, settings, words = BAD_SAMPLES[name]
    np.save(lab.folder / file, values.astype(np.float32) if values.dtype == np.float64 else values)
    lab.settings(settings)
    refused(lab, Lab.ingest, words, file)


def test_brain_and_sound_are_reported_together(lab: Lab) -> None:
    np.save(lab.folder / "eeg1.npy", _gap(5, 9))
    np.save(lab.folder / "voice1.npy", voice() * 0)
    refused(lab, Lab.ingest, "eeg1.npy[samples]", "voice1.npy[samples]", problems=2)


def test_content_that_changed_since_the_run_started(lab: Lab) -> None:
    (lab.folder / "eeg1.npy").write_bytes(npy(brain(9)))
    lab.monkeypatch.chdir(lab.folder)
    row = RecordingRow("s", "r", "eeg1.npy", 1000.0)
    plan = SessionPlan.of(Session("r", (row,)), {"eeg1.npy": "0" * 64})
    options = [*plan_options("plan.json", plan), "--output", "out.h5"]
    refused(lab, lambda lab: lab.script("ingest", stage_config("ingest"), *options), "its content when the run started")


# --- the wrong artifact for a stage or a command ------------------------------------------------------------------

OTHER = "other.h5"


def _contamination(folder: Path) -> None:
    write_contamination(
        folder / OTHER,
        {"result": "none", **dict.fromkeys(("matrix", "frequencies_hz", "lags_s", "channels"))},
        Provenance(),
    )


FILES = ["--windows", OTHER, "--mel", OTHER, "--aligned", OTHER]
FOLD = ["--fold", "0", "--variant", "full"]
WRONG_INPUTS: dict[str, tuple[str, list[str]]] = {
    # stage and its arguments: each gets another stage's artifact
    "align": ("align", ["--recording", OTHER]),
    "mel": ("mel", ["--aligned", OTHER]),
    "window": ("window", ["--aligned", OTHER]),
    "contamination": ("contamination", ["--recording", OTHER]),
    "repeats": ("repeats", ["--mel", OTHER, "--aligned", OTHER]),
    "train": ("train", [*FILES, "--ridge", OTHER, *FOLD, "--folds", "--init", "--network", "0-corrector"]),
    "ensemble": ("ensemble", [*FILES, "--networks", OTHER, *FOLD, "--ridge", "--folds", "--scores"]),
    "ridge": ("ridge", [*FILES, *FOLD, "--folds"]),
    "vocode": ("vocode", ["--predictions", OTHER, "--aligned", OTHER, "--checkpoint"]),
}


@pytest.mark.parametrize("stage", WRONG_INPUTS)
@pytest.mark.parametrize("what", ["artifact", "array", "missing", "directory"])
def test_wrong_input_of_a_stage(lab: Lab, stage: str, what: str) -> None:
    name, arguments = WRONG_INPUTS[stage]
    if what == "artifact":
        _contamination(lab.folder)
    elif what == "array":
        copied(lab.folder / "eeg1.npy", lab.folder / OTHER)
    elif what == "directory":
        (lab.folder / OTHER).mkdir()
    refused(lab, lambda lab: lab.script(name, stage_config(name), *arguments, "--output", "out.h5"), OTHER)


SCORES = {
    "eval.json": ["", "{", "{}", "[1]", "5", '{"summary": {}, "subjects": {}}', "\xff", "[" * 100_000, "9" * 5000],
    "metrics.csv": ["a", "step\n1\n", "network,step,train_loss,val_loss\na,x,1,2\n", "\xff", f"{'x' * 200_000}\n1\n"],
}


@pytest.mark.parametrize(("file", "text"), [(file, text) for file, texts in SCORES.items() for text in texts])
def test_scores_that_no_run_wrote_are_not_drawn(lab: Lab, file: str, text: str) -> None:
    (lab.folder / file).write_bytes(text.encode("latin-1"))
    refused(lab, lambda lab: lab.pipeline("plot", file), file)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"digest": 1}'])
def test_a_report_without_its_sidecar_is_not_drawn_again(lab: Lab, text: str) -> None:
    (lab.folder / "results").mkdir()
    (lab.folder / "results/eval.json").write_text("{}")
    (lab.folder / "results/eval.provenance.json").write_text(text)
    for command in (["report", "--out", "r.html"], ["summary"]):
        refused(lab, lambda lab, command=command: lab.pipeline(*command), "eval.provenance.json")  # type: ignore[misc]


FOREIGN_MODELS: dict[str, tuple[str, str, list[str]]] = {
    # name: settings beside the run's own, fold, words
    "of another fold": ("", "1", ["model.ckpt[fold]: got 0, expected 1"]),
    "of another config": ("window: {length_s: 0.75}", "0", ["model.ckpt[window.length_s]: got 1.12"]),
    "of a causal run": ("causal: true", "0", ["causal"]),
}


@pytest.mark.parametrize("name", FOREIGN_MODELS)
@pytest.mark.slow
def test_model_of_another_config(lab: Lab, chain: Path, name: str) -> None:
    """The stage predict, given a model that this config and fold did not train."""
    settings, fold, words = FOREIGN_MODELS[name]
    results = chain / "results"
    files = {kind: results / kind / "sim01_run01.h5" for kind in ("mel", "aligned")}
    files |= {"windows": results / "windows/sim01.h5", "model": results / "train/sim01/fold0/model.ckpt"}
    arguments = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    arguments += ["--ridge", "--fold", fold, "--output", "out.h5"]
    refused(lab, lambda lab: lab.script("predict", stage_config("predict", settings), *arguments), *words)


COMMANDS: dict[str, tuple[list[str], str]] = {
    # name: arguments, words
    "inspect an array": (["inspect", "eeg1.npy"], "Name an artifact"),
    "inspect a table": (["inspect", "recordings.tsv"], "Name an artifact"),
    "inspect a folder": (["inspect", "."], "a folder"),
    "inspect nothing": (["inspect", "mel.h5"], "which is missing"),
    "inspect foreign HDF5": (["inspect", "foreign.h5"], "a complete artifact"),
    "plot what has no array over time": (["inspect", OTHER, "--plot", "x.png"], "got arrays, expected"),
    "predict with no run": (["predict", "--run", "abc", "--recording", "run1"], "there is none"),
    "predict with a pattern": (["predict", "--run", "*", "--recording", "run1"], "there is none"),
    "predict with a path": (["predict", "--run", "../../x", "--recording", "run1"], "there is none"),
    "predict a path": (["predict", "--run", "abc", "--recording", "../run1"], "Write run1"),
    "verify nothing": (["verify", "resluts"], "no such folder"),
    "verify a file": (["verify", "eeg1.npy"], "no such folder"),
    "verify another folder": (["verify", "empty"], "a folder of another name"),
    "plot no time": (["plot", OTHER, "--seconds", "0"], "at least 0.1 s"),
    "plot from nowhere": (["plot", OTHER, "--start", "nan"], "a time"),
    "listen for no time": (["live", "--run", "a", "--lsl", "x", "--seconds", "nan"], "more than 0 s"),
    "summary of nothing": (["summary"], "Run the workflow first"),
    "report of nothing": (["report", "--out", "r.html"], "provenance"),
    "accept no stage": (["accept", "ingestion"], "one of simulate"),
    "config that is an array": (["config", "eeg1.npy"], "eeg1.npy"),
    "simulate onto a file": (["simulate", "--out", "eeg1.npy", "--minutes", "0.1"], "File exists"),
    "simulate less than nothing": (["simulate", "--out", "sim", "--minutes", "-1"], "simulate.minutes"),
    "simulate from no speech": (["simulate", "--out", "sim", "--speech", "nowhere"], "no such folder"),
    "simulate from a folder without clips": (["simulate", "--out", "sim", "--speech", "empty"], "no .wav"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_command(lab: Lab, name: str) -> None:
    arguments, words = COMMANDS[name]
    _contamination(lab.folder)
    (lab.folder / "empty").mkdir()
    with h5py.File(lab.folder / "foreign.h5", "w") as file:
        file["x"] = [1, 2]
    lab.capsys.readouterr()
    refused(lab, lambda lab: lab.pipeline(*arguments), words)


# --- the same in real processes -----------------------------------------------------------------------------------


def _nothing(lab: Lab) -> None:
    """Spoils nothing."""


PROCESSES: dict[str, tuple[Callable[[Lab], object], list[str]]] = {
    "config": (lambda lab: lab.settings("train: {lr: x}"), ["main.py", "--config", "my.yaml"]),
    "sheet": (lambda lab: lab.cell(recording="../x"), ["main.py", "--config", "my.yaml"]),
    "folder": (lambda lab: (lab.folder / "my.yaml").rename(lab.folder / "x"), ["main.py", "--config", "."]),
    "array": (lambda lab: np.save(lab.folder / "eeg1.npy", brain()[0]), ["main.py", "--config", "my.yaml"]),
    "command": (_nothing, ["-m", "pipeline", "inspect", "eeg1.npy"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSES)
def test_a_real_process_ends_the_same_way(lab: Lab, name: str) -> None:
    spoil, command = PROCESSES[name]
    spoil(lab)
    command = [str(ROOT / part) if part == "main.py" else part for part in command]
    refused(lab, lambda lab: lab.process(*command))


def test_main_passes_on_the_code_of_the_stage_that_refused(lab: Lab) -> None:
    np.save(lab.folder / "eeg1.npy", _gap(5, 9))
    outcome = lab.process(str(ROOT / "main.py"), "--config", "my.yaml", "--cores", "1")
    assert outcome.code == 2, outcome.errors
    assert "eeg1.npy[samples]: got 1 gaps of NaN" in outcome.errors
    assert "Traceback" not in outcome.errors
    assert not list((lab.folder / "results").rglob("run1*.h5"))


# --- odd, and right -------------------------------------------------------------------------------------------------


def _masked(lab: Lab) -> None:
    np.save(lab.folder / "eeg1.npy", _gap(100, 900))
    lab.settings("ingest: {nan_policy: mask}")


def _moved(lab: Lab) -> None:
    odd = lab.folder / "Rohdaten; $(rm) 'ä' 脳"
    odd.mkdir()
    (lab.folder / "eeg1.npy").rename(odd / "Größe 1.npy")
    lab.cell(eeg=f"{odd.name}/Größe 1.npy")


def _linked(lab: Lab) -> None:
    (lab.folder / "store").mkdir()
    (lab.folder / "eeg1.npy").rename(lab.folder / "store" / "a")
    (lab.folder / "eeg1.npy").symlink_to("store/a")


def _stereo(lab: Lab) -> None:
    soundfile.write(lab.folder / "ton.WAV", np.stack([voice(1) * 0, voice(1)], 1), AUDIO_RATE_HZ)
    lab.cell(audio="ton.WAV", audio_channel="right")


def _tables(lab: Lab) -> None:
    (lab.folder / "c.tsv").write_text(
        "name\tstatus\textra\nA\tGood\t1\nB'; rm\tbad\t2\nC α\t\t3\nD\tn/a\t4\n", "utf-8-sig"
    )
    (lab.folder / "e.tsv").write_text("onset\tduration\n")
    lab.cell(0, channels="c.tsv", events="e.tsv")
    lab.cell(1, channels="c.tsv")


def _sheet(change: Callable[[bytes], bytes]) -> Callable[[Lab], None]:
    def apply(lab: Lab) -> None:
        path = lab.folder / "recordings.tsv"
        path.write_bytes(change(path.read_bytes()))

    return apply


def _array(change: Callable[[np.ndarray], np.ndarray], **cells: str) -> Callable[[Lab], None]:
    def apply(lab: Lab) -> None:
        np.save(lab.folder / "eeg1.npy", change(brain(1)))
        lab.cell(**cells)

    return apply


ODDITIES: dict[str, Callable[[Lab], object]] = {
    "big-endian": _array(lambda a: a.astype(">f4")),
    "Fortran order": _array(np.asfortranarray),
    "big-endian Fortran int16 with a gain": _array(
        lambda a: np.asfortranarray((a * 10).astype(">i2")), eeg_gain_uv="0.1"
    ),
    "channels first, as declared": _array(lambda a: a.T.copy(), eeg_layout="channel_time"),
    "volts, as declared": _array(lambda a: a.astype(np.float64) * 1e-6, eeg_units="V"),
    "half precision": _array(lambda a: a.astype(np.float16)),
    "one flat channel": lambda lab: np.save(lab.folder / "eeg1.npy", _flat(1)),
    "gaps to be masked": _masked,
    "spaces, quotes and Unicode in a path": _moved,
    "symbolic link inside the folder": _linked,
    "hard link": lambda lab: os.link(lab.folder / "eeg1.npy", lab.folder / "also.npy"),
    "right channel of a stereo WAV": _stereo,
    "sheet with a byte order mark and CRLF": _sheet(lambda b: b"\xef\xbb\xbf" + b.replace(b"\n", b"\r\n")),
    "sheet with blank lines": _sheet(lambda b: b.replace(b"\n", b"\n\n")),
    "tables with odd names, extra columns and no event": _tables,
    "recording without sound": lambda lab: lab.cell(audio="n/a", audio_rate_hz="n/a"),
    "sound that starts late": lambda lab: lab.cell(audio_offset_s="-0.25", audio_drift_ppm="-40"),
    "read-only file": lambda lab: (lab.folder / "eeg1.npy").chmod(0o444),
    "config with a byte order mark": lambda lab: lab.config(b"\xef\xbb\xbfdata: {sheet: recordings.tsv}"),
    "number in exponent form": lambda lab: lab.settings("train: {lr: 1e-3}"),
}


@pytest.mark.parametrize("name", ODDITIES)
def test_valid_oddity(lab: Lab, name: str) -> None:
    """Through the checks of main.py and the whole stage ingest."""
    ODDITIES[name](lab)
    started: list[str] = []
    lab.monkeypatch.setattr(pytest, "fail", lambda _: started.append("Snakemake") or 0)
    outcome = lab.main("--config", "my.yaml", "--dry-run")
    assert (outcome.code, started) == (0, ["Snakemake"]), outcome.errors
    outcome = lab.ingest()
    assert outcome.code == 0, outcome.errors
    with opened_any(lab.folder / "out.h5") as recording:
        values = recording.read("trials/run1/eeg/data")
    assert values.shape == (RATE_HZ * SECONDS, 4)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    np.testing.assert_allclose(np.median(values[:, 1:].std(axis=0)), 50, rtol=0.2)


def test_a_raw_file_of_another_name_gives_the_same_recording(lab: Lab) -> None:
    """So that its renaming runs ingest again, and nothing behind it."""
    assert lab.ingest().code == 0
    (lab.folder / "eeg1.npy").rename(lab.folder / "brain.npy")
    lab.cell(eeg="brain.npy")
    assert lab.ingest(output="again.h5").code == 0
    assert content_digest(lab.folder / "out.h5") == content_digest(lab.folder / "again.h5")
