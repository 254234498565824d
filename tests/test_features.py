"""Neural features: they are what the textbook chain gives, however they are cut into blocks."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import soxr
from pydantic import Field, ValidationError
from scipy import signal

from pipeline.config.align import AlignConfig, AlignStage, ChannelsConfig
from pipeline.config.features import FASTEST_GIVEN_RATIO, BandEnvelopeConfig, FeatureSection, LowPassConfig
from pipeline.config.mel_grid import MelGrid
from pipeline.errors import InputError
from pipeline.signal import causal, zero_phase
from pipeline.signal.bands import Passband, band_pass_power
from pipeline.signal.blocks import Reader, array_reader
from pipeline.signal.features import given
from pipeline.signal.features.base import Blocks, FeatureKind
from pipeline.signal.features.filtered import FilteredFeature
from pipeline.signal.features.stack import Features
from pipeline.signal.reference import Reference, bad_channels, declared_use, selected_channels, shaft_and_contact
from pipeline.signal.resample import resample_blocks, resampled_length, resampler_support_s

RATE_HZ = 1024.0
SIGNAL, GIVEN, LOW_PASS = {"kind": "signal"}, {"kind": "given"}, {"kind": "low_pass"}


def recording(seconds: float, channels: int = 3, seed: int = 0) -> np.ndarray:
    """Brain-like signals: 1/f drift and white noise on an offset, with mains and its harmonics."""
    rng = np.random.default_rng(seed)
    shape = (round(seconds * RATE_HZ), channels)
    time_s = np.arange(shape[0])[:, None] / RATE_HZ
    x = 300 + 0.5 * np.cumsum(rng.standard_normal(shape), axis=0) + 5 * rng.standard_normal(shape)
    for harmonic in range(1, 6):
        x += 3 * np.sin(2 * np.pi * 50 * harmonic * time_s + harmonic)
    return x.astype(np.float32)


def envelope_of(*bands: tuple[float, float], **keys: Any) -> dict[str, Any]:
    """An entry of ``align.features``."""
    return {"kind": "band_envelope", **({"bands": bands} if bands else {}), **keys}


def align(*features: dict[str, Any], **keys: Any) -> AlignConfig:
    return AlignConfig.model_validate({**({"features": features} if features else {}), **keys})


def of(config: AlignConfig, rate_hz: float = RATE_HZ) -> Features:
    return Features(config, MelGrid(), rate_hz)


def features(
    x: np.ndarray, config: AlignConfig, times_s: np.ndarray, causal: bool = False, rate_hz: float = RATE_HZ
) -> np.ndarray:
    return collect(of(config, rate_hz).blocks(array_reader(x), len(x), times_s, causal))


def passband(
    config: AlignConfig, band: tuple[float, float] = (70.0, 170.0), rate_hz: float = RATE_HZ, order: int = 4
) -> Passband:
    return Passband(*band, rate_hz, order, config.line_noise_hz, config.notch_width_hz)


def collect(blocks: Iterator[tuple[int, np.ndarray]]) -> np.ndarray:
    """Blocks put together, after a look that they follow each other."""
    parts: list[np.ndarray] = []
    for start, block in blocks:
        assert start == sum(map(len, parts))
        assert block.dtype == np.float32
        parts.append(block)
    return np.concatenate(parts)


def textbook(x: np.ndarray, config: AlignConfig, times_s: np.ndarray) -> np.ndarray:
    """Verwoert et al. 2022 as it is written down, in float64 on the whole recording."""
    columns = []
    (keys,) = config.features
    assert isinstance(keys, BandEnvelopeConfig)
    for band in keys.bands:
        y = signal.detrend(x.astype(np.float64), axis=0)
        sos = signal.butter(keys.filter_order, band, "bandpass", fs=RATE_HZ, output="sos")
        y = signal.sosfiltfilt(sos, y, axis=0)
        for notch in Passband(
            *band, RATE_HZ, keys.filter_order, config.line_noise_hz, config.notch_width_hz
        ).notches_hz():
            sos = signal.butter(keys.filter_order, notch, "bandstop", fs=RATE_HZ, output="sos")
            y = signal.sosfiltfilt(sos, y, axis=0)
        # Tapered over 10 s, so that the circular Hilbert transform does not feel its seam far inside.
        y *= signal.windows.tukey(len(y), 20 * RATE_HZ / len(y))[:, None]
        amplitude = np.abs(signal.hilbert(y, axis=0))
        length = round(keys.frame_length_s * RATE_HZ)
        first = np.floor(times_s * RATE_HZ - (length - 1) / 2 + 0.5).astype(int)
        columns.append(np.stack([amplitude[a : a + length].mean(axis=0) for a in first]))
    return np.concatenate(columns, axis=1)


@pytest.mark.parametrize(
    "config",
    [
        AlignConfig(),
        align(envelope_of((70.0, 150.0), filter_order=3), line_noise_hz=60.0),
        align(envelope_of((13.0, 30.0), (70.0, 170.0), frame_length_s=0.1), line_noise_hz=0.0),
    ],
)
def test_envelope_is_the_textbook_chain(config: AlignConfig) -> None:
    x = recording(100)
    times_s = 14 + np.arange(7200) / 100
    expected = textbook(x, config, times_s)
    relative = (features(x, config, times_s) - expected) / expected.mean(axis=0)
    assert np.abs(relative).max() < 2e-4
    assert np.sqrt((relative**2).mean()) < 5e-6


def test_offset_and_drift_of_an_amplifier_do_no_harm() -> None:
    x = recording(60)
    times_s = 14 + np.arange(3000) / 100
    carried = x + (20_000 + 300 * np.arange(len(x))[:, None] / RATE_HZ).astype(np.float32)
    expected = textbook(carried, AlignConfig(), times_s)
    relative = (features(carried, AlignConfig(), times_s) - expected) / expected.mean(axis=0)
    assert np.abs(relative).max() < 2e-4
    assert np.sqrt((relative**2).mean()) < 2e-5


@pytest.mark.parametrize("block", [2048, 4096, 65536])
def test_block_borders_leave_no_trace(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = recording(100)
    times_s = np.arange(0, 9990) / 100
    usual = features(x, AlignConfig(), times_s)
    monkeypatch.setattr(zero_phase, "_SHORTEST_BLOCK", block)
    relative = (features(x, AlignConfig(), times_s) - usual) / usual.mean(axis=0)
    assert np.abs(relative).max() < 2e-4
    assert np.sqrt((relative**2).mean()) < 5e-6


def test_channel_groups_stay_apart() -> None:
    x = recording(20, channels=21)
    times_s = np.arange(100, 1900) / 100
    together = features(x, AlignConfig(), times_s)
    for channel in (0, 15, 16, 20):
        alone = features(x[:, [channel]], AlignConfig(), times_s)[:, 0]
        np.testing.assert_allclose(together[:, channel], alone, rtol=1e-4)


def test_threads_change_no_bit() -> None:
    x, times_s = recording(20, channels=40), np.arange(100, 1900) / 100
    config = align(envelope_of((70, 110), (110, 170)))
    alone, shared = (collect(of(config).blocks(array_reader(x), len(x), times_s, False, threads)) for threads in (1, 3))
    np.testing.assert_array_equal(alone, shared)


def test_several_bands_stand_band_by_band() -> None:
    bands = ((13.0, 30.0), (70.0, 170.0))
    config = align(envelope_of(*bands))
    x = recording(20, channels=2)
    times_s = np.arange(100, 1900) / 100
    both = features(x, config, times_s)
    for i, band in enumerate(bands):
        alone = features(x, align(envelope_of(band)), times_s)
        np.testing.assert_allclose(both[:, 2 * i : 2 * i + 2], alone, rtol=2e-3, atol=1e-3)
    assert of(config).names(["A1", "A2"]) == ["A1 13-30 Hz", "A2 13-30 Hz", "A1 70-170 Hz", "A2 70-170 Hz"]
    assert of(AlignConfig()).names(["A1", "A2"]) == ["A1", "A2"]


def test_logarithm_is_of_the_envelope() -> None:
    x = recording(10)
    times_s = np.arange(100, 900) / 100
    linear = features(x, AlignConfig(), times_s)
    np.testing.assert_allclose(features(x, align(envelope_of(log=True)), times_s), np.log(linear), atol=1e-5)
    assert np.isfinite(features(np.zeros((5000, 1), np.float32), align(envelope_of(log=True)), times_s[:300])).all()


@pytest.mark.parametrize("forward_only", [False, True])
def test_amplitude_and_time_of_a_burst(forward_only: bool) -> None:
    time_s = np.arange(round(20 * RATE_HZ)) / RATE_HZ
    burst = 7 * np.exp(-0.5 * ((time_s - 10) / 0.2) ** 2) * np.sin(2 * np.pi * 120 * time_s)
    times_s = np.arange(0, 1990) / 100
    out = features(burst[:, None].astype(np.float32), AlignConfig(line_noise_hz=0.0), times_s, forward_only)[:, 0]
    centre_s = float((times_s * out).sum() / out.sum())
    assert out.max() == pytest.approx(7, rel=0.03)
    if forward_only:
        assert 10.02 < centre_s < 10.06  # half a frame and the filter's delay
    else:
        assert centre_s == pytest.approx(10, abs=1e-3)


def test_frames_may_lie_at_any_times() -> None:
    x = recording(80)
    drifting_s = 15 + np.arange(5000) / 100 * (1 + 200e-6) + 0.00123
    expected = textbook(x, AlignConfig(), drifting_s)
    out = features(x, AlignConfig(), drifting_s)
    assert np.abs(out - expected).max() < 2e-4 * expected.mean()


@pytest.mark.parametrize("kind", ["band_envelope", "signal", "low_pass"])
@pytest.mark.parametrize("forward_only", [False, True])
def test_very_short_recordings_have_features_to_their_ends(kind: str, forward_only: bool) -> None:
    config = align({"kind": kind})
    x = recording(2)
    times_s = np.arange(0, 200) / 100
    out = features(x, config, times_s, forward_only)
    assert out.shape == (200, 3)
    assert np.isfinite(out).all()


# --- causality and support ---------------------------------------------------------------------


CAUSAL = [
    (AlignConfig(), RATE_HZ),
    (align(envelope_of((4.0, 8.0), (70.0, 170.0), log=True)), RATE_HZ),
    (align(SIGNAL, feature_rate_hz=200.0), RATE_HZ),
    (align(LOW_PASS), RATE_HZ),
    (align(envelope_of(), LOW_PASS, envelope_of((13.0, 30.0), frame_length_s=0.1)), RATE_HZ),
    (align(GIVEN), 64.0),
    (align(GIVEN), 200.0),
]


@pytest.mark.parametrize(("config", "rate_hz"), CAUSAL)
def test_the_future_changes_no_causal_frame(config: AlignConfig, rate_hz: float) -> None:
    x = recording(12, channels=2)[: int(12 * rate_hz)]
    times_s = np.arange(0, 1190) / 100
    before = features(x, config, times_s, True, rate_hz)
    for moment_s in (0.5, 4.003, 9.0):
        changed = x.copy()
        changed[int(np.floor(moment_s * rate_hz)) + 1 :] += 1000
        after = features(changed, config, times_s, True, rate_hz)
        past = times_s <= moment_s
        assert np.array_equal(after[past], before[past])
        assert not np.array_equal(after[~past], before[~past])


@pytest.mark.parametrize("config", [AlignConfig(), align(SIGNAL, feature_rate_hz=200.0), align(LOW_PASS)])
def test_causal_state_is_carried_across_blocks(config: AlignConfig) -> None:
    x = recording(20)
    times_s = np.arange(0, 1990) / 100
    (kind,) = of(config).kinds
    assert isinstance(kind, FilteredFeature)
    whole = (array_reader(x), kind.passbands, kind._framing(True), times_s)
    usual = collect(causal.causal_frames(*whole, envelope=kind.envelope))
    for block in (37, 1000, 50_000):
        other = collect(causal.causal_frames(*whole, envelope=kind.envelope, block_samples=block))
        assert np.array_equal(other, usual)


def test_causal_envelope_follows_the_zero_phase_one() -> None:
    x = recording(60)
    times_s = np.arange(200, 5900) / 100
    late, sharp = features(x, AlignConfig(), times_s, True), features(x, AlignConfig(), times_s)
    assert late.mean() / sharp.mean() == pytest.approx(1.0, abs=0.12)
    best = max(np.corrcoef(late[k:, 0], sharp[: len(sharp) - k, 0])[0, 1] for k in range(10))
    assert best > 0.75


def test_causal_pair_stands_in_quadrature() -> None:
    time_s = np.arange(8192) / RATE_HZ
    for frequency_hz in (3.0, 20.0, 120.0, 500.0):
        tone = np.sin(2 * np.pi * frequency_hz * time_s)[:, None]
        pair = [causal._all_pass(causal._LEADING), causal._all_pass(causal._LAGGING, delay=True)]
        for chain in pair:
            chain.start_at(np.zeros(1))
        leading, lagging = (chain(tone)[6000:] for chain in pair)
        np.testing.assert_allclose(np.hypot(leading, lagging), 1, atol=0.02)


@pytest.mark.parametrize("forward_only", [False, True])
@pytest.mark.parametrize(
    "config", [AlignConfig(), align(SIGNAL, feature_rate_hz=200.0), align(LOW_PASS), align(envelope_of(), LOW_PASS)]
)
def test_support_is_how_far_a_sample_reaches(config: AlignConfig, forward_only: bool) -> None:
    past_s, future_s = of(config).support_s(forward_only)
    impulse = np.zeros((round(20 * RATE_HZ), 1), np.float32)
    impulse[round(10 * RATE_HZ)] = 1
    times_s = np.arange(0, 1990) / 100
    response = np.abs(features(impulse, config, times_s, forward_only))
    reached = times_s[(response > 1e-3 * response.max(axis=0)).any(axis=1)]
    assert -0.02 - future_s < reached[0] - 10
    assert reached[-1] - 10 < past_s + 0.02
    # It is no looser than a few tenths of a second either.
    assert past_s < (reached[-1] - 10) + 0.5
    assert future_s == 0 if forward_only else past_s == pytest.approx(future_s, abs=2 / RATE_HZ)


def test_support_grows_with_narrower_notches() -> None:
    wide = of(AlignConfig()).support_s(False)[0]
    narrow = of(AlignConfig(notch_width_hz=2.0)).support_s(False)[0]
    none = of(AlignConfig(line_noise_hz=0.0)).support_s(False)[0]
    assert none < 0.2 < wide < 1.0 < narrow


# --- filters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 4, 8])
def test_closed_form_is_scipys_butterworth(order: int) -> None:
    sos = signal.butter(order, (70, 170), "bandpass", fs=RATE_HZ, output="sos")
    frequencies_hz, response = signal.freqz_sos(sos, 4096, fs=RATE_HZ)
    expected = np.abs(response) ** 2
    np.testing.assert_allclose(band_pass_power(frequencies_hz, (70, 170), RATE_HZ, order), expected, atol=1e-7)


def test_mains_and_everything_outside_the_band_is_gone() -> None:
    config = AlignConfig()
    assert passband(config).notches_hz()[:3] == [(48, 52), (98, 102), (148, 152)]
    response = passband(config).zero_phase_response(np.array([0.0, 10, 50, 85, 100, 120, 150, 400, 512]))
    assert response[[3, 5]].min() > 0.9
    assert response[[0, 1, 2, 4, 6, 7, 8]].max() < 1e-3
    assert passband(AlignConfig(line_noise_hz=0.0)).notches_hz() == []
    # No notch reaches half of the rate.
    assert max(high for _, high in passband(config, (70.0, 149.0), 304.0).notches_hz()) < 152


@pytest.mark.parametrize(
    ("config", "rate_hz", "message"),
    [
        (AlignConfig(), 256.0, r"align.features.*70, 170.*256 Hz"),
        (align(envelope_of((13.0, 30.0), (70.0, 128.0))), 256.0, r"align.features.*70, 128"),
        (align(SIGNAL, feature_rate_hz=400.0), 256.0, r"align.features.*1, 160"),
        (align(envelope_of(), {"kind": "low_pass", "cutoff_hz": 40.0}), 80.0, r"(?s)70, 170.*0, 40"),
        (align(GIVEN), 345.0, r"align.features.*345 Hz.*at most 344.5 Hz"),
    ],
)
def test_what_does_not_fit_the_rate_is_refused(config: AlignConfig, rate_hz: float, message: str) -> None:
    with pytest.raises(InputError, match=message):  # before anything is read
        of(config, rate_hz)


@pytest.mark.parametrize(("config", "rate_hz"), [(AlignConfig(), RATE_HZ), (align(SIGNAL), RATE_HZ), CAUSAL[-1]])
@pytest.mark.parametrize("times_s", [[-0.01, 0.5], [0.5, 2.0], [0.5, 0.5], [0.6, 0.5]])
def test_impossible_times_are_refused(config: AlignConfig, rate_hz: float, times_s: list[float]) -> None:
    x = recording(2)[: int(2 * rate_hz)]
    with pytest.raises(ValueError, match="frame times"):
        of(config, rate_hz).blocks(array_reader(x), len(x), np.array(times_s), False)


@pytest.mark.parametrize(
    "config", [AlignConfig(), align(envelope_of(log=True)), align(SIGNAL), align(envelope_of(), LOW_PASS)]
)
def test_what_is_not_finite_is_refused(config: AlignConfig) -> None:
    x = recording(3)
    x[700, 1] = np.nan
    for forward_only in (False, True):
        with pytest.raises(InputError, match=r"1 channel.*find_bad"):
            features(x, config, np.arange(200) / 100, forward_only)


def _peak_memory(seconds: int, forward_only: bool) -> int:
    """Bytes at the peak while features of a recording that is nowhere whole are made."""
    noise = recording(8, channels=8)

    def read(start: int, stop: int) -> np.ndarray:
        return noise[np.arange(start, stop) % len(noise)]

    n_samples = int(seconds * RATE_HZ)
    times_s = np.arange(0, seconds * 100 - 1) / 100
    tracemalloc.start()
    for _ in of(AlignConfig()).blocks(read, n_samples, times_s, forward_only):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("forward_only", [False, True])
def test_memory_does_not_grow_with_the_recording(forward_only: bool) -> None:
    _peak_memory(20, forward_only)
    assert _peak_memory(180, forward_only) < 1.25 * _peak_memory(45, forward_only)


# --- the slow signal, and features side by side -------------------------------------------------


def frame_means(x: np.ndarray, times_s: np.ndarray, length: int, first: float) -> np.ndarray:
    """Means of ``length`` samples, ``first`` the distance of the first of them from a frame's time [samples]."""
    starts = np.floor(times_s * RATE_HZ + first + 1e-6).astype(int)
    return np.stack([x[a : a + length].mean(axis=0) for a in starts])


@pytest.mark.parametrize("cutoff_hz", [0.5, 5.0, 30.0])
@pytest.mark.parametrize("drift_uv_per_s", [0.0, 300.0])
def test_low_pass_is_the_textbook_filter_with_offset_and_drift(cutoff_hz: float, drift_uv_per_s: float) -> None:
    x = recording(100) + (drift_uv_per_s * np.arange(100 * int(RATE_HZ))[:, None] / RATE_HZ).astype(np.float32)
    times_s = 14 + np.arange(7200) / 100
    sos = signal.butter(4, cutoff_hz, "lowpass", fs=RATE_HZ, output="sos")
    expected = frame_means(signal.sosfiltfilt(sos, x.astype(np.float64), axis=0), times_s, 51, 0.5 - 25)
    out = features(x, align({"kind": "low_pass", "cutoff_hz": cutoff_hz}, line_noise_hz=0.0), times_s)
    assert np.abs(out - expected).max() < 1e-5 * expected.std(axis=0).max()
    assert np.sqrt(((out - expected) ** 2).mean()) < 2e-6 * expected.std(axis=0).max()


def test_a_low_pass_that_reaches_the_mains_is_notched() -> None:
    time_s = np.arange(round(30 * RATE_HZ)) / RATE_HZ
    hum = np.sin(2 * np.pi * 50 * time_s)[:, None].astype(np.float32)
    times_s = 5 + np.arange(4000) / 200
    keys = {"feature_rate_hz": 200.0}
    wide = {"kind": "low_pass", "cutoff_hz": 80.0, "frame_length_s": 0.005}
    assert np.abs(features(hum, align(wide, **keys), times_s)).max() < 1e-3
    assert np.abs(features(hum, align(wide, line_noise_hz=0.0, **keys), times_s)).max() > 0.8


def test_causal_low_pass_is_the_forward_filter_over_the_past_frame() -> None:
    x = recording(40)
    times_s = 1 + np.arange(3800) / 100
    sos = signal.butter(4, 5.0, "lowpass", fs=RATE_HZ, output="sos")
    start = signal.sosfilt_zi(sos)[:, :, None] * x[0].astype(np.float64)
    forward = signal.sosfilt(sos, x.astype(np.float64), axis=0, zi=start)[0]
    out = features(x, align(LOW_PASS), times_s, causal=True)
    np.testing.assert_allclose(out, frame_means(forward, times_s, 51, -50.0), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("forward_only", [False, True])
def test_features_stand_side_by_side_as_each_alone(forward_only: bool) -> None:
    x, times_s = recording(60, channels=2), np.arange(100, 5900) / 100
    entries = [envelope_of((13.0, 30.0), (70.0, 170.0), log=True), LOW_PASS, envelope_of((30.0, 60.0))]
    whole = features(x, align(*entries), times_s, forward_only)
    alone = [features(x, align(entry), times_s, forward_only) for entry in entries]
    np.testing.assert_array_equal(whole, np.concatenate(alone, axis=1))
    stack = of(align(*entries))
    assert stack.names(["A1", "A2"])[3:6] == ["A2 70-170 Hz", "A1 0-5 Hz", "A2 0-5 Hz"]
    assert stack.units("µV", 2) == ["ln(µV)"] * 4 + ["µV"] * 4
    supports = [of(align(entry)).support_s(forward_only) for entry in entries]
    assert stack.support_s(forward_only) == tuple(np.max(supports, axis=0))
    amplitudes = stack.amplitudes(whole)
    np.testing.assert_array_equal(amplitudes[:, 4:6], np.abs(whole[:, 4:6]))
    np.testing.assert_array_equal(np.delete(amplitudes, [4, 5], axis=1), np.delete(whole, [4, 5], axis=1))


class PowerConfig(FeatureSection):
    """The section of a kind that the package does not have."""

    kind: Literal["power"] = "power"
    length_s: float = 0.1


class Power(FeatureKind[PowerConfig], section=PowerConfig):
    """Mean square of the past ``length_s``."""

    def units(self, of_signal: str) -> str:
        return f"{of_signal}²"

    def support_s(self, causal: bool) -> tuple[float, float]:
        return self.keys.length_s, 0.0

    def blocks(self, read: Reader, n_samples: int, frame_times_s: np.ndarray, causal: bool, threads: int) -> Blocks:
        for start, time_s in enumerate(frame_times_s):
            stop = int(time_s * self.sampling.rate_hz) + 1
            samples = read(max(0, stop - int(self.keys.length_s * self.sampling.rate_hz)), stop)
            yield start, np.mean(np.square(samples), axis=0, keepdims=True, dtype=np.float32)


class WithPower(AlignConfig):
    """A new kind's place in the union; a module of the package is imported in ``stack.py`` besides."""

    features: tuple[Annotated[BandEnvelopeConfig | PowerConfig, Field(discriminator="kind")], ...] = Field(
        (BandEnvelopeConfig(),), strict=False
    )


def test_a_new_kind_is_a_section_and_a_class() -> None:
    config = WithPower.model_validate({"features": [{"kind": "power"}, envelope_of()]})
    x, times_s = recording(20, channels=2), np.arange(100, 1900) / 100
    out = features(x, config, times_s)
    np.testing.assert_array_equal(out[:, 2:], features(x, AlignConfig(), times_s))
    np.testing.assert_allclose(out[0, :2], np.square(x[1024 - 101 : 1025]).mean(axis=0), rtol=1e-5)
    assert of(config).names(["A1", "A2"])[:2] == ["A1 power", "A2 power"]
    assert of(config).units("µV", 2) == ["µV²", "µV²", "µV", "µV"]
    assert of(config).support_s(False)[1] == of(AlignConfig()).support_s(False)[1]


@pytest.mark.parametrize("grid", [MelGrid(), MelGrid(hop_length=200)])
def test_given_features_are_at_most_four_times_as_fast_as_the_mel(grid: MelGrid) -> None:
    fastest_hz = 4 * grid.frame_rate_hz
    Features(align(GIVEN), grid, fastest_hz)
    with pytest.raises(InputError, match=f"at most {fastest_hz:.1f} Hz"):
        Features(align(GIVEN), grid, fastest_hz + 0.1)


def test_the_page_on_features_names_the_same_limit() -> None:
    page = (Path(__file__).parents[1] / "docs" / "own_feature.md").read_text()
    fastest_hz = FASTEST_GIVEN_RATIO * MelGrid().frame_rate_hz
    assert f"{FASTEST_GIVEN_RATIO:g} × the mel's frame rate ({fastest_hz:.1f} Hz by default)" in page


# --- the signal itself, and ready-made features ---------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", [512.0, 1000.0, 2048.0])
def test_a_signal_keeps_the_band_at_the_exact_times(rate_hz: float) -> None:
    config = align(SIGNAL, feature_rate_hz=200.0, line_noise_hz=0.0)
    time_s = np.arange(int(20 * rate_hz)) / rate_hz
    inside = np.sin(2 * np.pi * 30 * time_s)
    outside = np.sin(2 * np.pi * 110 * time_s) + 50
    times_s = 2 + np.arange(3000) / 200 * (1 + 100e-6) + 0.0007
    out = features((inside + outside)[:, None].astype(np.float32), config, times_s, rate_hz=rate_hz)
    np.testing.assert_allclose(out[:, 0], np.sin(2 * np.pi * 30 * times_s), atol=2e-3)


def test_a_causal_signal_keeps_the_band_and_leaves_no_alias() -> None:
    config = align(SIGNAL, feature_rate_hz=200.0, line_noise_hz=0.0)
    time_s = np.arange(int(20 * RATE_HZ)) / RATE_HZ
    times_s = 4 + np.arange(3000) / 200
    kept = features(np.sin(2 * np.pi * 30 * time_s)[:, None].astype(np.float32), config, times_s, True)
    alias = features(np.sin(2 * np.pi * 170 * time_s)[:, None].astype(np.float32), config, times_s, True)
    assert np.sqrt(2) * kept.std() == pytest.approx(1, abs=0.02)
    assert alias.std() < 1e-3


def test_ready_made_features_pass_unchanged() -> None:
    x = recording(5)[:500]
    config = align(GIVEN)
    times_s = np.arange(500) / 100
    for forward_only in (False, True):
        assert np.array_equal(features(x, config, times_s, forward_only, 100.0), x)
        assert np.array_equal(features(x, config, times_s[7:200], forward_only, 100.0), x[7:200])


def test_slow_features_are_interpolated_or_held() -> None:
    x = recording(5)[:40]
    config = align(GIVEN)
    times_s = np.arange(0, 480) / 100
    expected = np.stack([np.interp(times_s, np.arange(40) / 8, column) for column in x.T], axis=1)
    np.testing.assert_allclose(features(x, config, times_s, False, 8.0), expected, rtol=1e-5)
    held = features(x, config, times_s, True, 8.0)
    assert np.array_equal(held, x[np.floor(times_s * 8 + 1e-6).astype(int)])


def test_fast_features_are_averaged() -> None:
    time_s = np.arange(2000) / 200
    x = (3 + (-1.0) ** np.arange(2000))[:, None].astype(np.float32)
    for forward_only in (False, True):
        out = features(x, align(GIVEN), time_s[2:1900:2], forward_only, 200.0)
        np.testing.assert_allclose(out, 3, rtol=1e-6)


def test_blocks_of_passed_features_join(monkeypatch: pytest.MonkeyPatch) -> None:
    x = recording(20)[:2000]
    config, times_s = align(GIVEN), np.arange(0, 1000) / 100
    whole = features(x, config, times_s, False, 160.0)
    monkeypatch.setattr(given, "_FRAMES_AT_ONCE", 50)
    assert np.array_equal(features(x, config, times_s, False, 160.0), whole)


# --- resampling --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate_out_hz", [22050, 22050.4, 16000, 48000, 96000])
def test_resampling_does_not_depend_on_blocks(rate_out_hz: float) -> None:
    audio = (np.random.default_rng(0).standard_normal(48000) * 3000).astype(np.int16)
    once = soxr.resample(audio / np.float32(32768), 48000, rate_out_hz)
    for size in (1, 777, 4096, 100_000):
        first = [audio[i : i + size] for i in range(0, 2000, size)]
        blocks = [*first, audio[min(len(audio), size * len(first)) :]]
        out = np.concatenate(list(resample_blocks((b for b in blocks if len(b)), 48000, rate_out_hz)))
        assert out.dtype == np.float32
        assert np.array_equal(out, once)


@pytest.mark.parametrize("rates", [(48000, 22050), (44100, 22050), (16000, 22050.3), (1000, 441)])
def test_length_after_resampling_is_known_before(rates: tuple[float, float]) -> None:
    for n_samples in [*range(1, 1200, 3), 48000, 70429]:
        out = resample_blocks([np.zeros(n_samples, np.float32)], *rates)
        assert sum(map(len, out)) == resampled_length(n_samples, *rates)


def test_resampling_takes_channels_floats_and_nothing() -> None:
    stereo = np.random.default_rng(0).standard_normal((5000, 2))
    out = np.concatenate(list(resample_blocks([stereo[:1000], stereo[1000:]], 1000, 441.0)))
    np.testing.assert_array_equal(out, soxr.resample(stereo.astype(np.float32), 1000, 441.0))
    assert list(resample_blocks([], 1000, 441.0)) == []
    with pytest.raises(ValueError, match="positive"):
        list(resample_blocks([stereo], 1000, 0))


def test_a_drifting_clock_is_only_another_rate() -> None:
    rate_hz = 1000 * (1 + 500e-6)
    tone = np.sin(2 * np.pi * 20 * np.arange(60_000) / rate_hz).astype(np.float32)
    out = np.concatenate(list(resample_blocks([tone], rate_hz, 400.0)))
    expected = np.sin(2 * np.pi * 20 * np.arange(len(out)) / 400.0)
    np.testing.assert_allclose(out[200:-200], expected[200:-200], atol=1e-4)


@pytest.mark.parametrize("rates", [(48000, 22050), (16000, 22050), (44100, 22050.5)])
def test_resampler_support_is_the_extent_of_an_impulse(rates: tuple[float, float]) -> None:
    support_s = resampler_support_s(*rates)
    impulse = np.zeros(48000, np.float32)
    impulse[20011] = 1
    response = np.abs(np.concatenate(list(resample_blocks([impulse], *rates))))
    reached = np.flatnonzero(response > 1e-3 * response.max()) / rates[1] - 20011 / rates[0]
    assert 0.5 * support_s < np.abs(reached).max() <= support_s + 2 / rates[1]
    assert resampler_support_s(22050, 22050) == 0


# --- channels and references -------------------------------------------------------------------


NAMES = ["LA1", "LA2", "LA3", "LA5", "A'12", "A'13", "B1"]


def test_common_average_takes_out_what_is_common() -> None:
    x = recording(1, channels=7)
    good = np.array([1, 1, 1, 0, 1, 1, 1], bool)
    x[:, 3] = np.nan
    reference = Reference.build("car", NAMES, good)
    out = reference.apply(x)
    assert reference.names == [n for n in NAMES if n != "LA5"]
    np.testing.assert_allclose(out, x[:, good] - x[:, good].mean(axis=1, keepdims=True), atol=1e-3)
    np.testing.assert_allclose(reference.apply(x + np.arange(len(x))[:, None]), out, atol=1e-3)


def test_shaft_bipolar_and_laplacian() -> None:
    x = recording(1, channels=7)
    shaft = Reference.build("shaft", NAMES, np.ones(7, bool))
    assert shaft.names == NAMES[:6]
    assert list(shaft.dropped) == ["B1"]
    np.testing.assert_allclose(shaft.apply(x)[:, 4], (x[:, 4] - x[:, 5]) / 2, atol=1e-3)
    bipolar = Reference.build("bipolar", NAMES, np.ones(7, bool))
    assert bipolar.names == ["A'12-A'13", "LA1-LA2", "LA2-LA3"]  # no pair across the gap at LA4
    assert list(bipolar.dropped) == ["LA5", "B1"]
    np.testing.assert_allclose(bipolar.apply(x)[:, 1], x[:, 0] - x[:, 1], atol=1e-3)
    laplacian = Reference.build("laplacian", NAMES, np.ones(7, bool))
    assert laplacian.names == ["LA1", "LA2", "LA3", "A'12", "A'13"]
    np.testing.assert_allclose(laplacian.apply(x)[:, 1], x[:, 1] - (x[:, 0] + x[:, 2]) / 2, atol=1e-3)
    np.testing.assert_allclose(laplacian.apply(x)[:, 0], x[:, 0] - x[:, 1], atol=1e-3)
    none = Reference.build("none", NAMES, [True] * 6 + [False])
    np.testing.assert_array_equal(none.apply(x), x[:, :6])
    assert none.names == NAMES[:6]


def test_shafts_from_the_table_beat_names() -> None:
    reference = Reference.build("bipolar", ["e1", "e2", "e3"], [True] * 3, shafts=["L", "L", "R"])
    assert reference.names == ["e1-e2"]
    assert list(reference.dropped) == ["e3"]
    mixed = Reference.build("bipolar", ["e1", "e2", "LA1", "LA2"], [True] * 4, shafts=["L", "L", "n/a", ""])
    assert mixed.names == ["e1-e2", "LA1-LA2"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LA1", ("LA", 1)),
        ("A'12", ("A'", 12)),
        ("B’ 03", ("B’", 3)),
        ("LA1-REF", ("LA", 1)),
        ("12", None),
        ("GND", None),
    ],
)
def test_shaft_of_a_name(name: str, expected: tuple[str, int] | None) -> None:
    assert shaft_and_contact(name) == expected


def test_references_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match=r"(?s)'REF'.*'LA01-x' at the same contact as 'LA1'"):
        Reference.build("shaft", ["LA1", "REF", "LA01-x"], [True] * 3)
    with pytest.raises(InputError, match=r"(?s)'tip' on shaft 'L'.*'b1' on shaft 'L' at the same contact as 'a1'"):
        Reference.build("bipolar", ["tip", "a1", "b1"], [True] * 3, shafts=["L"] * 3)
    with pytest.raises(InputError, match="car with 1 good"):
        Reference.build("car", NAMES, [True] + [False] * 6)
    with pytest.raises(InputError, match="bipolar with 2 good"):
        Reference.build("bipolar", ["A1", "B1"], [True, True])


def _recording_with_bad_channels() -> np.ndarray:
    x = recording(20.3, channels=10)
    x[:, 1] = 17.0
    x[:, 2] = 17.0 + 1e-4 * x[:, 3]
    x[:, 4] = 300 + 60 * (x[:, 4] - 300)
    x[-1, 5] = np.nan
    x[5000, 0] = np.inf
    x[3000:3100, 6] += 5000  # a passing artefact makes no bad channel
    return x


def test_bad_channels_by_rule_and_by_table() -> None:
    x = _recording_with_bad_channels()
    table = ["good"] * 9 + ["bad"]
    verdicts = bad_channels([(array_reader(x), len(x))], RATE_HZ, ChannelsConfig(), table)
    reasons = [v.reason.split(":")[0] for v in verdicts]
    assert reasons == [
        "holds NaN or infinity",
        "flat",
        "flat",
        "",
        "noisy",
        "holds NaN or infinity",
        "",
        "",
        "",
        "bad in the channel table",
    ]
    assert [v.status for v in verdicts] == ["good" if not r else "bad" for r in reasons]
    only_table = bad_channels([(array_reader(x), len(x))], RATE_HZ, ChannelsConfig(find_bad=False), table)
    assert [v.status for v in only_table] == table
    only_rule = bad_channels([(array_reader(x), len(x))], RATE_HZ, ChannelsConfig(use_status=False), table)
    assert only_rule[9].status == "good"


def test_equal_channels_are_all_good() -> None:
    x = np.random.default_rng(0).standard_normal((20_000, 16)).astype(np.float32)
    x[:, 3] *= 1.5
    verdicts = bad_channels([(array_reader(x), len(x))], RATE_HZ, ChannelsConfig())
    assert {v.status for v in verdicts} == {"good"}


def test_all_flat_channels_are_all_bad() -> None:
    verdicts = bad_channels([(array_reader(np.ones((3000, 5), np.float32)), 3000)], RATE_HZ, ChannelsConfig())
    assert {v.status for v in verdicts} == {"bad"}


def test_channels_are_chosen_by_name_and_region() -> None:
    regions = ["STG", "STG", "HG", "HG", "HG", "n/a", ""]
    config = ChannelsConfig(include=("STG", "HG"), exclude=("LA3",))
    chosen = selected_channels(NAMES, regions, config)
    for status in ("good", "bad"):
        table = {"name": NAMES, "region": regions, "status": [status] * len(NAMES)}
        used = {"good": "used", "bad": "bad"}[status]
        left_out = ["excluded" if name == "LA3" else "not included" for name in NAMES]
        assert declared_use(table, config) == [
            used if keep else out for keep, out in zip(chosen, left_out, strict=True)
        ]
    assert [n for n, c in zip(NAMES, chosen, strict=True) if c] == ["LA1", "LA2", "LA5", "A'12"]
    assert selected_channels(NAMES, None, ChannelsConfig()).all()
    with pytest.raises(InputError, match=r"(?s)include.*'SGT'.*did you mean 'STG'.*exclude.*'Z9'"):
        selected_channels(NAMES, regions, ChannelsConfig(include=("SGT",), exclude=("Z9",)))
    with pytest.raises(InputError, match="leaves no channel"):
        selected_channels(NAMES, None, ChannelsConfig(include=("LA1",), exclude=("LA1",)))


# --- config ------------------------------------------------------------------------------------


def test_lists_from_yaml_and_toml_are_bands() -> None:
    entries = [{"kind": "band_envelope", "bands": [[13, 30], [70.0, 170]]}, {"kind": "low_pass"}]
    config = AlignConfig.model_validate({"features": entries, "channels": {"include": ["LA1"], "exclude": []}})
    assert config.features == (BandEnvelopeConfig(bands=((13.0, 30.0), (70.0, 170.0))), LowPassConfig())
    stage = AlignStage(align=config, causal=True, mel=MelGrid())
    assert AlignStage.from_json(stage.canonical_json()) == stage


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"features": []}, "at least one kind"),
        ({"features": [{}]}, "discriminator 'kind'"),
        ({"features": [{"kind": "envelope"}]}, "'band_envelope', 'low_pass', 'signal', 'given'"),
        ({"features": [GIVEN | {"bands": [[1, 2]]}]}, "not permitted"),
        ({"features": [envelope_of(bands=[])]}, "at least 1"),
        ({"features": [envelope_of((70, 170, 200))]}, "at most 2"),
        ({"features": [envelope_of(("70", "170"))]}, "valid number"),
        ({"features": [envelope_of((170, 70))]}, "not 0 < low < high"),
        ({"features": [envelope_of((0, 70))]}, "not 0 < low < high"),
        ({"features": [envelope_of((70, 170), (70, 170))]}, "70-170 Hz twice"),
        ({"features": [envelope_of(), envelope_of(log=True)]}, "70-170 Hz twice"),
        ({"features": [LOW_PASS, LOW_PASS]}, "0-5 Hz twice"),
        ({"features": [SIGNAL, LOW_PASS]}, "signal stands alone, since the network"),
        ({"features": [envelope_of(), GIVEN]}, "given stands alone, since of input"),
        ({"features": [GIVEN, GIVEN]}, "given stands alone"),
        ({"features": [{"kind": "low_pass", "cutoff_hz": 50}]}, "features.0 .*feature_rate_hz / 2"),
        ({"notch_width_hz": 50.0}, "not below line_noise_hz"),
        ({"features": [{"kind": "signal", "high_hz": 50.0}]}, "feature_rate_hz / 2"),
        ({"reference": "average"}, "laplacian"),
        ({"features": [envelope_of(log="yes")]}, "valid boolean"),
    ],
)
def test_a_config_that_cannot_be_is_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AlignConfig.model_validate(keys)


def test_readers_are_what_the_features_need() -> None:
    reader: Reader = array_reader(np.arange(12).reshape(6, 2))
    assert reader(2, 4).tolist() == [[4, 5], [6, 7]]
