"""Streamed equals offline: whatever the chunks, a live decoder gives the offline causal prediction."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

from conftest import ROOT, snakemake
from live_lab import SCALE, SESSION, Lab, chunks
from pipeline.artifacts.predictions import PREDICTIONS, read_predicted
from pipeline.cli import main
from pipeline.config.loader import load_config
from pipeline.config.mel import MelConfig
from pipeline.config.vocode import VocodeConfig
from pipeline.data.spans import covered_frames
from pipeline.data.subject import normalised_features
from pipeline.errors import InputError
from pipeline.live import command
from pipeline.live.decoder import Clock, LiveDecoder
from pipeline.live.listen import listen
from pipeline.live.montage import Montage
from pipeline.live.replay import Session
from pipeline.live.score import envelope_lag
from pipeline.live.sinks import ClockFile
from pipeline.live.stream import Chunk
from pipeline.model.inference import predict_continuous
from pipeline.run import new_recordings
from pipeline.signal.mel import log_mel, mel_filter_bank
from pipeline.signal.mel_frames import n_frames
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.hifigan import HifiGan
from pipeline.vocoder.hifigan_config import read_hifigan_config
from pipeline.vocoder.pulses import Pulses
from pipeline.vocoder.streaming import StreamingGriffinLim
from voices import write_checkpoint


@pytest.mark.parametrize("largest", [1, 7, 1000, 10**6])
def test_streamed_is_offline(lab: Lab, largest: int) -> None:
    rng = np.random.default_rng(largest)
    decoder = lab.decoder(lab.trials[0])
    trials = list(zip(lab.trials, lab.offline(), strict=True))
    for info, expected in trials[:1] if largest == 1 else trials:
        samples = lab.samples(info)
        found = np.concatenate([decoder.push(samples[chunk]) for chunk in chunks(len(samples), largest, rng)])
        steps = decoder.stepper.step_frames
        assert len(expected) - len(found) in range(-steps, steps), "but for a step that is not full"
        n = min(len(found), len(expected))
        np.testing.assert_allclose(found[:n], expected[:n], atol=SCALE * expected.std(), rtol=0)
        decoder.reset()


@pytest.mark.parametrize("longer", [3, -5])
def test_of_a_trial_the_frames_of_its_sound_count(lab: Lab, longer: int) -> None:
    """Running normalisation of the next trial is the offline one, whether sound or signal ends first."""
    spans = [covered_frames(info, lab.config.mel) for info in lab.trials]
    lengths = {info.recording: stop + longer for info, (_, stop) in zip(lab.trials, spans, strict=True)}
    offline = normalised_features(lab.aligned, lab.names, lengths, lab.config)
    decoder = lab.decoder(lab.trials[0])
    for info, rows, (start, stop) in zip(lab.trials, offline, spans, strict=True):
        length = lengths[info.recording]
        decoder.reset(Clock(info.audio_offset_s, info.audio_drift_ppm, info.first_feature, length))
        found = np.concatenate([decoder.push(part) for part in np.array_split(lab.samples(info), 40)])
        expected = predict_continuous(lab.model, rows, start, min(stop, length), 24).mel
        n = min(len(found), len(expected))
        np.testing.assert_allclose(found[:n], expected[:n], atol=SCALE * expected.std(), rtol=0)


@pytest.mark.parametrize("longer", [0, 60])
def test_of_a_session_that_is_predicted_again_they_count_too(
    lab: Lab, longer: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sound of this session ends before its signal does, or after it."""
    monkeypatch.chdir(lab.work)
    trials = [replace(info, n_audio=info.n_audio + longer * 256) for info in lab.trials]
    monkeypatch.setattr(new_recordings, "aligned_trials", lambda path: trials)
    lengths = {info.recording: n_frames(info.n_audio, lab.config.mel) for info in trials}
    rows = normalised_features(lab.aligned, lab.names, lengths, lab.config)
    file = new_recordings.predict_recording(lab.save(lab.model), SESSION, tmp_path, False, "cpu")
    for block, info, own in zip(read_predicted(file, PREDICTIONS).blocks, trials, rows, strict=True):
        start, stop = covered_frames(info, lab.config.mel)
        expected = predict_continuous(lab.model, own, start, min(stop, lengths[info.recording]), 8).mel
        np.testing.assert_allclose(block.series["model"], expected, atol=1e-5)


def test_without_a_sound_the_clock_is_the_signals_own(lab: Lab) -> None:
    montage = Montage.of_session(lab.aligned, lab.names)
    decoder = LiveDecoder(lab.model, lab.config, montage)
    mel = decoder.push(lab.samples(lab.trials[0]))
    seconds = len(lab.samples(lab.trials[0])) / montage.rate_hz
    assert len(mel) / lab.config.mel.frame_rate_hz == pytest.approx(seconds, abs=0.1)


def test_what_is_kept_of_the_past_does_not_grow(lab: Lab) -> None:
    decoder, samples = lab.decoder(lab.trials[0]), lab.samples(lab.trials[0])

    def kept() -> int:
        assert decoder._states is not None
        arrays = [decoder._held, decoder._rows]
        return sum(a.nbytes for a in arrays) + sum(p.nbytes for s in decoder._states for p in s)

    sizes = []
    for _ in range(8):
        for chunk in np.array_split(samples, 20):
            decoder.push(chunk)
        sizes.append(kept())
    assert max(sizes) < 1.1 * sizes[0] + 4096


def test_channels_are_matched_by_name(lab: Lab) -> None:
    montage = Montage.of_session(lab.aligned, lab.names)
    names = list(montage.names)
    assert list(montage.order_of(names[::-1])) == list(range(len(names)))[::-1]
    with pytest.raises(InputError, match=f"no {names[montage.reference.columns[0]]}"):
        montage.order_of([name for name in names if name != names[montage.reference.columns[0]]])
    with pytest.raises(InputError, match="2 times, expected each channel once"):
        montage.order_of([*names, names[montage.reference.columns[0]]])


@pytest.mark.parametrize("shape", [(50,), (50, 3), (50, 7), (1, 50, 6)])
def test_samples_of_other_channels_are_refused(lab: Lab, shape: tuple[int, ...]) -> None:
    decoder = lab.decoder(lab.trials[0])
    assert len(decoder.montage.names) == 6
    with pytest.raises(InputError, match=r"expected samples \(sample, 6\)"):
        decoder.push(np.zeros(shape, np.float32))


def test_samples_that_are_not_finite_are_refused(lab: Lab) -> None:
    decoder, samples = lab.decoder(lab.trials[0]), lab.samples(lab.trials[0])[:50].copy()
    samples[20, decoder.montage.reference.columns[0]] = np.nan
    with pytest.raises(InputError, match="NaN"):
        decoder.push(samples)


def test_models_that_look_ahead_are_refused(lab: Lab) -> None:
    montage = Montage.of_session(lab.aligned, lab.names)
    with pytest.raises(InputError, match="does not look ahead"):
        LiveDecoder(lab.model, lab.config.model_copy(update={"causal": False}), montage)
    train = lab.config.train.model_copy(update={"normalisation": "recording_unlabelled"})
    with pytest.raises(InputError, match="recording_unlabelled"):
        LiveDecoder(lab.model, lab.config.model_copy(update={"train": train}), montage)


class Played:
    """A source that gives the samples of a trial, the second half as another one."""

    def __init__(self, montage: Montage, samples: np.ndarray) -> None:
        self.names, self.rate_hz = montage.names[::-1], montage.rate_hz
        times_s = np.arange(len(samples)) / self.rate_hz + 2.0 * (np.arange(len(samples)) >= len(samples) // 2)
        parts = np.array_split(np.arange(len(samples)), 20)
        self.chunks = [Chunk(samples[part, ::-1], times_s[part]) for part in parts]
        self.stamps = times_s.tolist()

    def read(self) -> Chunk | None:
        return self.chunks.pop(0) if self.chunks else None

    def reconnect(self) -> None:
        raise AssertionError


def test_a_stream_is_decoded_trial_by_trial(lab: Lab, tmp_path: Path) -> None:
    """A gap begins a trial: what comes out is the mel of each part alone, and all of its sound."""
    samples, montage = lab.samples(lab.trials[0]), Montage.of_session(lab.aligned, lab.names)
    decoder = LiveDecoder(lab.model, lab.config, montage)
    half = len(samples) // 2
    first = decoder.push(samples[:half])
    decoder.reset()
    expected = np.concatenate([first, decoder.push(samples[half:])])
    again = LiveDecoder(lab.model, lab.config, montage)
    clock = ClockFile(tmp_path / "clock.tsv", iter(range(10**6)).__next__)
    session = Session(again, StreamingGriffinLim(griffin_lim(), 1), [sink := Kept()], keep=True, clock_file=clock)
    listen(session, played := Played(montage, samples), lambda _: None, queue_s=60)
    clock.close()
    np.testing.assert_allclose(session.mel, expected, atol=SCALE * expected.std(), rtol=0)
    assert sum(map(len, sink.mels)) == len(expected)
    assert sum(map(len, sink.sounds)) == (len(expected) - 2) * 256
    np.testing.assert_array_equal(session.sound, np.concatenate(sink.sounds))
    rows = np.genfromtxt(tmp_path / "clock.tsv", names=True, delimiter="\t")
    out = [(len(mel), len(sound)) for mel, sound in zip(sink.mels, sink.sounds, strict=True) if len(mel) + len(sound)]
    begins = np.cumsum([(0, 0), *out], axis=0)[:-1]
    np.testing.assert_array_equal(np.stack([rows["mel_frame"], rows["sound_sample"]], axis=1), begins)
    np.testing.assert_array_equal(rows["out_s"], np.arange(len(out)))
    assert set(rows["signal_s"][np.isfinite(rows["signal_s"])]) <= {round(s, 6) for s in played.stamps}
    second = rows["trial"] == 1
    assert 0 < second.sum() < len(rows)
    assert np.nanmin(rows["signal_s"][second]) - np.nanmax(rows["signal_s"][~second]) > 2, "across the gap"


@pytest.mark.parametrize("look_ahead", [0, 2, None])
def test_the_delay_is_from_a_moment_of_the_signal_to_its_sound(lab: Lab, look_ahead: int | None) -> None:
    """The signal and its sound have clocks of their own: offset and drift count; None: by the preset of live use."""
    decoder, samples = lab.decoder(lab.trials[0]), lab.samples(lab.trials[0])
    rate_hz, first_s = decoder.montage.rate_hz, decoder.first_frame / decoder.config.mel.frame_rate_hz
    preset = load_config([ROOT / "config/live.yaml"])
    assert preset.causal
    assert preset.vocode.vocoder == "pulses"
    pulses = Pulses(griffin_lim(), preset.vocode.pitch_hz)
    session = Session(decoder, pulses if look_ahead is None else StreamingGriffinLim(griffin_lim(), look_ahead))
    heard, ages_s = 0, []
    for start in range(0, len(samples), 5):
        sound = session.push(samples[start : start + 5])
        now_s = min(len(samples), start + 5) / rate_hz
        if len(sound) and heard:
            ages_s.append(now_s - lab.trials[0].audio_offset_s - first_s - heard / 22050)
        heard += len(sound)
    assert session.delay_s == pytest.approx(max(ages_s), abs=1e-3)
    assert 0.045 + 0.0116 * (look_ahead or 0) < session.delay_s < 0.08 + 0.0116 * (look_ahead or 0)


def test_timing_a_step_leaves_no_trace(lab: Lab) -> None:
    class Slow(StreamingGriffinLim):
        def push(self, log_mel: np.ndarray) -> np.ndarray:
            time.sleep(0.03 * (len(log_mel) == decoder.stepper.step_frames))
            return super().push(log_mel)

    samples, decoder = lab.samples(lab.trials[0]), lab.decoder(lab.trials[0])
    session = Session(decoder, Slow(griffin_lim(), 1))
    assert 0.03 < session.fastest_step_s() < 3
    sound, fresh = session.push(samples), lab.decoder(lab.trials[0])
    np.testing.assert_array_equal(sound, Session(fresh, StreamingGriffinLim(griffin_lim(), 1)).push(samples))
    assert session.n_frames > 0


@pytest.mark.parametrize("lag_ms", [-50, 0, 80])
def test_the_lag_of_an_envelope_is_found(lag_ms: int) -> None:
    rng = np.random.default_rng(0)
    t = np.arange(400) / 86.13
    tones = [(f, p) for f, p in zip(rng.uniform(1, 6, 8), rng.uniform(0, 6, 8), strict=True)]
    true, live = (sum(np.sin(2 * np.pi * f * (t - by) + p) for f, p in tones) for by in (0, lag_ms / 1e3))
    found, largest, at_none = envelope_lag(live, true, 86.13)
    assert found == pytest.approx(lag_ms, abs=1)
    assert largest > 0.99
    assert at_none == pytest.approx(np.corrcoef(live, true)[0, 1], abs=1e-6)
    assert np.isnan(envelope_lag(np.zeros(400), true, 86.13)[1])
    assert abs(envelope_lag(live[:4], true[:4], 86.13)[0]) <= 23, "half of a short one"


@pytest.mark.filterwarnings("error")
def test_one_frame_has_no_lag() -> None:
    lag_ms, *r = envelope_lag(np.ones(1), np.ones(1), 86.13)
    assert lag_ms == 0
    assert np.isnan(r).all()


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.mels: list[np.ndarray] = []
        self.sounds: list[np.ndarray] = []

    def write(self, mel: np.ndarray, sound: np.ndarray) -> None:
        self.mels.append(mel)
        self.sounds.append(sound)

    def close(self) -> None:
        raise AssertionError


@pytest.mark.filterwarnings("error")
def test_the_docs_program_decodes(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = lab.samples(lab.trials[0])
    chunks_left, montage = iter(np.array_split(samples, 100)), lab.decoder(lab.trials[0]).montage

    class Driver:
        labels, rate_hz = montage.names, montage.rate_hz

        def get(self) -> tuple[np.ndarray, None]:
            time.sleep(len(samples) / 100 / self.rate_hz)
            if (chunk := next(chunks_left, None)) is None:
                raise KeyboardInterrupt
            return chunk, None

    monkeypatch.chdir(tmp_path)
    for file in (lab.save(lab.model), lab.aligned):
        stands = "results/train/sim01/fold0/model.ckpt" if file.suffix == ".ckpt" else f"results/aligned/{file.name}"
        Path(stands).parent.mkdir(parents=True)
        Path(stands).symlink_to(file)
    section = (ROOT / "docs/live.md").read_text().partition("## In your own program")[2].partition("\n## ")[0]
    known: dict[str, Any] = {"names_of_my_channels": Driver.labels, "samples": samples, "my_driver": Driver()}
    for program in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
        exec(program, known)
    sound, rate_hz = soundfile.read("live.wav")
    assert rate_hz == 22050
    assert 1 < len(sound) / rate_hz < len(samples) / montage.rate_hz, "some is dropped where the machine is slow"


# --- the command ----------------------------------------------------------------------------------------------------

CHAIN: dict[str, Any] = {
    "causal": True,
    "simulate": {"minutes": 0.75, "trials": 12, "trial_s": 4, "channels": 6},
    "split": {"by": "recording", "folds": 3},
    "model": {"preset": "tiny"},
    "mel": {"flavor": "hifigan"},
    "train": {"max_steps": 20, "steps_per_epoch": 10, "normalisation": "causal_running"},
    "export": {"audio": "none"},
    "predict": {"importance": False},
}


def test_a_quiet_replay_shows_its_score_alone(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.live.command.score_lines", lambda session, _: iter([f"{session.n_frames} frames"]))
    monkeypatch.chdir(lab.work)
    options = ["--config", "config.json", "--run", str(lab.save(lab.model)), "--replay", lab.trials[0].recording]
    assert main(["live", *options, "--speed", "max", "--quiet", "--score", "--seconds", "2"]) == 0
    n, word = capsys.readouterr().out.split()
    assert word == "frames"
    assert 1.5 < int(n) / lab.config.mel.frame_rate_hz < 2


def test_options_that_contradict_each_other_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["live", "--subject", "s", "--replay", "r", "--session", "t", "--wav", "out", "--mel", "./out"]
    assert main(command) == 2
    shown = capsys.readouterr().err
    assert "--session with --replay" in shown
    assert "one file for several outputs" in shown


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_replay_that_is_ended_leaves_whole_files(lab: Lab, tmp_path: Path, number: signal.Signals) -> None:
    files = {name: tmp_path / f"out.{name}" for name in ("wav", "mel", "clock")}
    command = [sys.executable, "-P", "-m", "pipeline", "live", "--config", "config.json"]
    command += ["--run", str(lab.save(lab.model)), "--replay", lab.trials[0].recording]
    command += [word for name, file in files.items() for word in (f"--{name}", str(file))]
    # A shell's background jobs ignore Ctrl-C, and so would the command.
    heeded = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=lab.work, stdout=subprocess.PIPE, text=True, preexec_fn=heeded) as running:
        assert running.stdout is not None
        next(line for line in running.stdout if line.startswith("level"))
        running.send_signal(number)
        assert "interrupted: what was decoded so far is kept" in running.stdout.read()
    assert running.returncode == 0
    mel, (sound, _) = np.load(files["mel"]), soundfile.read(files["wav"])
    assert 0 < len(mel) < 5 * lab.config.mel.frame_rate_hz, "some of the trial"
    assert len(sound) == (len(mel) - 1) * 256
    assert sorted(tmp_path.iterdir()) == sorted(files.values()), "nothing else is left"


@pytest.mark.slow
def test_a_replay_gives_the_predictions_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CHAIN))
    done = snakemake(tmp_path, "results/predictions/sim01/fold0.h5", config=config)
    assert done.returncode == 0, done.stdout[-3000:]
    predicted = read_predicted(tmp_path / "results/predictions/sim01/fold0.h5", PREDICTIONS)
    block = predicted.blocks[-1]  # not the session's first trial, whose statistics begin with nothing
    with contextlib.chdir(tmp_path):
        files = ["--wav", "out.wav", "--mel", "out.npy", "--clock", "clock.tsv"]
        command = ["live", "--config", "config.json", "--subject", "sim01", "--fold", "0", "--replay", block.recording]
        assert main([*command, "--speed", "max", *files, "--score"]) == 0
        shown = capsys.readouterr().out
        assert "compute p50" in shown
        assert re.search(r"at best\n(.*\n)*r -?0\.\d+ over \d+ frames with the true mel", shown)
        assert re.search(r"envelope: r \S+ at a lag of -?\d+ ms, \S+ at none; heard -?\d+ ms late", shown)
        assert re.search(r"STOI -?0\.\d{3}, ESTOI", shown)
        rows = np.genfromtxt("clock.tsv", names=True, delimiter="\t")
        assert rows["signal_s"][-2] <= block.time_s[-1] + 1, "the recording's own time"
        mel = np.load("out.npy")
        model = block.series["model"]
        n = min(len(mel), len(model))
        assert n > 0.95 * len(model)
        np.testing.assert_allclose(mel[:n], model[:n], atol=SCALE * model.std(), rtol=0)
        sound, rate_hz = soundfile.read("out.wav")
        assert (rate_hz, len(sound)) == (22050, len(mel) * 256)
        checkpoint, shape = write_checkpoint(Path("voice"))
        voiced = [*command, "--vocoder", "hifigan", "--wav", "voiced.wav"]
        assert main(voiced) == 2
        assert "[vocode.checkpoint]: got nothing" in capsys.readouterr().err
        voiced += ["--set", f"vocode.checkpoint={checkpoint}", "--set", f"vocode.checkpoint_config={shape}"]
        monkeypatch.setattr(Session, "fastest_step_s", lambda _: 1.0)
        assert main(voiced) == 2
        assert "got 1000 ms of computing for a step, expected at most the 46 ms" in capsys.readouterr().err
        assert not Path("voiced.wav").exists()
        assert main([*voiced, "--speed", "max"]) == 0
        voiced_sound, _ = soundfile.read("voiced.wav")
        offline = HifiGan(checkpoint, read_hifigan_config(shape, MelConfig(flavor="hifigan")))(mel)
        np.testing.assert_allclose(voiced_sound, offline, atol=1e-3)
        if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnx"):
            assert main(["export", *command[1:-2], "--out", "exported", "--licence", "CC0"]) == 0
            assert "step by step, montage of session sim01_run01" in capsys.readouterr().out
            assert "\nCC0." in Path("exported/MODEL_CARD.md").read_text()
        assert main([*command[:-1], "nobody"]) == 2
        assert "a recording of the run's sheet. Fix: Name one of " in capsys.readouterr().err


# --- the vocoder ----------------------------------------------------------------------------------------------------


def voice() -> np.ndarray:
    """Two seconds of a gliding, buzzing tone with syllables, at 22050 Hz."""
    t = np.arange(44100) / 22050
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * t)) / 22050
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    return (0.1 * tone * (0.5 - 0.5 * np.cos(2 * np.pi * 3 * t))).astype(np.float32)


def griffin_lim() -> GriffinLim:
    return GriffinLim(mel_filter_bank(MelConfig()), MelConfig(), VocodeConfig())


@pytest.mark.parametrize("cut", [1, 4, 50])
def test_sound_is_the_same_however_frames_are_cut(cut: int) -> None:
    mel = log_mel(voice(), 22050, MelConfig())[:60]
    whole = StreamingGriffinLim(griffin_lim(), look_ahead=2)
    expected = np.concatenate([whole.push(mel), whole.finish()])
    pieces = [whole.push(mel[i : i + cut]) for i in range(0, len(mel), cut)]
    np.testing.assert_allclose(np.concatenate([*pieces, whole.finish()]), expected, atol=1e-6)
    assert len(expected) == 59 * 256, "as long as offline"


def test_a_stretch_of_sound_waits_for_its_look_ahead_alone() -> None:
    """Sound that is out does not depend on frames more than the stated latency later."""
    mel = log_mel(voice(), 22050, MelConfig())
    streaming = StreamingGriffinLim(griffin_lim(), look_ahead=1)
    out = streaming.push(mel[:80])
    assert len(out) == (80 - 1) * 256 - 512
    changed = mel.copy()
    changed[60:] = -11.5
    streaming.reset()
    other = streaming.push(changed[:80])
    same = int(np.argmax(out != other))
    # Frame 60 is centred on sample 60 * 256; the sound that is final before it came ends here.
    assert 0 <= same - ((60 - 1) * 256 - 512) < 8, "the window begins with a zero"
    first, last = streaming.latency_samples
    assert (first, last) == (512, 768)


def test_look_ahead_buys_quality_near_the_offline_vocoder() -> None:
    true = voice()
    mel = log_mel(true, 22050, MelConfig())

    def error(sound: np.ndarray) -> float:
        again = log_mel(sound.astype(np.float32), 22050, MelConfig())
        n = min(len(again), len(mel))
        loud = mel[:n].mean(axis=1) > mel.mean()
        return float(np.abs(again[:n] - mel[:n])[loud].mean())

    streamed = {}
    for look_ahead in (0, 2):
        streaming = StreamingGriffinLim(griffin_lim(), look_ahead)
        streamed[look_ahead] = error(np.concatenate([streaming.push(mel), streaming.finish()]))
    assert streamed[2] < streamed[0]
    assert streamed[2] < 2 * error(griffin_lim()(mel))


def test_a_trial_that_came_to_the_sheet_later_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session is aligned, without it, and so for a trial before it."""
    rows = [SimpleNamespace(recording=name, session_name="a_1") for name in ("one", "two")]
    plan = SimpleNamespace(rows=rows, sessions={"a_1": SimpleNamespace(trials=rows)})
    for there, lacking in (([], "two"), (["two"], "one")):
        monkeypatch.setattr(command, "aligned_trials", lambda _, t=there: [SimpleNamespace(recording=r) for r in t])
        with pytest.raises(InputError, match=f"got {lacking}, which results/aligned/a_1.h5 lacks"):
            command.replay(plan, Path("model.ckpt"), "two", command.Outputs(), print)  # type: ignore[arg-type]
