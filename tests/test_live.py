"""Streamed equals offline: whatever the chunks, a live decoder gives the offline causal prediction."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from conftest import snakemake
from pipeline.artifacts.aligned import AlignedInfo, aligned_trials, feature_columns
from pipeline.artifacts.predictions import PREDICTIONS, read_predicted
from pipeline.artifacts.recording import open_recording
from pipeline.artifacts.trials import within
from pipeline.cli import main
from pipeline.config.base import pick
from pipeline.config.ensemble import ModelSettings
from pipeline.config.loader import load_config
from pipeline.config.mel import MelConfig
from pipeline.config.vocode import VocodeConfig
from pipeline.data.spans import covered_frames
from pipeline.data.subject import normalised_features, rows_per_frame
from pipeline.errors import InputError
from pipeline.live.decoder import Clock, LiveDecoder
from pipeline.live.montage import Montage
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture
from pipeline.signal.mel import log_mel, mel_filter_bank
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.streaming import StreamingGriffinLim

SESSION, SCALE = "sim01_run01", 1e-4
VARIANTS: dict[str, dict[str, Any]] = {
    "envelope, running normalisation": {
        "align": {
            "features": [{"kind": "band_envelope", "bands": [[70, 170]], "log": True}, {"kind": "low_pass"}],
            "reference": "car",
        },
        "train": {"normalisation": "causal_running"},
    },
    "raw signal": {"align": {"features": [{"kind": "signal"}], "feature_rate_hz": 260}},
}


class Lab:
    """A simulated session of three trials, aligned, and a model with random weights for it."""

    def __init__(self, work: Path, changes: dict[str, Any]) -> None:
        simulate = {"minutes": 0.25, "trials": 3, "trial_s": 5, "channels": 6, "audio_offset_s": 0.137}
        config = {"simulate": simulate, "causal": True, **changes}
        (work / "config.json").write_text(json.dumps(config))
        self.aligned = work / "results/aligned" / f"{SESSION}.h5"
        done = snakemake(work, f"results/aligned/{SESSION}.h5", "--notemp", config=work / "config.json")
        assert done.returncode == 0, done.stdout[-3000:]
        self.recording = work / "results/recordings" / f"{SESSION}.h5"
        self.config = pick(ModelSettings, load_config([work / "config.json"]))
        self.names = feature_columns(self.aligned)
        self.trials = aligned_trials(self.aligned)
        self.model = self._random_model()

    def _random_model(self) -> Ensemble:
        torch.manual_seed(0)
        m = rows_per_frame(self.trials[0].feature_rate_hz, self.config.mel)
        a = Architecture(len(self.names), 80, 96, 26, rows_per_frame=m, causal=True)
        networks = [Seq2Seq(a).eval(), Seq2Seq(Architecture(**a.as_dict() | {"ridge_skip": False})).eval()]
        rows = torch.from_numpy(np.concatenate(self.offline_rows()))
        for network in networks:
            network.fit_normalisation([rows], torch.randn(500, 80))
        skip = networks[0].skip
        assert skip is not None
        n, taps = len(self.names), torch.arange(-26, 1)
        floor = torch.full((n,), 1e-3) if m > 1 else None
        weights = 0.05 * torch.randn(len(taps), n, 80)
        skip.set(0, weights, taps, torch.zeros(80), torch.zeros(n), torch.full((n,), 9.0), floor)
        model = Ensemble.of(networks)
        model.weights.copy_(torch.tensor([0.4, 0.4, 0.2]))
        return model

    def offline_rows(self) -> list[np.ndarray]:
        n_frames = {info.recording: covered_frames(info, self.config.mel)[1] for info in self.trials}
        return normalised_features(self.aligned, self.names, n_frames, self.config)

    def offline(self) -> Iterator[np.ndarray]:
        """The offline prediction of each trial, from its first frame with brain signal to its last."""
        for info, rows in zip(self.trials, self.offline_rows(), strict=True):
            yield predict_continuous(self.model, rows, *covered_frames(info, self.config.mel), 24).mel

    def samples(self, info: AlignedInfo) -> np.ndarray:
        with open_recording(self.recording) as recording:
            return recording.read(within(info.recording, "eeg/data"))

    def decoder(self, info: AlignedInfo) -> LiveDecoder:
        montage = Montage.of_session(self.aligned, self.names)
        clock = Clock(info.audio_offset_s, info.audio_drift_ppm, info.first_feature)
        return LiveDecoder(self.model, self.config, montage, clock=clock)


@pytest.fixture(scope="module", params=list(VARIANTS))
def lab(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("live"), VARIANTS[request.param])


def chunks(n: int, largest: int, rng: np.random.Generator) -> Iterator[slice]:
    start = 0
    while start < n:
        stop = min(n, start + int(rng.integers(1, largest + 1)))
        yield slice(start, stop)
        start = stop


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


# --- the command ----------------------------------------------------------------------------------------------------

CHAIN: dict[str, Any] = {
    "causal": True,
    "simulate": {"minutes": 0.75, "trials": 12, "trial_s": 4, "channels": 6},
    "split": {"by": "recording", "folds": 3},
    "model": {"preset": "tiny"},
    "train": {"max_steps": 20, "steps_per_epoch": 10, "normalisation": "causal_running"},
    "export": {"audio": "none"},
    "predict": {"importance": False},
}


@pytest.mark.slow
def test_a_replay_gives_the_predictions_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CHAIN))
    done = snakemake(tmp_path, "results/predictions/sim01/fold0.h5", config=config)
    assert done.returncode == 0, done.stdout[-3000:]
    predicted = read_predicted(tmp_path / "results/predictions/sim01/fold0.h5", PREDICTIONS)
    block = predicted.blocks[-1]  # not the session's first trial, whose statistics begin with nothing
    with contextlib.chdir(tmp_path):
        command = ["live", "--config", "config.json", "--subject", "sim01", "--fold", "0", "--replay", block.recording]
        assert main([*command, "--speed", "max", "--wav", "out.wav", "--mel", "out.npy", "--score"]) == 0
        shown = capsys.readouterr().out
        assert "compute p50" in shown
        assert "with the true mel" in shown
        mel = np.load("out.npy")
        model = block.series["model"]
        n = min(len(mel), len(model))
        assert n > 0.95 * len(model)
        np.testing.assert_allclose(mel[:n], model[:n], atol=SCALE * model.std(), rtol=0)
        sound, rate_hz = soundfile.read("out.wav")
        assert (rate_hz, len(sound)) == (22050, (len(mel) - 1) * 256)
        assert main([*command[:-1], "nobody"]) == 2
        assert "a recording of the run's sheet" in capsys.readouterr().err


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
