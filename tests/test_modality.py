"""What was recorded: how report, doctor and log lines name it, and what doctor suggests for it."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from conftest import snakemake
from entry import Lab
from pipeline.config.align import AlignConfig
from pipeline.config.features import BandEnvelopeConfig
from pipeline.doctor.command import session_text, settings_of
from pipeline.doctor.recordings import examine
from pipeline.doctor.suggestions import mains_hz, suggestions
from pipeline.errors import InputError
from pipeline.raw.modality import MODALITIES, activity, source
from pipeline.raw.sheet import rows_of
from pipeline.report.view_scores import head
from pipeline.run.plan import load_plan

RNG = np.random.default_rng(0)


def hum(frequency_hz: float, rate_hz: float = 1000.0, size: float = 1.0) -> np.ndarray:
    """Ten seconds of three noisy channels in the mains' field."""
    times_s = np.arange(round(10 * rate_hz)) / rate_hz
    noise = RNG.standard_normal((len(times_s), 3))
    return noise + size * np.sin(2 * np.pi * frequency_hz * times_s)[:, None]


def cells(recording: str, **changes: str) -> dict[str, str]:
    given = {"subject": "s1", "recording": recording, "eeg": f"{recording}.npy", "eeg_rate_hz": "600"}
    return {**given, "audio": f"{recording}.wav", "audio_rate_hz": "16000", **changes}


def test_only_emg_is_muscle_activity() -> None:
    assert {m: source(m) for m in MODALITIES} == dict.fromkeys(("ieeg", "eeg", "meg"), "brain") | {"emg": "muscle"}
    assert [activity([m]) for m in ("emg", "meg")] == ["muscle activity", "brain activity"]
    assert activity(["ieeg", "emg", "eeg"]) == "brain and muscle activity"
    assert activity([]) == "brain activity"


def test_subjects_may_differ_in_modality_and_a_subject_may_not() -> None:
    assert len(rows_of([cells("a", modality="emg"), cells("b", subject="s2")], Path("recordings.tsv"))) == 2
    with pytest.raises(InputError) as raised:
        rows_of([cells("a", modality="emg"), cells("b")], Path("recordings.tsv"))
    (problem,) = raised.value.problems
    assert (problem.field, problem.got) == ("row 3, modality", "ieeg, but emg in row 2")
    assert problem.expected == "the same in all sessions of a subject"


@pytest.mark.parametrize(("modalities", "named"), [(["emg"], "muscle"), (["emg", "ieeg"], "brain and muscle")])
def test_the_report_is_headed_by_what_was_recorded(modalities: list[str], named: str) -> None:
    empty = {"pearson_r": None, "pearson_r_speech": None, "pearson_r_ci95": None, "pearson_r_speech_ci95": None}
    empty |= {"pearson_r_fold_spread": None, "pearson_r_speech_fold_spread": None}
    chance = {"pearson_r_p95": None, "pearson_r_without_drift": None, "p_value": None, "reason": "none"}
    summary = {"model": empty, "ridge": empty, "chance": chance, "differences": {}}
    claims = {"modalities": modalities, "level": None, "level_reason": "none", "meaning": "none", "limits": []}
    found = head({"summary": summary, "claims": claims, "subjects": {}}, share=False)  # type: ignore[typeddict-item]
    assert found.activity == f"{named} activity"


# --- what doctor suggests ----------------------------------------------------------------------------------------


def test_emg_gets_three_bands_and_those_above_the_rate_are_named() -> None:
    (all_fit,) = suggestions("emg", 600.0, AlignConfig(), [])
    assert "bands: [[20, 60], [70, 170], [170, 280]]" in all_fit
    assert "higher rate" not in all_fit
    (two_fit,) = suggestions("emg", 400.0, AlignConfig(), [])
    assert "bands: [[20, 60], [70, 170]]}]; 170-280 Hz would need a higher rate than 400 Hz" in two_fit


@pytest.mark.parametrize("modality", ["eeg", "meg"])
def test_eeg_and_meg_get_slow_features(modality: str) -> None:
    (text,) = suggestions(modality, 1000.0, AlignConfig(), [])
    assert text.startswith(f"{modality} holds little of 70-170 Hz: consider slow features")


def test_what_the_config_chose_is_left_alone() -> None:
    own = AlignConfig(features=(BandEnvelopeConfig(bands=((30.0, 90.0),)),))
    assert [suggestions(m, 1000.0, own, []) for m in MODALITIES] == [[]] * len(MODALITIES)
    assert suggestions("ieeg", 1000.0, AlignConfig(), []) == []


@pytest.mark.parametrize("mains", [50, 60])
def test_the_mains_are_found_and_named_where_the_config_has_others(mains: int) -> None:
    excerpts = [hum(mains)]
    assert mains_hz(excerpts, 1000.0) == mains
    other = AlignConfig(line_noise_hz=110.0 - mains)
    assert suggestions("ieeg", 1000.0, AlignConfig(line_noise_hz=float(mains)), excerpts) == []
    (text,) = suggestions("ieeg", 1000.0, other, excerpts)
    assert text == f"the mains show at {mains} Hz: align.line_noise_hz is {110 - mains}"


def test_no_mains_are_found_in_noise_nor_above_what_the_rate_holds() -> None:
    assert mains_hz([hum(50.0, size=0.0)], 1000.0) is None
    assert mains_hz([hum(50.0, rate_hz=100.0)], 100.0) is None
    assert mains_hz([hum(50.0)[:500]], 1000.0) is None


@pytest.mark.parametrize(("modality", "named"), [("emg", "muscle"), ("eeg", "brain")])
def test_doctor_names_the_signal_and_suggests(lab: Lab, modality: str, named: str) -> None:
    for row in (0, 1):
        lab.cell(row, modality=modality)
    lab.monkeypatch.chdir(lab.folder)
    plan = load_plan(Path(), [Path("my.yaml")], [], is_job=False)
    text = session_text(examine(plan.sessions["run1"], settings_of(plan)))
    assert f"\n  {named:6} 8.0 s, 4 channels at 1000 Hz, {modality};" in text
    assert text.count("consider ") == 1


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    folder = tmp_path / "lab"
    folder.mkdir()
    return Lab(folder, monkeypatch, capsys)


# --- the ends of what is taken -----------------------------------------------------------------------------------


def write_trials(raw: Path, modality: str, channels: int, rate_hz: int) -> None:
    """Twelve trials of 4 s whose channels' amplitude follows the loudness of the sound."""
    raw.mkdir()
    rng, audio_rate_hz, seconds = np.random.default_rng(0), 16000, 4
    columns = ["subject", "recording", "session", "modality", "eeg", "eeg_rate_hz", "eeg_units", "audio"]
    lines = [[*columns, "audio_rate_hz", "audio_modified"]]
    for i in range(12):
        loudness = np.repeat(rng.uniform(0.05, 1.0, 8 * seconds), 1000 // 8)  # at 1 kHz
        at_s = {rate: np.arange(rate * seconds) / rate for rate in (rate_hz, audio_rate_hz)}
        driven = {rate: np.interp(t, np.arange(len(loudness)) / 1000, loudness)[:, None] for rate, t in at_s.items()}
        eeg = 50 * (0.3 + driven[rate_hz]) * rng.standard_normal((rate_hz * seconds, channels))
        sound = 0.2 * driven[audio_rate_hz][:, 0] * rng.standard_normal(audio_rate_hz * seconds)
        np.save(raw / f"t{i}_emg.npy", eeg.astype(np.float32))
        np.save(raw / f"t{i}_audio.npy", (32767 * np.clip(sound, -1, 1)).astype(np.int16))
        row = ["s1", f"t{i}", "1", modality, f"t{i}_emg.npy", str(rate_hz), "uV", f"t{i}_audio.npy"]
        lines.append([*row, str(audio_rate_hz), "none"])
    (raw / "recordings.tsv").write_text("".join("\t".join(line) + "\n" for line in lines))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modality", "channels", "rate_hz", "bands"),
    [
        ("eeg", 1, 200, [[20, 60]]),
        ("emg", 1, 2000, [[20, 60], [70, 170], [170, 280]]),
        ("meg", 256, 200, [[20, 60]]),
        ("emg", 256, 2000, [[70, 170]]),
    ],
)
def test_few_and_many_channels_at_low_and_high_rates(
    modality: str, channels: int, rate_hz: int, bands: list[list[int]], tmp_path: Path
) -> None:
    write_trials(tmp_path / "raw", modality, channels, rate_hz)
    features = [{"kind": "band_envelope", "bands": bands}]
    contamination = {"band_hz": [20, 80]} if rate_hz == 200 else {}
    settings = {
        "data": {"sheet": "raw/recordings.tsv"},
        "fold": 0,
        "split": {"by": "recording", "folds": 3},
        "align": {"features": features},
        "contamination": contamination,
        "window": {"context_s": 0.06},  # few lags: the ridge's time grows with the third power of lags and channels
        "ridge": {"penalties": [1000.0]},
        "model": {"preset": "tiny"},
        "train": {"max_steps": 4, "steps_per_epoch": 2},
        "export": {"audio": "none"},
        "evaluate": {"bootstrap": 100, "report_examples": 1},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    result = snakemake(tmp_path, "results/eval.json")
    assert result.returncode == 0, result.stdout[-4000:]
    document = json.loads((tmp_path / "results/eval.json").read_text())
    assert document["claims"]["modalities"] == [modality]
    assert document["audit"]["shared_samples"] == 0
    assert document["summary"]["ridge"]["pearson_r"] > 0.2
    named = activity([modality])
    assert f"<h1>Speech from {named}: evaluation</h1>" in (tmp_path / "results/report.html").read_text()
    with h5py.File(tmp_path / "results/aligned/s1_1.h5") as file:
        assert len(file["features/name"]) == channels * len(bands)
