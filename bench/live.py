"""Live decoding: what a step costs, and how long a change in the signal takes to be heard.

    python -m bench.live [--channels 8 32 128 256] [--seconds 20]

Models of the presets ``strong`` and ``large``, two networks and a ridge, with random weights, which cost what
trained ones do.  *First change* is from the first changed sample of two signals to the last sample that has arrived
when their sounds differ.  *Delay* is how far the sound lies behind the signal that it belongs to, where it plays
without a gap: the largest age of the newest sample of sound that is out.  Both are in the signal's own time, with
chunks of 5 ms and without the computing, which stands beside them.  One core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from pipeline.config.align import AlignConfig
from pipeline.config.base import pick
from pipeline.config.ensemble import ModelSettings
from pipeline.config.loader import load_config
from pipeline.config.mel import MelConfig
from pipeline.config.model import ModelConfig
from pipeline.config.train import TrainConfig
from pipeline.config.vocode import VocodeConfig
from pipeline.live.decoder import LiveDecoder
from pipeline.live.montage import Montage
from pipeline.live.replay import Session, chunks
from pipeline.model.ensemble import Ensemble
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture, network_roles, resolve
from pipeline.signal.features.stack import Features
from pipeline.signal.mel import mel_filter_bank
from pipeline.signal.reference import Reference
from pipeline.vocoder.griffin_lim import GriffinLim
from pipeline.vocoder.streaming import StreamingGriffinLim

RATE_HZ, CHUNK_S = 1024.0, 0.005
PRESETS = ("strong", "large")


def session(channels: int, preset: str, look_ahead: int) -> Session:
    """A decoder of high gamma at 1024 Hz, and its vocoder."""
    align, mel = AlignConfig(), MelConfig()
    names = [f"ch{i}" for i in range(channels)]
    reference = Reference.build("none", names, [True] * channels)
    features = Features(align, mel, RATE_HZ)
    columns = np.arange(channels)
    montage = Montage(tuple(names), RATE_HZ, reference, features, align.feature_rate_hz, columns)
    config = pick(ModelSettings, load_config([]).model_copy(update={"causal": True}))
    decoder = LiveDecoder(model(channels, preset), config, montage)
    vocoder = GriffinLim(mel_filter_bank(mel), mel, VocodeConfig())
    return Session(decoder, StreamingGriffinLim(vocoder, look_ahead))


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


def delay_s(channels: int, preset: str, look_ahead: int, seconds: float = 3.0) -> float:
    """The largest age of the newest sample of sound, just before the next ones come [s]."""
    rng = np.random.default_rng(2)
    signal = rng.normal(0, 10, (round(seconds * RATE_HZ), channels)).astype(np.float32)
    own, arrived, out, largest = session(channels, preset, look_ahead), 0, 0, 0.0
    for chunk in in_chunks(signal):
        arrived += len(chunk)
        sound = own.push(chunk)
        if len(sound) and out:
            largest = max(largest, arrived / RATE_HZ - out / own.vocoder.sample_rate_hz)
        out += len(sound)
    return largest


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[8, 32, 128, 256])
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| preset | channels | CPU of a step: p50 | p99 | largest [ms] | due every [ms] |\n|---|---|---|---|---|---|")
    for preset in PRESETS:
        for n in options.channels:
            ms = costs_ms(n, preset, options.seconds)
            p50, p99 = np.percentile(ms, [50, 99])
            print(f"| {preset} | {n} | {p50:.1f} | {p99:.1f} | {ms.max():.1f} | 46.4 |", flush=True)
    print("\n| look-ahead of the vocoder [frames] | first change, worst of eight [ms] | delay [ms] |\n|---|---|---|")
    for look_ahead in (0, 1, 2, 3):
        changed, delay = latency_s(8, "strong", look_ahead), delay_s(8, "strong", look_ahead)
        print(f"| {look_ahead} | {1e3 * changed:.0f} | {1e3 * delay:.0f} |", flush=True)


if __name__ == "__main__":
    main()
