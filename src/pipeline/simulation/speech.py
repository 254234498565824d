"""Speech-like sound: made-up words spoken by a small formant synthesiser.

A word is a string of phonemes.  Each phoneme has formant targets, a voicing and a
noise level; smoothed tracks of these shape a glottal pulse train and white noise
in the short-time Fourier domain (source-filter model, Fant 1960).  The words
differ in voicing, formants and friction, so mel bands vary apart from loudness.

Output: float32 waveforms (samples,) in [-1, 1] at any rate.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Wave = npt.NDArray[np.float32]


class Phoneme(NamedTuple):
    """Targets of one speech sound; a missing noise centre means noise through the formants."""

    duration_s: float
    formants_hz: tuple[float, float, float]
    voicing: float
    noise: float = 0.0
    noise_centre_hz: float = 0.0
    noise_octaves: float = 0.5


_SCHWA = (500.0, 1450.0, 2500.0)
PHONEMES = {
    "a": Phoneme(0.13, (760, 1250, 2500), 1.0),
    "e": Phoneme(0.12, (500, 1850, 2550), 0.9),
    "i": Phoneme(0.11, (290, 2250, 3000), 0.8),
    "o": Phoneme(0.13, (480, 880, 2450), 0.9),
    "u": Phoneme(0.11, (320, 780, 2300), 0.8),
    "y": Phoneme(0.10, (280, 1750, 2150), 0.8),
    "m": Phoneme(0.08, (250, 1050, 2200), 0.35),
    "n": Phoneme(0.07, (250, 1650, 2600), 0.35),
    "l": Phoneme(0.07, (350, 1150, 2750), 0.5),
    "r": Phoneme(0.07, (420, 1250, 1650), 0.5),
    "w": Phoneme(0.06, (300, 650, 2200), 0.4),
    "j": Phoneme(0.06, (280, 2200, 2900), 0.4),
    "h": Phoneme(0.07, _SCHWA, 0.0, 0.25),
    "s": Phoneme(0.12, _SCHWA, 0.0, 0.30, 6300, 0.4),
    "S": Phoneme(0.12, _SCHWA, 0.0, 0.35, 3000, 0.4),
    "f": Phoneme(0.10, _SCHWA, 0.0, 0.12, 5000, 1.2),
    "z": Phoneme(0.09, (280, 1500, 2500), 0.3, 0.18, 5800, 0.5),
    "v": Phoneme(0.07, (280, 1100, 2300), 0.4, 0.06, 4000, 1.2),
    "_": Phoneme(0.06, _SCHWA, 0.0),
    "=": Phoneme(0.05, (220, 1000, 2300), 0.15),
    "p": Phoneme(0.03, _SCHWA, 0.0, 0.40, 900, 1.0),
    "t": Phoneme(0.03, _SCHWA, 0.0, 0.45, 4300, 0.6),
    "k": Phoneme(0.035, _SCHWA, 0.0, 0.45, 1900, 0.5),
}
_SPELLED = {"p": "_p", "t": "_t", "k": "_k", "b": "=p", "d": "=t", "g": "=k"}

#: Each word is written as it is spoken.
WORDS = (
    *("sami", "pola", "tiku", "nero", "bada", "gosi", "milu", "waSe", "foni", "deva"),
    *("zula", "rike", "haSo", "lemu", "kata", "pisu", "vano", "jury", "Sola", "fite"),
    *("moga", "so", "kanomi", "Sel", "mun", "gravi", "hyse", "tarolu", "biSi", "wen"),
)  # fmt: skip

_FRAME_S = 1024 / 48000
_UPPER_FORMANTS_HZ = (3500.0, 4500.0)
_BANDWIDTHS_HZ = (70.0, 100.0, 140.0, 220.0, 300.0)


def speak(word: str, rate_hz: int, pitch_hz: float, rng: np.random.Generator) -> Wave:
    """One utterance of ``word`` at about ``pitch_hz``; tempo, melody and loudness vary with ``rng``."""
    n_fft = 2 ** round(np.log2(_FRAME_S * rate_hz))
    hop = n_fft // 4
    tracks = _tracks(word, hop / rate_hz, tempo=rng.lognormal(0.0, 0.12))
    voiced, noisy = _gains(tracks, np.fft.rfftfreq(n_fft, 1 / rate_hz))
    n_samples = (len(tracks) - 1) * hop + n_fft
    spectrum = voiced * _stft(_pulses(n_samples, rate_hz, pitch_hz, rng), n_fft, hop)
    spectrum += noisy * _stft(rng.standard_normal(n_samples, np.float32), n_fft, hop)
    wave = _overlap_add(np.fft.irfft(spectrum, n_fft), hop)
    level = 0.12 * 10 ** (rng.normal(0.0, 1.5) / 20)
    return np.tanh(wave * (level / np.sqrt(np.mean(wave**2)))).astype(np.float32)


def _tracks(word: str, step_s: float, tempo: float) -> npt.NDArray[np.float64]:
    """(frames, 7): three formants [Hz], voicing, noise, noise centre [log2 Hz, 0 = formants], its octaves."""
    rows: list[tuple[float, ...]] = []
    for symbol in "".join(_SPELLED.get(letter, letter) for letter in word):
        sound = PHONEMES[symbol]
        centre = np.log2(sound.noise_centre_hz) if sound.noise_centre_hz else 0.0
        row = (*sound.formants_hz, sound.voicing, sound.noise, centre, sound.noise_octaves)
        rows += [row] * max(1, round(sound.duration_s * tempo / step_s))
    quiet = round(0.015 / step_s)
    rows = [(*rows[0][:3], 0, 0, *rows[0][5:])] * quiet + rows + [(*rows[-1][:3], 0, 0, *rows[-1][5:])] * quiet
    tracks = np.array(rows)
    tracks[:, :3] = _smooth(tracks[:, :3], round(0.05 / step_s))
    tracks[:, 3:5] = _smooth(tracks[:, 3:5], round(0.02 / step_s))
    return tracks


def _smooth(tracks: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """Each column under a Hann window of about 2 ``width`` frames, ends held."""
    window = np.hanning(2 * width + 1)
    padded = np.pad(tracks, ((width, width), (0, 0)), mode="edge")
    return np.stack([np.convolve(column, window / window.sum(), "valid") for column in padded.T], axis=1)


def _gains(
    tracks: npt.NDArray[np.float64], freqs_hz: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Gains (frames, bins) of the pulse train and of the noise: cascaded resonances, and a bump in log frequency."""
    tube = np.ones((len(tracks), len(freqs_hz)))
    upper = [np.full(len(tracks), f) for f in _UPPER_FORMANTS_HZ]
    for formant, bandwidth in zip([*tracks[:, :3].T, *upper], _BANDWIDTHS_HZ, strict=True):
        f2 = formant[:, None] ** 2
        tube *= f2 / np.sqrt((f2 - freqs_hz**2) ** 2 + (bandwidth * freqs_hz) ** 2)
    tilt = 1 / (1 + freqs_hz / 600)
    octaves = np.log2(np.maximum(freqs_hz, 20.0)) - tracks[:, 5:6]
    bump = np.exp(-0.5 * (octaves / tracks[:, 6:7]) ** 2)
    shape = np.where(tracks[:, 5:6] > 0, bump, 0.3 * tube)
    return tracks[:, 3:4] * tube * tilt, tracks[:, 4:5] * shape


def _pulses(n_samples: int, rate_hz: int, pitch_hz: float, rng: np.random.Generator) -> Wave:
    """Glottal pulses whose pitch falls over the word, as smooth von Mises bumps (no aliasing), unit power."""
    start, end = pitch_hz * rng.uniform(1.0, 1.25), pitch_hz * rng.uniform(0.8, 0.95)
    wobble = 1 + 0.02 * np.sin(2 * np.pi * (5.5 * np.arange(n_samples) / rate_hz + rng.uniform()))
    phase = 2 * np.pi * np.cumsum(np.linspace(start, end, n_samples) * wobble) / rate_hz
    wave = np.exp(1200 * (np.cos(phase) - 1))
    wave -= wave.mean()
    return (wave / wave.std()).astype(np.float32)


def _stft(wave: Wave, n_fft: int, hop: int) -> npt.NDArray[np.complexfloating]:
    frames = np.lib.stride_tricks.sliding_window_view(wave, n_fft)[::hop]
    return np.fft.rfft(frames * np.hanning(n_fft + 1)[:-1].astype(np.float32))


def _overlap_add(frames: npt.NDArray[np.floating], hop: int) -> npt.NDArray[np.float64]:
    """Sum of frames (frame, samples) laid ``hop`` apart; the frame length is a multiple of ``hop``."""
    n_frames, n_fft = frames.shape
    pieces = frames.reshape(n_frames, n_fft // hop, hop)
    total = np.zeros((n_frames + n_fft // hop - 1, hop))
    for i in range(n_fft // hop):
        total[i : i + n_frames] += pieces[:, i]
    return total.ravel()
