"""Live decoding: what a step costs, and how long a change in the signal takes to be heard.

    python -m bench.live [--channels 8 32 128 256] [--seconds 20]
    python -m bench.live --minutes 60   # one long trial at full speed: frames, memory, speed
    python -m bench.live --lsl          # through the Lab Streaming Layer on this machine
    python -m bench.live --hifigan CHECKPOINT CONFIG --speech CLIP.npy   # HiFi-GAN as frames come, of true mel

Models of the presets ``strong`` and ``large``, two networks and a ridge, with random weights, which cost what
trained ones do.  *First change* is from the first changed sample of two signals to the last sample that has arrived
when their sounds differ.  *Delay* is how far the sound lies behind the signal that it belongs to, where it plays
without a gap: the largest age of the newest sample of sound that is out.  *Heard* is the lag at which the envelopes of
the sound, played with that delay, and of the signal correlate most, where mel bands follow the logarithm of the
features and nothing else.  All are in the signal's own time, with chunks of 5 ms and without the computing, which
stands beside them.  One core.  Through LSL it is the time on the wall from sending the first changed sample to
receiving the first changed sample of sound, computing included.
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import time
import wave
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import numpy as np
import psutil
import torch
from scipy.signal import butter, sosfiltfilt

from pipeline.config.align import AlignConfig
from pipeline.config.base import pick
from pipeline.config.ensemble import ModelSettings
from pipeline.config.loader import load_config
from pipeline.config.mel import MelConfig
from pipeline.config.model import ModelConfig
from pipeline.config.train import TrainConfig
from pipeline.config.vocode import VocodeConfig
from pipeline.evaluation.intelligibility import intelligibility
from pipeline.live.decoder import LiveDecoder
from pipeline.live.listen import listen
from pipeline.live.lsl import LslSink, LslSource, write_loopback
from pipeline.live.montage import Montage
from pipeline.live.replay import Session, chunks
from pipeline.live.score import envelope_lag
from pipeline.live.sinks import MelSink, Sink, WavSink
from pipeline.model.ensemble import Ensemble
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture, network_roles, resolve
from pipeline.signal.features.stack import Features
from pipeline.signal.mel import log_mel, mel_filter_bank
from pipeline.signal.reference import Reference
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.hifigan import Generator, HifiGan, StreamingHifiGan
from pipeline.vocoder.hifigan_config import read_hifigan_config
from pipeline.vocoder.streaming import StreamingGriffinLim

RATE_HZ, CHUNK_S = 1024.0, 0.005
PRESETS = ("strong", "large")


def session(channels: int, preset: str, look_ahead: int, network: Ensemble | None = None) -> Session:
    """A decoder of high gamma at 1024 Hz, and its vocoder."""
    mel = MelConfig()
    vocoder = StreamingGriffinLim(GriffinLim(mel_filter_bank(mel), mel, VocodeConfig()), look_ahead)
    return Session(decoder(mel, network or model(channels, preset)), vocoder)


def decoder(mel: MelConfig, network: Ensemble) -> LiveDecoder:
    """For high gamma at 1024 Hz."""
    align, channels = AlignConfig(), network.a.n_channels
    names = [f"ch{i}" for i in range(channels)]
    reference = Reference.build("none", names, [True] * channels)
    features = Features(align, mel, RATE_HZ)
    columns = np.arange(channels)
    montage = Montage(tuple(names), RATE_HZ, reference, features, align.feature_rate_hz, columns)
    config = pick(ModelSettings, load_config([]).model_copy(update={"causal": True, "mel": mel}))
    return LiveDecoder(network, config, montage)


def model(channels: int, preset: str) -> Ensemble:
    """Two networks of a preset, as ``auto`` trains them."""
    torch.manual_seed(0)
    base = Architecture(channels, 80, length_frames=96, context_frames=26, causal=True)
    keys = ModelConfig()
    sizes = [resolve(role, preset, base, keys, TrainConfig())[0] for role in network_roles(keys)]  # type: ignore[arg-type]
    networks = [Seq2Seq(replace(a, causal=True)).eval() for a in sizes]
    for network in networks:
        network.mel_mean.fill_(-5.0)
        network.feature_scale.fill_(5.0)
    if networks[0].skip is not None:
        networks[0].skip.weight[..., :27].normal_(0, 0.02)
    found = Ensemble.of(networks)
    found.weights.copy_(torch.tensor([0.4, 0.4, 0.2]))
    return found


def in_chunks(signal: np.ndarray) -> Iterator[np.ndarray]:
    """The signal in chunks of 5 ms."""
    return chunks(lambda a, b: signal[a:b], len(signal), round(CHUNK_S * RATE_HZ))


def latency_s(channels: int, preset: str, look_ahead: int, seconds: float = 3.0) -> float:
    """From a changed sample to the arrival of the chunk that changes the sound; the worst of eight places [s]."""
    rng = np.random.default_rng(1)
    signal = rng.normal(0, 10, (round(seconds * RATE_HZ), channels)).astype(np.float32)
    worst = 0.0
    for place in np.linspace(0.4, 0.6, 8):
        n = round(place * len(signal))
        other = signal.copy()
        other[n:] *= 5
        one, two = session(channels, preset, look_ahead), session(channels, preset, look_ahead)
        arrived = 0
        for a, b in zip(in_chunks(signal), in_chunks(other), strict=True):
            arrived += len(a)
            if not np.array_equal(one.push(a), two.push(b)):
                worst = max(worst, (arrived - n) / RATE_HZ)
                break
    return worst


def delay_s(own: Session, seconds: float = 3.0) -> float:
    """The largest age of the newest sample of sound, just before the next ones come [s]."""
    rng = np.random.default_rng(2)
    n_channels = len(own.decoder.montage.names)
    for chunk in in_chunks(rng.normal(0, 10, (round(seconds * RATE_HZ), n_channels)).astype(np.float32)):
        own.push(chunk)
    return own.delay_s


def heard_ms(look_ahead: int, seconds: float = 30.0, channels: int = 8) -> float:
    """Lag of the sound that is played, against the envelope of noise that the signal is [ms]."""
    rng, n = np.random.default_rng(5), round(seconds * RATE_HZ)
    loudness = sosfiltfilt(butter(2, 6, fs=RATE_HZ, output="sos"), rng.normal(0, 12, n))  # syllables; logarithm
    signal = rng.normal(0, 10, (n, channels)) * np.exp(loudness)[:, None]
    followed = model(channels, "tiny")
    skip, network = followed.networks[0].skip, followed.networks[0]
    assert skip is not None
    log_gamma = torch.full((channels,), 1.0)
    weights = torch.full((1, channels, network.a.n_bands), 1 / channels)
    zeros = torch.zeros(network.a.n_bands)
    skip.set(0, weights, torch.zeros(1, dtype=torch.long), zeros, log_gamma, log_gamma, torch.full((channels,), 1e-3))
    followed.weights.copy_(torch.tensor([0.0, 0.0, 1.0]))
    own = replace(session(channels, "tiny", look_ahead, followed), keep=True)
    for chunk in in_chunks(signal.astype(np.float32)):
        own.push(chunk)
    mel, grid = log_mel(own.sound, 22050, MelConfig()), own.decoder.config.mel
    frames_s = (own.decoder.first_frame + np.arange(len(mel))) / grid.frame_rate_hz
    true = np.interp(frames_s, np.arange(n) / RATE_HZ, loudness)
    return envelope_lag(mel.mean(axis=1), true, grid.frame_rate_hz)[0] + 1e3 * own.delay_s


def costs_ms(channels: int, preset: str, seconds: float) -> np.ndarray:
    """Time of each step, features and vocoder included [ms]."""
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 10, (round(seconds * RATE_HZ), channels)).astype(np.float32)
    own, spent, found = session(channels, preset, 2), 0.0, []
    for chunk in in_chunks(signal):
        started = time.process_time()
        made = len(own.push(chunk)) > 0
        spent += time.process_time() - started
        if made:
            found.append(1e3 * spent)
            spent = 0.0
    return np.array(found[5:])


def long_trial(minutes: float, channels: int = 8, preset: str = "tiny") -> None:
    """One trial into files, at full speed: frames that came out and that are due, and memory every ten minutes.

    The vocoder iterates once, for speed: neither counts nor memory depend on that.
    """
    rng = np.random.default_rng(3)
    minute = rng.normal(0, 10, (round(60 * RATE_HZ), channels)).astype(np.float32)
    with TemporaryDirectory() as folder:
        sinks: list[Sink] = [WavSink(Path(folder) / "sound.wav", 22050), MelSink(Path(folder) / "mel.npy", 80)]
        own = replace(session(channels, preset, look_ahead=0), sinks=sinks)
        assert isinstance(own.vocoder, StreamingGriffinLim)
        own.vocoder.iterations = 1
        process, started = psutil.Process(), time.process_time()
        columns = ("minutes", "frames out", "frames due", "behind", "RSS [MB]", "CPU of a minute [s]")
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        for done in range(1, round(minutes) + 1):
            for chunk in chunks(lambda a, b: minute[a:b], len(minute), round(0.1 * RATE_HZ)):
                own.push(chunk)
            if done % 10 in (0, 1):
                frames, due = own.n_frames, frames_due(own, done * len(minute))
                rss, cpu = process.memory_info().rss / 1e6, (time.process_time() - started) / done
                print(f"| {done} | {frames} | {due} | {due - frames} | {rss:.0f} | {cpu:.1f} |", flush=True)
        own.finish()
        for sink in sinks:
            sink.close()
        with wave.open(f"{folder}/sound.wav") as wav:
            hops = wav.getnframes() / 256 - own.n_frames
            print(f"sound: {wav.getnframes()} samples, {hops:+.0f} hops against the mel")


def frames_due(own: Session, n_samples: int) -> int:
    """Mel frames of whole steps whose last feature lies in so many samples: what exact arithmetic gives."""
    decoder = own.decoder
    rate_hz, frame_hz = Fraction(decoder.montage.feature_rate_hz), Fraction(22050, 256)
    last_feature = floor(Fraction(n_samples - 1) / Fraction(RATE_HZ) * rate_hz)
    # Frame f takes the latest feature up to f / frame_hz; all those below the next feature are there.
    frames = ceil(Fraction(last_feature + 1) / rate_hz * frame_hz) - decoder.first_frame
    return frames // decoder.stepper.step_frames * decoder.stepper.step_frames


def through_lsl(look_ahead: int, channels: int = 8, preset: str = "strong", seconds: float = 3.0) -> list[float]:
    """Times from a changed sample to changed sound, of four places [s].

    A run with a fault, of a machine that was too busy, is made again.
    """
    rng = np.random.default_rng(4)
    signal = rng.normal(0, 10, (round(seconds * RATE_HZ), channels)).astype(np.float32)
    sound, _, _ = _played(signal, look_ahead, preset)
    found = []
    for place in np.linspace(0.5, 0.6, 4):
        n, other = round(place * len(signal)), signal.copy()
        other[n:] *= 5
        changed, came_s, sent_s = _played(other, look_ahead, preset)
        k = min(len(sound), len(changed))
        first = int(np.argmax(np.abs(changed[:k] - sound[:k]) > 1e-3 * np.abs(sound[:k]).max()))
        found.append(float(came_s[first] - sent_s[n]))
    return found


def _played(signal: np.ndarray, look_ahead: int, preset: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sound received for a signal sent, when each of its samples came, and when each of the signal's was sent [s]."""
    import pylsl

    name, n_channels = f"bench-{secrets.token_hex(4)}", signal.shape[1]
    info = pylsl.StreamInfo(name, "EEG", n_channels, RATE_HZ, pylsl.cf_float32, name)
    labels = info.desc().append_child("channels")
    for i in range(n_channels):
        labels.append_child("channel").append_child_value("label", f"ch{i}")
    outlet, sent_s = pylsl.StreamOutlet(info), np.zeros(len(signal))
    sink, own = LslSink(name, 80, 22050 / 256, 22050), session(n_channels, preset, look_ahead)
    inlet = pylsl.StreamInlet(pylsl.resolve_byprop("name", f"{name}-sound", 1, 5.0)[0], as_numpy=True)
    inlet.open_stream(5.0)
    sounds: list[tuple[np.ndarray, float]] = []
    said: list[str] = []
    ended = Event()

    def send() -> None:
        outlet.wait_for_consumers(5.0)
        started, size = time.perf_counter(), round(CHUNK_S * RATE_HZ)
        for i in range(0, len(signal), size):
            part, due = signal[i : i + size], started + (i + size) / RATE_HZ
            time.sleep(max(0.0, due - time.perf_counter()))
            sent_s[i : i + size] = time.perf_counter()
            outlet.push_chunk(part, pylsl.local_clock())

    def receive() -> None:
        while not ended.is_set():
            samples, _ = inlet.pull_chunk(timeout=0.2, min_samples=1, max_samples=4096)
            if len(samples):
                sounds.append((np.asarray(samples)[:, 0], time.perf_counter()))

    threads = [Thread(target=send), Thread(target=receive)]
    source = LslSource(name)
    for thread in threads:
        thread.start()
    listen(replace(own, sinks=[sink]), source, said.append, seconds=len(signal) / RATE_HZ + 0.5)
    ended.set()
    for thread in threads:
        thread.join()
    faults = [text for text in said if not text.startswith("level")]
    if faults:
        print(f"again: {'; '.join(faults)}", file=sys.stderr)
        return _played(signal, look_ahead, preset)
    came_s = np.repeat([at for _, at in sounds], [len(part) for part, _ in sounds])
    return np.concatenate([part for part, _ in sounds]), came_s, sent_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[8, 32, 128, 256])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--lsl", action="store_true")
    parser.add_argument("--delays", action="store_true", help="the table of delays alone")
    parser.add_argument("--hifigan", type=Path, nargs=2, metavar=("CHECKPOINT", "CONFIG"))
    parser.add_argument("--speech", type=Path, help="int16 at 22 050 Hz")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.minutes:
        long_trial(options.minutes)
    elif options.lsl:
        lsl_table()
    elif options.hifigan:
        checkpoint, config = options.hifigan
        hifigan_table(checkpoint, config, options.speech, options.seconds)
    elif options.delays:
        delays()
    else:
        tables(options.channels, options.seconds)


def lsl_table() -> None:
    """End to end on loopback."""
    with TemporaryDirectory() as folder:
        write_loopback(Path(folder) / "loopback.cfg")
        print("| look-ahead of the vocoder [frames] | smallest | median | largest of four [ms] |\n|---|---|---|---|")
        for look_ahead in (0, 2):
            ms = 1e3 * np.array(through_lsl(look_ahead))
            print(f"| {look_ahead} | {ms.min():.0f} | {np.median(ms):.0f} | {ms.max():.0f} |", flush=True)


def tables(channels: list[int], seconds: float) -> None:
    """Cost of a step, and delays in the signal's own time."""
    print("| preset | channels | CPU of a step: p50 | p99 | largest [ms] | due every [ms] |\n|---|---|---|---|---|---|")
    for preset in PRESETS:
        for n in channels:
            ms = costs_ms(n, preset, seconds)
            p50, p99 = np.percentile(ms, [50, 99])
            print(f"| {preset} | {n} | {p50:.1f} | {p99:.1f} | {ms.max():.1f} | 46.4 |", flush=True)
    delays()


def delays() -> None:
    """Delays in the signal's own time."""
    columns = ("look-ahead of the vocoder [frames]", "first change, worst of eight [ms]", "delay [ms]", "heard [ms]")
    print(f"\n| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for look_ahead in (0, 1, 2, 3):
        changed, delay = latency_s(8, "strong", look_ahead), delay_s(session(8, "strong", look_ahead))
        print(f"| {look_ahead} | {1e3 * changed:.0f} | {1e3 * delay:.0f} | {heard_ms(look_ahead):.0f} |", flush=True)


# --- HiFi-GAN -------------------------------------------------------------------------------------------------------

#: Keys of the config.json of the published generators that differ from v1.
SMALLER: dict[str, dict[str, Any]] = {
    "v2": {"upsample_initial_channel": 128},
    "v3": {
        "upsample_initial_channel": 256, "resblock": "2", "upsample_rates": [8, 8, 4],
        "upsample_kernel_sizes": [16, 16, 8], "resblock_kernel_sizes": [3, 5, 7],
        "resblock_dilation_sizes": [[1, 2], [2, 6], [3, 12]],
    },
}  # fmt: skip


def hifigan_table(checkpoint: Path, config: Path, speech: Path, seconds: float) -> None:
    """Sound of a trained v1 of true mel against the offline one, and what steps cost; v2 and v3 of random weights."""
    mel = MelConfig(flavor="hifigan")
    true = np.load(speech, allow_pickle=False)[: round(seconds * 22050)].astype(np.float32) / 32768
    target = log_mel(true, 22050, mel)
    columns = ("generator", "look-ahead [frames]", "largest difference", "STOI", "ESTOI", "delay [ms]",
               "CPU of a step: p50", "p99 [ms]")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    trained = HifiGan(checkpoint, read_hifigan_config(config, mel))
    whole = trained(target)
    print(f"| v1 | offline | | {_scores(true, whole)} | | | |", flush=True)
    for look_ahead in (0, 4, 8, trained.receptive_field):
        sound, ms = _stepped(StreamingHifiGan(trained, look_ahead), target)
        difference = np.abs(sound - whole).max()
        print(f"| v1 | {look_ahead} | {difference:.0e} | {_scores(true, sound)} | {_costs(trained, look_ahead, ms)}")
    for name, keys in SMALLER.items():
        with TemporaryDirectory() as folder:
            file, weights = Path(folder) / "config.json", Path(folder) / "generator.pth"
            file.write_text(json.dumps(json.loads(config.read_text()) | keys))
            shape = read_hifigan_config(file, mel)
            torch.save({"generator": Generator(shape).state_dict()}, weights)
            random = HifiGan(weights, shape)
        field = random.receptive_field
        print(f"| {name} | {field} | | | | {_costs(random, field, _stepped(StreamingHifiGan(random), target)[1])}")


def _stepped(vocoder: StreamingHifiGan, mel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sound of a mel in steps of 4 frames, and the CPU time of each step that reads all it can [ms]."""
    sounds, ms = [], []
    for start in range(0, len(mel), 4):
        started = time.process_time()
        sounds.append(vocoder.push(mel[start : start + 4]))
        if vocoder.reads < start + 4 <= len(mel):
            ms.append(1e3 * (time.process_time() - started))
    return np.concatenate([*sounds, vocoder.finish()]), np.array(ms)


def _scores(true: np.ndarray, sound: np.ndarray) -> str:
    found = intelligibility(true[: len(sound)], sound[: len(true)], 22050)
    assert not isinstance(found, str)
    return f"{found[0]:.3f} | {found[1]:.3f}"


def _costs(vocoder: HifiGan, look_ahead: int, ms: np.ndarray) -> str:
    own = Session(decoder(MelConfig(flavor="hifigan"), model(8, "tiny")), StreamingHifiGan(Silent(vocoder), look_ahead))
    p50, p99 = np.percentile(ms, [50, 99])
    return f"{1e3 * delay_s(own):.0f} | {p50:.0f} | {p99:.0f} |"


class Silent(HifiGan):
    """Sound comes when it would, and costs nothing."""

    def __init__(self, like: HifiGan) -> None:
        self.__dict__ |= like.__dict__

    def within(self, log_mel: np.ndarray, start: int, stop: int) -> np.ndarray:
        return np.zeros((stop - start) * self.hop, np.float32)


if __name__ == "__main__":
    main()
