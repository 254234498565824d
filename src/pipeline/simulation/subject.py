"""A simulated subject: sound and sEEG like those of a real recording, with known ground truth.

The 70-170 Hz amplitude of the responsive channels follows band energies of the
sound through spectro-temporal fields, on 1/f noise and with the usual faults of
such recordings.  Per recording, in the output folder:

- ``*_eeg.npy``: (time, channel), int16 steps of 0.1 µV or float32 µV, on the neural clock
- ``*_audio.npy``: (samples,) int16
- ``*_channels.tsv``, ``*_electrodes.tsv``, ``*_events.tsv`` with BIDS columns
- ``recordings.tsv`` (the sample sheet) and ``truth.json`` (what a decoder would have to find)

Clock: t_neural = t_audio * (1 + audio_drift_ppm * 1e-6) + audio_offset_s.
Lags: positive = the brain precedes the sound.  Every random number follows from
(seed, subject, recording, purpose, channel): equal configs give equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.fft
import soxr

from pipeline.artifacts.files import atomic_path, write_text, writing
from pipeline.config.simulate import EEG_GAIN_UV, SimulateConfig, simulated_sheet
from pipeline.simulation.clips import Clip, read_clips
from pipeline.simulation.speech import WORDS, speak

Float = npt.NDArray[np.float32]
Rng = np.random.Generator

ENVELOPE_RATE_HZ = 100
HIGH_GAMMA_HZ = (70.0, 170.0)
N_BANDS = 24
CONTACTS_PER_SHAFT = 8

#: Purposes of a random stream; a stream never depends on how much another one drew.
_SOUND, _OTHER_SOUND, _PAUSES, _IMPLANT, _CHANNEL, _SHARED = range(6)

_REGIONS = (
    *("superior temporal gyrus", "precentral gyrus", "inferior frontal gyrus", "insula"),
    *("postcentral gyrus", "middle temporal gyrus", "supramarginal gyrus", "hippocampus"),
)  # fmt: skip


def write_subjects(config: SimulateConfig, out_dir: Path) -> Path:
    """Write all recordings of ``config`` into ``out_dir`` (made if missing); return the sample sheet's path.

    Raises InputError when ``config.speech`` cannot be used.
    """
    clips = read_clips(Path(config.speech), config.audio_rate_hz, config.speech_rate_hz) if config.speech else None
    with writing(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
    rows = simulated_sheet(config)
    recordings = [
        _write_recording(config, row, divmod(index, config.recordings * (config.trials or 1)), clips, out_dir)
        for index, row in enumerate(rows)
    ]
    settings = config.model_dump(mode="json") | {"speech": Path(config.speech).name if config.speech else None}
    truth = {"simulated": True, "config": settings, "recordings": recordings}
    write_text(out_dir / "truth.json", json.dumps(truth, indent=1) + "\n")
    _write_table(out_dir / "recordings.tsv", list(rows[0]), [list(row.values()) for row in rows])
    return out_dir / "recordings.tsv"


# --- One recording --------------------------------------------------------------------------


def _write_recording(
    config: SimulateConfig,
    row: dict[str, str],
    place: tuple[int, int],
    clips: list[Clip] | None,
    out_dir: Path,
) -> dict[str, Any]:
    """Make and write one recording; return what is true of it."""
    subject, _ = place
    implant = make_implant(config, subject)
    sound = make_sound(config, place, _SOUND, clips)
    driving = sound if config.mode != "null" else make_sound(config, place, _OTHER_SOUND, clips)
    eeg, spikes_s = make_eeg(config, place, implant, sound, driving)
    _write_array(out_dir / row["eeg"], eeg)
    _write_array(out_dir / row["audio"], sound.samples)
    _write_tables(config, row, implant, sound, out_dir)
    return {
        "subject": row["subject"],
        "recording": row["recording"],
        "audio_offset_s": config.audio_offset_s,
        "audio_drift_ppm": config.audio_drift_ppm,
        "band_edges_hz": [round(float(f), 2) for f in band_edges_hz(config.audio_rate_hz)],
        "spikes_neural_s": [round(float(s), 4) for s in spikes_s],
        "channels": [channel.truth() for channel in implant],
    }


@dataclass(frozen=True)
class Sound:
    """The sound that drives the response: int16 ``samples`` (n,) and its words on the audio clock."""

    samples: npt.NDArray[np.int16]
    onsets_s: npt.NDArray[np.float64]
    durations_s: npt.NDArray[np.float64]
    labels: list[str]


def make_sound(config: SimulateConfig, place: tuple[int, int], purpose: int, clips: list[Clip] | None) -> Sound:
    """Words, or clips in random order, with pauses of random length until the recording is full.

    It is cut out of a longer stream, so that neither its beginning nor its end is a pause by rule.
    """
    rate_hz = config.audio_rate_hz
    rng = _rng(config, place, purpose)
    pauses = _rng(config, place, purpose, _PAUSES)
    n_samples = round(config.length_s * rate_hz)
    wave = rng.standard_normal(n_samples, np.float32) * np.float32(8.0)
    spoken = _words(config, place[0], rng) if clips is None else _shuffled(clips, rng)
    start = -round(pauses.uniform(0, 3.0) * rate_hz)
    events: list[tuple[int, int, str]] = []
    while start < n_samples:
        clip = next(spoken)
        stop = start + len(clip.samples)
        lo, hi = max(start, 0), min(stop, n_samples)
        if lo < hi:
            wave[lo:hi] += clip.samples[lo - start : hi - start] * np.float32(32000.0)
            events.append((lo, hi, clip.label))
        start = stop + round((0.1 + pauses.gamma(2.0, 0.12)) * rate_hz)
    spans = np.array([event[:2] for event in events], float).reshape(-1, 2) / rate_hz
    samples = np.clip(np.rint(wave), -32768, 32767).astype(np.int16)
    return Sound(samples, spans[:, 0], spans[:, 1] - spans[:, 0], [label for *_, label in events])


def _words(config: SimulateConfig, subject: int, rng: Rng) -> Iterator[Clip]:
    pitch_hz = _rng(config, (subject, 0), _IMPLANT).uniform(95, 145)
    while True:
        word = WORDS[rng.integers(len(WORDS))]
        yield Clip(word, speak(word, config.audio_rate_hz, pitch_hz * rng.lognormal(0, 0.06), rng))


def _shuffled(clips: list[Clip], rng: Rng) -> Iterator[Clip]:
    while True:
        yield from (clips[i] for i in rng.permutation(len(clips)))


# --- Electrodes, and the response of each channel -----------------------------------


@dataclass(frozen=True)
class Blob:
    """A Gaussian patch of a spectro-temporal field; ``lag_s`` > 0: the brain precedes the sound."""

    band: float
    band_width: float
    lag_s: float
    lag_width_s: float
    weight: float


@dataclass(frozen=True)
class Channel:
    """A contact, its state and its field (empty: it does not follow the sound)."""

    name: str
    position_mm: tuple[float, float, float]
    region: str
    state: str
    field: tuple[Blob, ...]
    leaks: bool

    def truth(self) -> dict[str, Any]:
        """Name, state, field and the lag of its strongest patch."""
        strongest = max(self.field, key=lambda blob: abs(blob.weight), default=None)
        return {
            "name": self.name,
            "state": self.state,
            "leaks": self.leaks,
            "peak_lag_s": strongest.lag_s if strongest else None,
            "field": [vars(blob) for blob in self.field],
        }


def make_implant(config: SimulateConfig, subject: int) -> list[Channel]:
    """The subject's channels, equal in all of their recordings."""
    rng = _rng(config, (subject, 0), _IMPLANT, 1)
    n = config.channels
    order = rng.permutation(n)
    state = np.full(n, "good", dtype="<U5")
    state[order[: config.dead_channels]] = "dead"
    state[order[config.dead_channels : config.dead_channels + config.noisy_channels]] = "noisy"
    good = order[config.dead_channels + config.noisy_channels :]
    responsive = set(good[: round(config.responsive_share * len(good))].tolist())
    leaks = set(good[::-1][: config.leak_channels].tolist()) if config.mode == "contaminated" else set()
    fields = [_field(config, rng) for _ in range(n)]
    contacts = _contacts(n, rng)
    return [
        Channel(name, xyz, region, str(state[i]), fields[i] if i in responsive else (), i in leaks)
        for i, (name, xyz, region) in enumerate(contacts)
    ]


def _field(config: SimulateConfig, rng: Rng) -> tuple[Blob, ...]:
    def patch() -> Blob:
        band = rng.uniform(0, N_BANDS - 1)
        width = rng.uniform(1.0, 3.5)
        lag_s = rng.uniform(config.lag_min_s, config.lag_max_s)
        sign = -1 if rng.random() < 0.3 else 1
        values = (band, width, lag_s, rng.uniform(0.02, 0.05), sign * rng.uniform(0.4, 1.0))
        return Blob(*(round(float(value), 4) for value in values))

    return tuple(patch() for _ in range(rng.integers(1, 4)))


def _contacts(n: int, rng: Rng) -> list[tuple[str, tuple[float, float, float], str]]:
    """Name, position [mm] and region of each contact: straight shafts, 3.5 mm from contact to contact."""
    contacts = []
    for shaft in range(-(-n // CONTACTS_PER_SHAFT)):
        side = -1 if shaft % 2 == 0 else 1
        letters = _letters(shaft // 2)
        entry = np.array([side * 62.0, rng.uniform(-50, 30), rng.uniform(-10, 50)])
        direction = np.array([-side, rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3)])
        direction /= np.linalg.norm(direction)
        region = _REGIONS[shaft % len(_REGIONS)]
        for contact in range(min(CONTACTS_PER_SHAFT, n - shaft * CONTACTS_PER_SHAFT)):
            x, y, z = np.round(entry + 3.5 * (CONTACTS_PER_SHAFT - 1 - contact) * direction, 1).tolist()
            contacts.append((f"{'LR'[side > 0]}{letters}{contact + 1}", (x, y, z), region))
    return contacts


def _letters(index: int) -> str:
    """A, B, … Z, AA, AB, …"""
    head, last = divmod(index, 26)
    return (_letters(head - 1) if head else "") + chr(ord("A") + last)


# --- What drives the high gamma ----------------------------------------------------------------


def band_edges_hz(rate_hz: float) -> npt.NDArray[np.float64]:
    """The ``N_BANDS + 2`` corners of the triangular bands, even on O'Shaughnessy's mel scale, 80-8000 Hz."""
    top_hz = min(8000.0, 0.5 * rate_hz)
    return 700 * np.expm1(np.linspace(np.log1p(80 / 700), np.log1p(top_hz / 700), N_BANDS + 2))


def band_energies(samples: npt.NDArray[np.int16], rate_hz: int) -> Float:
    """Log energies (frames, ``N_BANDS``) at 100 Hz, frame k centred on k / 100 s, each band with mean 0 and SD 1."""
    n_fft = 2 ** round(np.log2(0.032 * rate_hz))
    n_frames = len(samples) * ENVELOPE_RATE_HZ // rate_hz + 1
    freqs = np.fft.rfftfreq(n_fft, 1 / rate_hz)
    edges = band_edges_hz(rate_hz)
    bands = np.array([np.interp(freqs, edges[b : b + 3], [0, 1, 0], 0, 0) for b in range(N_BANDS)], np.float32).T
    padded = np.pad(samples, n_fft // 2)
    views = np.lib.stride_tricks.sliding_window_view(padded, n_fft)
    window = np.hanning(n_fft + 1)[:-1].astype(np.float32) / 32768
    energies = np.empty((n_frames, N_BANDS), np.float32)
    for first in range(0, n_frames, 512):
        frames = np.arange(first, min(first + 512, n_frames))
        starts = np.minimum(np.rint(frames * (rate_hz / ENVELOPE_RATE_HZ)).astype(int), len(views) - 1)
        power = np.abs(scipy.fft.rfft(views[starts] * window)) ** 2
        energies[frames] = np.log(power @ bands + 1e-3)
    spread = energies.std(axis=0)
    scaled = (energies - energies.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return scaled - np.float32(0.6) * scaled.mean(axis=1, keepdims=True)


def make_drive(config: SimulateConfig, sound: Sound) -> Float:
    """(frames, bands) at 100 Hz that the fields look at: band energies, or word onsets alone (onset-only)."""
    energies = band_energies(sound.samples, config.audio_rate_hz)
    if config.mode != "onset-only":
        return energies
    pulses = np.zeros(len(energies), np.float32)
    onsets = np.rint(sound.onsets_s[sound.onsets_s > 0] * ENVELOPE_RATE_HZ).astype(int)
    pulses[onsets[onsets < len(pulses)]] = 1.0
    return np.repeat(pulses[:, None], N_BANDS, axis=1)


def respond(field: tuple[Blob, ...], drive: Float) -> npt.NDArray[np.float64]:
    """Response (frames,) of a field, SD 1: at time t it weighs the drive at t + lag."""
    total = np.zeros(len(drive))
    for blob in field:
        in_band = drive @ np.exp(-0.5 * ((np.arange(N_BANDS) - blob.band) / blob.band_width) ** 2)
        half_width = int(np.ceil((abs(blob.lag_s) + 4 * blob.lag_width_s) * ENVELOPE_RATE_HZ))
        lags_s = np.arange(-half_width, half_width + 1) / ENVELOPE_RATE_HZ
        over_lags = np.exp(-0.5 * ((lags_s - blob.lag_s) / blob.lag_width_s) ** 2)
        held = np.pad(in_band, half_width, mode="edge")
        part = np.correlate(held, over_lags, "valid")
        total += blob.weight * part / max(part.std(), 1e-9)
    return total / max(total.std(), 1e-9)


# --- The neural recording ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Clock:
    """Neural samples: how many, their rate, and their times on the audio clock (n,) [s]."""

    rate_hz: int
    audio_s: npt.NDArray[np.float64]

    @property
    def n(self) -> int:
        return len(self.audio_s)


def make_eeg(
    config: SimulateConfig, place: tuple[int, int], implant: list[Channel], sound: Sound, driving: Sound
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """(time, channel) recording of a brain that follows ``driving`` while ``sound`` plays, and its spike times [s]."""
    clock = _clock(config)
    shared_rng = _rng(config, place, _SHARED)
    reference = _pink(clock, shared_rng)
    hum = _line_noise(config, clock, shared_rng)
    spikes_s, spikes_uv = _spikes(config, clock, implant, shared_rng)
    drive = make_drive(config, driving)
    leak = _leaked_sound(config, clock, sound) if config.mode == "contaminated" else None
    eeg = np.empty((clock.n, len(implant)), config.eeg_dtype)
    for i, channel in enumerate(implant):
        rng = _rng(config, place, _CHANNEL, i)
        if channel.state == "dead":
            eeg[:, i] = 0
            continue
        wave = _one_channel(config, clock, channel, drive, reference, leak, rng)
        wave += np.einsum("th,h->t", hum, _loudness_of_hum(config, hum.shape[1], rng))
        for time_s, amplitude_uv in zip(spikes_s, spikes_uv[:, i], strict=True):
            _add_spike(wave, time_s, amplitude_uv, clock.rate_hz)
        wave *= _gain_drift(config, clock, rng)
        eeg[:, i] = np.clip(np.rint(wave / EEG_GAIN_UV), -32768, 32767) if config.eeg_dtype == "int16" else wave
    return eeg, spikes_s


def _clock(config: SimulateConfig) -> _Clock:
    """The neural recording starts with t_neural = 0 and ends a quarter of a second after the sound."""
    speedup = 1 + config.audio_drift_ppm * 1e-6
    duration_s = config.length_s * speedup + config.audio_offset_s + 0.25
    neural_s = np.arange(round(duration_s * config.eeg_rate_hz)) / config.eeg_rate_hz
    return _Clock(config.eeg_rate_hz, (neural_s - config.audio_offset_s) / speedup)


def _one_channel(
    config: SimulateConfig,
    clock: _Clock,
    channel: Channel,
    drive: Float,
    reference: Float,
    leak: Float | None,
    rng: Rng,
) -> Float:
    """Background, high gamma that follows the drive, and what is wrong with the channel [µV]."""
    sd_uv = 40.0 * rng.lognormal(0, 0.25)
    wave = np.float32(sd_uv) * (np.float32(0.9) * _pink(clock, rng) + np.float32(0.43) * reference)
    band_uv = sd_uv * _share_in_high_gamma(clock)
    spontaneous = 0.3 * _smooth_noise(clock, 2.0, rng)
    amplitude = np.exp(spontaneous)
    if channel.field:
        response = respond(channel.field, drive)
        bounded = np.tanh(config.saturation * response) / config.saturation
        times_s = np.arange(len(bounded)) / ENVELOPE_RATE_HZ
        amplitude *= np.exp(0.5 * np.interp(clock.audio_s, times_s, bounded)).astype(np.float32)
    amplitude /= np.sqrt(np.mean(amplitude**2))
    wave += band_uv * 10 ** (config.snr_db / 20) * amplitude * _high_gamma_noise(clock, rng)
    if leak is not None and channel.leaks:
        wave += band_uv * 10 ** (config.leak_db / 20) * rng.uniform(0.8, 1.25) * leak
    if channel.state == "noisy":
        wave += 400 * rng.standard_normal(clock.n, np.float32)
    return wave


def _coloured(clock: _Clock, rng: Rng, shape: npt.NDArray[np.float64]) -> Float:
    """Gaussian noise (n,) of unit power whose amplitude spectrum is ``shape`` (bins of :func:`_freqs_hz`)."""
    white = rng.standard_normal(2 * len(shape), np.float32).view(np.complex64)
    n_fft = 2 * (len(shape) - 1)
    wave = scipy.fft.irfft(white * shape.astype(np.float32), n_fft)[: clock.n]
    sd = 2 * np.sqrt(np.sum(shape[1:-1] ** 2)) / n_fft
    return (wave / sd).astype(np.float32)


def _freqs_hz(clock: _Clock) -> npt.NDArray[np.floating]:
    n_fft = 2 * scipy.fft.next_fast_len(-(-clock.n // 2) + clock.rate_hz, real=True)
    return np.fft.rfftfreq(n_fft, 1 / clock.rate_hz)


def _pink_shape(freqs_hz: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Amplitude of cortical background: power falls as 1/f² above a knee at 3 Hz, on a white floor; no DC."""
    shape = np.sqrt(1 / (3.0**2 + freqs_hz**2) + 2e-7)
    shape[freqs_hz < 0.1] = 0
    return shape


def _pink(clock: _Clock, rng: Rng) -> Float:
    return _coloured(clock, rng, _pink_shape(_freqs_hz(clock)))


def _in_high_gamma(freqs_hz: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    return ((freqs_hz >= HIGH_GAMMA_HZ[0]) & (freqs_hz <= HIGH_GAMMA_HZ[1])).astype(np.float64)


def _share_in_high_gamma(clock: _Clock) -> float:
    """Amplitude of unit-power background within the high-gamma band."""
    freqs_hz = _freqs_hz(clock)
    power = _pink_shape(freqs_hz) ** 2
    return float(np.sqrt(np.sum(power * _in_high_gamma(freqs_hz)) / np.sum(power)))


def _high_gamma_noise(clock: _Clock, rng: Rng) -> Float:
    return _coloured(clock, rng, _in_high_gamma(_freqs_hz(clock)))


def _smooth_noise(clock: _Clock, cutoff_hz: float, rng: Rng) -> Float:
    """Unit-power noise (n,) below ``cutoff_hz``, drawn slowly and interpolated."""
    step_s = 1 / (4 * cutoff_hz)
    knots_s = np.arange(clock.n / clock.rate_hz // step_s + 3) * step_s
    return np.interp(np.arange(clock.n) / clock.rate_hz, knots_s, rng.standard_normal(len(knots_s))).astype(np.float32)


def _line_noise(config: SimulateConfig, clock: _Clock, rng: Rng) -> Float:
    """(n, harmonics) of a line frequency that wanders a little, unit amplitude."""
    wander = np.cumsum(_smooth_noise(clock, 0.1, rng), dtype=np.float64) * (0.02 / clock.rate_hz)
    turns = np.arange(clock.n) * (config.line_noise_hz / clock.rate_hz) + wander
    harmonics = np.arange(1, int(0.45 * clock.rate_hz // config.line_noise_hz) + 1)[:10]
    offsets = rng.uniform(size=len(harmonics))
    return np.stack(
        [
            np.sin(2 * np.pi * ((h * turns + o) % 1.0)).astype(np.float32)
            for h, o in zip(harmonics, offsets, strict=True)
        ],
        axis=1,
    )


def _loudness_of_hum(config: SimulateConfig, n_harmonics: int, rng: Rng) -> Float:
    """Amplitude of each harmonic in one channel [µV]: odd ones stronger, falling with frequency."""
    order = np.arange(1, n_harmonics + 1)
    falling = np.where(order % 2 == 1, 1.0, 0.3) / order
    return (config.line_noise_uv * rng.lognormal(0, 0.5) * falling).astype(np.float32)


def _spikes(
    config: SimulateConfig, clock: _Clock, implant: list[Channel], rng: Rng
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Times (k,) on the neural clock [s] and amplitudes (k, channels) [µV]: each spike is seen around one contact."""
    duration_s = clock.n / clock.rate_hz
    times_s = np.sort(rng.uniform(0, duration_s, rng.poisson(config.spikes_per_minute * duration_s / 60)))
    positions = np.array([channel.position_mm for channel in implant])
    origins = positions[rng.integers(len(implant), size=len(times_s))]
    distance_mm = np.linalg.norm(origins[:, None] - positions, axis=2)
    amplitudes = rng.uniform(300, 900, (len(times_s), 1)) * np.exp(-distance_mm / 8)
    return times_s, np.where(amplitudes > 10, amplitudes, 0)


def _add_spike(wave: Float, time_s: float, amplitude_uv: float, rate_hz: int) -> None:
    """Add a sharp wave of about 60 ms, then a slow one of the other sign, to ``wave`` in place."""
    if amplitude_uv == 0:
        return
    first, last = (round((time_s + edge_s) * rate_hz) for edge_s in (-0.1, 0.5))
    span = slice(max(first, 0), min(last, len(wave)))
    t = np.arange(span.start, span.stop) / rate_hz - time_s
    wave[span] += amplitude_uv * (0.5 * np.exp(-0.5 * ((t - 0.15) / 0.06) ** 2) - np.exp(-0.5 * (t / 0.012) ** 2))


def _gain_drift(config: SimulateConfig, clock: _Clock, rng: Rng) -> Float:
    """Slow factor (n,) around 1: two sines no shorter than a minute or the recording."""
    time_s = np.arange(clock.n, dtype=np.float32) / np.float32(clock.rate_hz)
    longest_s = max(60.0, clock.n / clock.rate_hz)
    sines = [np.sin(2 * np.pi * (time_s / (longest_s * rng.uniform(0.6, 2.0)) + rng.uniform())) for _ in range(2)]
    return np.exp(config.gain_drift * (sines[0] + sines[1])).astype(np.float32)


def _leaked_sound(config: SimulateConfig, clock: _Clock, sound: Sound) -> Float:
    """The waveform itself at the neural sample times, with unit power in 70-170 Hz (microphonic pick-up)."""
    dense_hz = 8 * clock.rate_hz
    narrow = soxr.resample(sound.samples.astype(np.float32), config.audio_rate_hz, clock.rate_hz)
    dense = soxr.resample(narrow, clock.rate_hz, dense_hz)
    leak = np.interp(clock.audio_s, np.arange(len(dense)) / dense_hz, dense, 0.0, 0.0).astype(np.float32)
    freqs_hz = np.fft.rfftfreq(len(leak), 1 / clock.rate_hz)
    in_band = scipy.fft.irfft(scipy.fft.rfft(leak) * _in_high_gamma(freqs_hz).astype(np.float32), len(leak))
    return leak / np.float32(max(float(np.sqrt(np.mean(in_band**2))), 1e-9))


# --- Files ------------------------------------------------------------------------------------------


def _write_tables(
    config: SimulateConfig, row: dict[str, str], implant: list[Channel], sound: Sound, out_dir: Path
) -> None:
    rate = str(config.eeg_rate_hz)
    noisy = [channel.state == "noisy" for channel in implant]
    _write_table(
        out_dir / row["channels"],
        [
            "name",
            "type",
            "units",
            "sampling_frequency",
            "low_cutoff",
            "high_cutoff",
            "status",
            "status_description",
        ],
        [
            [
                c.name,
                "SEEG",
                "uV",
                rate,
                "0.1",
                str(config.eeg_rate_hz / 2),
                *(("bad", "noisy") if n else ("good", "n/a")),
            ]
            for c, n in zip(implant, noisy, strict=True)
        ],
    )
    _write_table(
        out_dir / row["electrodes"],
        ["name", "x", "y", "z", "size", "group", "region"],
        [[c.name, *map(str, c.position_mm), "5", c.name.rstrip("0123456789"), c.region] for c in implant],
    )
    kind = "word" if config.speech is None else "sentence"
    events = zip(sound.onsets_s, sound.durations_s, sound.labels, strict=True)
    _write_table(
        out_dir / row["events"],
        ["onset", "duration", "trial_type", "label"],
        [[f"{onset:.5f}", f"{duration:.5f}", kind, label] for onset, duration, label in events],
    )


def _write_table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    write_text(path, "".join("\t".join(cells) + "\n" for cells in [header, *rows]))


def _write_array(path: Path, array: npt.NDArray[Any]) -> None:
    with atomic_path(path) as part, part.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def _rng(config: SimulateConfig, place: tuple[int, int], *purpose: int) -> Rng:
    return np.random.default_rng([config.seed, *place, *purpose])
