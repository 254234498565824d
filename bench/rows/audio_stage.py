"""The audio stage as a whole process: a 48 kHz int16 file in, a mel artifact out, imports included."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.harness import Contender, Figure, Measured, Run
from bench.rows.signals import sound

TITLE = "audio stage, 10 min of 48 kHz int16 file → mel file, whole process"

OURS = """
import sys
import numpy as np
from pathlib import Path
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.mel import TrialMel, write_mel
from pipeline.config.mel import MelConfig
from pipeline.signal.blocks import array_reader
from pipeline.signal.mel import log_mel_blocks
from pipeline.signal.mel_frames import frame_times_s, n_frames
from pipeline.signal.resample import resample_blocks, resampled_length
source, target = sys.argv[1:]
raw, config = np.load(source, mmap_mode="r"), MelConfig()
sound = np.empty(resampled_length(len(raw), 48000, config.sample_rate_hz), np.float32)
filled = 0
for block in resample_blocks((raw[a : a + 2**16] for a in range(0, len(raw), 2**16)), 48000, config.sample_rate_hz):
    sound[filled : filled + len(block)] = block
    filled += len(block)
frames = n_frames(len(sound), config)
attributes = {"simulated": True, "frame_rate_hz": config.frame_rate_hz, "flavor": config.flavor}
mel = log_mel_blocks(array_reader(sound), len(sound), config)
write_mel(Path(target), [TrialMel("r", mel, frame_times_s(frames, config))], np.array(config.band_edges_hz()[1:-1]),
          attributes | {"log_floor": config.log_floor}, Provenance("{}", {}, []))
"""
LIBROSA = """
import sys, h5py, librosa, numpy as np
raw = np.load(sys.argv[1]).astype(np.float32) / 32768
sound = librosa.resample(raw, orig_sr=48000, target_sr=22050)
mel = librosa.feature.melspectrogram(y=sound, sr=22050, n_fft=1024, hop_length=256, power=1.0, n_mels=80, fmax=8000)
with h5py.File(sys.argv[2], "w") as file:
    file["mel"] = np.log(np.maximum(mel, 1e-5)).T
"""


def prepare(work: Path) -> None:
    np.save(work / "sound.npy", sound(600, 48000))


def _process(code: str, name: str) -> Callable[[Path], Run]:
    def start(work: Path) -> Run:
        command = [sys.executable, "-c", code, str(work / "sound.npy"), str(work / name)]
        return lambda: subprocess.run(command, check=True)

    return start


def largest_difference(work: Path) -> float:
    """Of the two mels, linear, but at the ends: librosa pads with zeros where the definition reflects."""
    import h5py

    with h5py.File(work / "ours.h5") as ours, h5py.File(work / "librosa.h5") as theirs:
        return float(np.abs(np.exp(ours["trials/r/mel/data"][2:-2]) - np.exp(theirs["mel"][2:-2])).max())


def judge(m: Measured) -> list[Figure]:
    return [
        Figure("times faster than librosa", m.faster("ours", "librosa"), ">=", 4.0),
        Figure("its memory, ours over librosa's", m["ours"].peak_mb / m["librosa"].peak_mb, "<=", 0.5),
        Figure("largest difference of the two mels, linear", largest_difference(m.work), "<=", 1e-5),
    ]


CONTENDERS = (Contender("ours", _process(OURS, "ours.h5")), Contender("librosa", _process(LIBROSA, "librosa.h5")))
