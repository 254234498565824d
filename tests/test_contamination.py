"""The acoustic contamination check: finds a leak, tolerates brain activity that follows the sound."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import scipy.signal
import scipy.stats
import soxr

from conftest import jobs_run, snakemake
from pipeline.artifacts.contamination import read_contamination, write_contamination
from pipeline.artifacts.core import Provenance
from pipeline.config.contamination import ContaminationConfig
from pipeline.evaluation import contamination, leak_spectra, leak_statistic
from pipeline.evaluation.contamination import Contamination, check_contamination, corrected
from pipeline.evaluation.inputs import contaminations
from pipeline.evaluation.leak_spectra import SignalPair

NEURAL_HZ, AUDIO_HZ = 1000.0, 8000.0
CONFIG = ContaminationConfig()


def voice(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Harmonics of a wandering pitch under a syllable-like envelope, float32 at 8 kHz."""
    n = int(seconds * AUDIO_HZ)
    knots = np.arange(int(seconds * 5) + 2)
    pitch = np.interp(np.arange(n) * 5 / AUDIO_HZ, knots, rng.uniform(75, 160, knots.size))
    loudness = np.interp(np.arange(n) * 5 / AUDIO_HZ, knots, rng.uniform(0, 1, knots.size) ** 2)
    phase = 2 * np.pi * np.cumsum(pitch) / AUDIO_HZ
    return (loudness * sum(np.sin(h * phase) / h for h in range(1, 6)) / 3).astype(np.float32)


def recording(
    seed: int, leak: float = 0.0, follow: float = 0.0, seconds: float = 60.0, offset_s: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Neural noise (time, 4) and voice; sound leaks into channel 2, or high gamma of channel 1 follows loudness."""
    rng = np.random.default_rng(seed)
    sound = voice(rng, seconds)
    low = scipy.signal.resample_poly(sound, 1, 8)
    lead = round(offset_s * NEURAL_HZ)
    neural = rng.normal(0, 1, (len(low) + lead, 4)).cumsum(axis=0) * 0.1 + rng.normal(0, 1, (len(low) + lead, 4))
    neural[lead:, 2] += leak * low
    loudness = np.convolve(np.abs(low), np.ones(100) / 100, "same")
    gamma = scipy.signal.sosfilt(scipy.signal.butter(4, (70, 170), "bandpass", fs=NEURAL_HZ, output="sos"),
                                 rng.normal(0, 3, len(low)))  # fmt: skip
    neural[lead:, 1] += follow * loudness * gamma
    return neural.astype(np.float32), sound


def check(neural: np.ndarray, sound: np.ndarray, **options: object) -> Contamination:
    pair = SignalPair(neural, sound, float(options.pop("audio_offset_s", 0.0)))  # type: ignore[arg-type]
    return check_contamination([pair], NEURAL_HZ, AUDIO_HZ, CONFIG, recording="r", **options)  # type: ignore[arg-type]


def test_leak_is_suspect_and_its_channel_named() -> None:
    found = [check(*recording(seed, leak=1.0)) for seed in range(4)]
    assert [f.result for f in found] == ["suspect"] * 4
    assert [f.channel for f in found] == [2] * 4


def use_of(**use: str) -> dict[str, str]:
    return dict.fromkeys(("a1", "a2", "a3", "a4"), "used") | use


def test_the_suspect_channels_are_named_and_how_to_leave_them_out() -> None:
    """A run of one session gets the line of the config, with what is excluded already, by channel or region."""
    found = check(*recording(0, leak=1.0), channels=use_of(a1="excluded"))
    assert (found.channel_name, list(found.suspects())) == ("a3", ["a3"])
    status = "status bad for a3 in the channel table of r"
    assert str(found.limit()).endswith(f"out of features and check: {status}")
    alone = str(replace(found, exclude=("île",)).limit())
    assert alone.endswith(f'check: align: {{channels: {{exclude: ["île", "a3"]}}}}, or {status}')
    assert found.document()["suspect_channels"] == {"a3": found.p}


def test_only_the_check_of_a_run_with_one_session_knows_what_the_config_excludes(tmp_path: Path) -> None:
    files = [tmp_path / f"{session}.h5" for session in ("s1_a", "s2_a")]
    for file in files:
        found = check(*recording(0, leak=1.0), channels=use_of(a1="excluded"))
        write_contamination(file, vars(found), Provenance('{"align": {"channels": {"exclude": ["insula"]}}}'))
    assert [own.exclude for own in contaminations(files)] == [None, None]
    (alone,) = contaminations(files[:1])
    assert 'exclude: ["insula", "a3"]' in str(corrected([alone], 0.01)[0].limit())


@pytest.mark.parametrize("use", ["excluded", "bad"])
def test_a_channel_that_is_left_out_decides_nothing_and_is_named(use: str) -> None:
    found = check(*recording(0, leak=1.0), channels=use_of(a3=use))
    assert (found.result, found.channel_name) != ("suspect", "a3")
    neural, sound = recording(0, leak=1.0)
    assert found.p == pytest.approx(check(np.delete(neural, 2, axis=1), sound).p), "as if it were not there"
    assert list(found.document()["left_out_suspect_channels"]) == ["a3"]
    assert "(a3), and sound may have leaked into a3: no leak was found in the other channels of r" in str(found.limit())


def test_a_leak_into_all_channels_cannot_be_left_out() -> None:
    neural, sound = recording(0)
    neural += scipy.signal.resample_poly(sound, 1, 8)[:, None]
    found = check(neural, sound)
    assert list(found.suspects()) == ["ch001", "ch002", "ch003", "ch004"]
    assert "no channel would be left" in str(found.limit())


def test_a_channel_that_could_not_be_tested_is_none_that_is_left() -> None:
    neural, sound = recording(0, leak=1.0)
    neural[:, [0, 1]] = 0
    found = check(neural, sound, channels=use_of(a4="excluded"))
    assert list(found.channels["use"]) == ["constant", "constant", "used", "excluded"]
    assert "no channel would be left" in str(found.limit())


@pytest.mark.parametrize(
    ("options", "is_listed"), [({"audio_modified": "pitch_shifted"}, True), ({"is_raw": False}, False)]
)
def test_channels_of_a_session_that_cannot_be_tested_are_listed(
    tmp_path: Path, options: dict[str, object], is_listed: bool
) -> None:
    """Features that were given have none."""
    found = check(*recording(0, seconds=12), channels=use_of(a2="bad"), **options)
    write_contamination(file := tmp_path / "c.h5", vars(found), Provenance())
    channels = Contamination(**read_contamination(file)).channels
    assert dict(zip(channels.get("name", ()), channels.get("use", ()), strict=True)) == (
        use_of(a2="bad") if is_listed else {}
    )
    assert not found.suspects()


def test_a_session_none_of_whose_channels_is_used_says_so() -> None:
    assert check(*recording(0), channels=dict.fromkeys("abcd", "bad")).reason == "no channel is used"
    neural, sound = recording(0)
    assert check(0 * neural, sound).reason == "a signal is constant"


def test_channels_are_named_by_the_corrected_level() -> None:
    """Of three recordings p = .004 is .012 when corrected: no channel is suspect at .01, one of .006 is at .02."""
    table = {"name": ["a", "b", "c"], "use": ["used", "used", "bad"], "p": [0.004, 0.006, 0.005]}
    found = [Contamination("r0", "suspect", p=0.004, channel=0, channels=table)]
    found += [Contamination(f"r{i}", "no evidence", p=0.9) for i in (1, 2)]
    assert corrected(found, 0.01)[0].suspects() == {}
    assert found[0].suspects() == {}, "not corrected yet"
    assert replace(found[0], level=0.006).suspects() == {"a": 0.004}, "below the level"
    assert corrected(found, 0.02)[0].suspects() == {"a": 0.004, "b": 0.006}
    assert corrected(found, 0.02)[0].suspects(used=False) == {"c": 0.005}


def test_high_gamma_that_follows_loudness_is_not_suspect() -> None:
    results = [check(*recording(seed, follow=6.0)).result for seed in range(10)]
    assert results == ["no evidence"] * 10


def test_p_is_never_0() -> None:
    """However strong the leak."""
    found = check(*recording(0, leak=10.0))
    assert found.p == found.p_adjusted == contamination.SMALLEST_P


def test_p_counts_the_tests() -> None:
    """One in a hundred normal scores is above 2.326."""
    assert contamination.p_of(2.326348, 10) == pytest.approx(0.1, rel=1e-5)
    assert contamination.p_of(1.0, 1000) == 1


def random_spectra(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def test_products_equal_a_loop_over_pairs_of_pieces() -> None:
    """All pairs that are no neighbours in their block, one by one; in the session those of two blocks too."""
    rng = np.random.default_rng(0)
    sound, brain, piece = random_spectra(rng, 60, 2), random_spectra(rng, 60, 3, 2), leak_statistic.PIECE
    sums, shifts = leak_statistic.PhaseSums(sound, np.array([0, 5])), (0, 5)
    pieces: list[list[np.ndarray]] = []
    for first, stop in ((0, 35), (35, 60)):  # five pieces, the last one of 3 frames, and four
        sums.add(np.arange(first, stop), brain[first:stop])
        ends = [(a, min(a + piece, stop)) for a in range(first, stop, piece)]
        pieces.append([
            np.array([[
                [sum(sound[(t + s) % 60, f].conj() * brain[t, c, f] / abs(brain[t, c, f]) for t in range(a, b))
                 for c in range(3)] for s in shifts] for f in range(2)])
            for a, b in ends
        ])  # fmt: skip
    in_blocks, variance, cubes = 0.0, 0.0, 0.0
    for own in pieces:
        pairs = [(x, y) for i, x in enumerate(own) for j, y in enumerate(own) if abs(i - j) > 1]
        in_blocks = in_blocks + sum((x * y.conj()).real for x, y in pairs)
        of_block = sum(abs(x) ** 2 * abs(y) ** 2 for x, y in pairs)
        variance, cubes = variance + of_block, cubes + of_block**1.5
    numbered = [(i, j, x) for i, own in enumerate(pieces) for j, x in enumerate(own)]
    pairs = [(x, y) for i, j, x in numbered for k, m, y in numbered if i != k or abs(j - m) > 1]
    whole = sum((x * y.conj()).real for x, y in pairs) / np.sqrt(sum(abs(x) ** 2 * abs(y) ** 2 for x, y in pairs))
    found = sums.products()
    np.testing.assert_allclose(found.values, [whole, in_blocks / np.sqrt(variance)], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.skew, [np.full_like(whole, 2), 2 * cubes / variance**1.5], rtol=1e-3)


def test_a_gamma_variable_has_its_normal_score() -> None:
    """Scipy's distributions, far into the tail."""
    for shape in (4.0, 10.0, 50.0, 1e4):
        z = np.linspace(-1, 6, 15)
        expected = scipy.stats.gamma.sf(shape + z * np.sqrt(shape), shape)
        found = scipy.stats.norm.sf(leak_statistic.gamma_score(z, np.full_like(z, shape)))
        np.testing.assert_allclose(np.log10(found), np.log10(expected), atol=0.15)
        at_mean = leak_statistic.gamma_score(np.zeros(1), np.full(1, shape))
        np.testing.assert_allclose(at_mean, scipy.stats.norm.isf(scipy.stats.gamma.sf(shape, shape)), rtol=0.01)


def scores(pairs: list[SignalPair]) -> np.ndarray:
    """Normal scores of every lag and channel, of both sums."""
    frequencies_hz = leak_spectra.compared_hz(NEURAL_HZ, CONFIG.band_hz)
    session = leak_spectra.Session.of(pairs, AUDIO_HZ, leak_spectra.Spectra(NEURAL_HZ, frequencies_hz))
    searched, unrelated = leak_statistic.shifts_of(len(session.sound))
    sums = leak_statistic.PhaseSums(leak_statistic.limited(session.sound), np.concatenate([searched, unrelated]))
    for at, brain in session.brain():
        sums.add(at, brain)
    products, emphasis = sums.products(), np.ones((len(frequencies_hz), pairs[0].neural.shape[1]))
    chance = leak_statistic.Chance.of(
        products.at(slice(len(searched), None)), emphasis, np.ones(emphasis.shape[1], bool)
    )
    return chance.score(products.at(slice(len(searched))))


def test_unrelated_signals_have_normal_scores() -> None:
    """High gamma that follows loudness included; the two sums and all lags of 20 draws of 40 s."""
    found = np.stack([scores([SignalPair(*recording(seed, follow=6.0, seconds=40))]) for seed in range(20)])
    for way in range(2):
        assert abs(found[:, way].mean()) < 0.15
        assert 0.85 < found[:, way].std() < 1.1
        assert np.mean(found[:, way] > 2.326) < 0.02


def test_only_a_frequency_that_holds_has_a_mean_and_a_size_of_its_own() -> None:
    around = np.tile([-1.0, 1.0], 50)
    values = np.broadcast_to(np.stack([0.5 + around, 0.7 + 0.1 * around, 3 * around])[:, :, None], (2, 3, 100, 1))
    products = leak_statistic.Products(values, np.zeros_like(values))
    found = leak_statistic.Chance.of(products, np.ones((3, 1)), np.ones(1, bool))
    np.testing.assert_allclose(found.mean[..., 0], 2 * [[0, 0.7, 0]])
    np.testing.assert_allclose(found.size[..., 0], 2 * [[1, np.sqrt(0.5), 3]])
    held = leak_statistic.Chance.of(products, np.array([[0.0], [1.0], [0.0]]), np.ones(1, bool))
    np.testing.assert_allclose(held.sums(products).mean(axis=1), 0, atol=1e-12, err_msg="what both always hold is off")


def test_weights_have_a_squared_sum_of_1() -> None:
    products = leak_statistic.Products(np.zeros((2, 2, 8, 1)), np.zeros((2, 2, 8, 1)))
    found = leak_statistic.Chance.of(products, np.array([[3.0], [4.0]]), np.ones(1, bool))
    np.testing.assert_allclose(found.weights[:, 0], [0.6, 0.8])


def test_a_channel_whose_frequencies_vary_together_has_a_spread_of_its_own() -> None:
    """Four frequencies that vary apart have a spread of 1, two of them alike of 1.2, all alike of 2: far from usual.

    So wide a sum is no more skewed than an exponential variable, whose shape is 1.
    """
    apart = scipy.linalg.hadamard(8)[1:5].astype(float)
    values = np.stack([apart] * 3 + [apart[[0, 0, 1, 2]], apart[[0] * 4]], axis=-1)[None].repeat(2, axis=0)
    products = leak_statistic.Products(values, np.full_like(values, 2.0))
    found = leak_statistic.Chance.of(products, np.ones((4, 5)), np.ones(5, bool))
    np.testing.assert_allclose(found.spread, [[1, 1, 1, 1, 2]] * 2)
    expected = leak_statistic.gamma_score(apart[0], np.ones(8))
    np.testing.assert_allclose(found.score(products)[..., 4], [expected] * 2)


def test_a_frequency_that_the_sound_lacks_stays_0() -> None:
    sound = random_spectra(np.random.default_rng(0), 50, 2)
    sound[:, 1] = 0
    assert np.isfinite(found := leak_statistic.limited(sound)).all()
    assert not found[:, 1].any()
    assert np.mean(np.abs(found[:, 0]) ** 2) == pytest.approx(1, rel=1e-5)


def test_signals_that_change_where_the_voice_is_are_not_suspect() -> None:
    """Trials with the voice in their middle, where muscles drown the line that the rest of a trial holds.

    Powers of the sums follow that, at any shift that keeps the middles together; their products do not.
    """
    for seed in range(6):
        rng = np.random.default_rng(seed)
        middle = np.hanning(4000)
        pairs = []
        for _ in range(30):
            line = np.sin(2 * np.pi * 83 * np.arange(4000) / NEURAL_HZ + rng.uniform(0, 6))[:, None]
            brain = line + rng.normal(0, 0.1, (4000, 4)) + 10 * (middle[:, None] > 0.5) * rng.normal(0, 1, (4000, 4))
            sound = voice(rng, 4.0) * np.interp(np.arange(32000) / 8, np.arange(4000), middle > 0.5)
            pairs.append(SignalPair(brain.astype(np.float32), sound.astype(np.float32)))
        found = check_contamination(pairs, NEURAL_HZ, AUDIO_HZ, CONFIG, recording="r")
        assert found.result == "no evidence", (seed, found.p)


def test_a_fan_that_both_hold_all_the_time_is_no_leak() -> None:
    for seed in range(4):
        neural, sound = recording(seed)
        neural += 3 * np.sin(2 * np.pi * 85 * np.arange(len(neural)) / NEURAL_HZ)[:, None].astype(np.float32)
        sound += np.float32(0.5) * np.sin(2 * np.pi * 85 * np.arange(len(sound)) / AUDIO_HZ).astype(np.float32)
        assert check(neural, sound).result == "no evidence"


def test_clocks_that_drift_apart_hide_no_leak() -> None:
    """60 ppm that the sheet does not know, over five minutes: the phases of the whole session cancel."""
    neural, sound = recording(0, leak=0.5, seconds=300.0)
    pair = SignalPair(neural, sound, 0.0, 60.0)
    found = check_contamination([pair], NEURAL_HZ, AUDIO_HZ, CONFIG, recording="r")
    assert (found.result, found.channel) == ("suspect", 2)


def test_each_trial_has_a_clock_of_its_own() -> None:
    """Trials that begin up to 10 ms off, each by as much as it likes."""
    rng, trials = np.random.default_rng(0), []
    for seed in range(12):
        neural, sound = recording(seed, leak=1.0, seconds=10.0)
        trials.append(SignalPair(neural, sound, float(rng.uniform(-0.01, 0.01))))
    found = check_contamination(trials, NEURAL_HZ, AUDIO_HZ, CONFIG, recording="r")
    assert (found.result, found.channel) == ("suspect", 2)


def test_clock_offset_is_applied() -> None:
    neural, sound = recording(0, leak=1.0, offset_s=1.5)
    with_clock, without = check(neural, sound, audio_offset_s=1.5), check(neural, sound)
    assert (with_clock.result, with_clock.lag_s) == ("suspect", 0.0)
    assert without.result == "no evidence"


@pytest.mark.parametrize("delay_s", [0.3, -0.2])
def test_a_late_or_early_leak_is_found_with_its_lag(delay_s: float) -> None:
    """The sound passed through a device, which the declared clock does not know."""
    neural, sound = recording(0, leak=1.0, offset_s=1.0)
    found = check(neural, sound, audio_offset_s=1.0 - delay_s)
    assert (found.result, found.channel) == ("suspect", 2)
    assert found.lag_s == pytest.approx(delay_s, abs=0.032)


def with_hum(neural: np.ndarray, sound: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A loud hum at 50 Hz and its harmonics in both, louder and softer at the same moments."""
    knots = np.exp(rng.normal(0, 0.7, 200))
    added = []
    for signal, rate_hz, level in ((neural, NEURAL_HZ, 30.0), (sound, AUDIO_HZ, 0.3)):
        time_s = np.arange(len(signal)) / rate_hz
        wave = sum(np.sin(2 * np.pi * 50 * h * time_s + h) / h for h in range(1, 9))
        hum = level * np.interp(time_s * 2, np.arange(200), knots) * wave
        added.append(signal + (hum[:, None] if signal.ndim == 2 else hum))
    return added[0].astype(np.float32), added[1].astype(np.float32)


def test_a_hum_that_both_hold_is_no_leak_and_hides_none() -> None:
    clean = [with_hum(*recording(seed), np.random.default_rng(seed)) for seed in range(6)]
    leaking = [with_hum(*recording(seed, leak=1.0), np.random.default_rng(seed)) for seed in range(3)]
    assert [check(*data, line_noise_hz=50.0).result for data in clean].count("suspect") <= 1
    assert [check(*data, line_noise_hz=50.0).result for data in leaking] == ["suspect"] * 3


def test_frequencies_of_the_mains_are_left_out() -> None:
    assert leak_spectra.compared_hz(1000.0, (70.0, 170.0), 50.0).tolist() == [
        70.0, 75.0, 80.0, 85.0, 90.0, 110.0, 115.0, 120.0, 125.0, 130.0, 135.0, 140.0, 160.0, 165.0, 170.0,
    ]  # fmt: skip
    assert len(leak_spectra.compared_hz(1000.0, (70.0, 170.0))) == 21
    assert leak_spectra.compared_hz(200.0, (70.0, 170.0)).max() == 95, "below half of the rate"
    found = check_contamination(
        [SignalPair(*recording(0))],
        NEURAL_HZ,
        AUDIO_HZ,
        ContaminationConfig(band_hz=(90.0, 120.0)),
        recording="r",
        line_noise_hz=50.0,
    )
    assert "mains left out" in str(found.reason)


def with_known_leak(seed: int, level_db: float, channel: int) -> tuple[np.ndarray, np.ndarray]:
    """A recording that sound leaks into with that power over the channel's background, by Welch's method."""
    neural, sound = recording(seed)
    low = scipy.signal.resample_poly(sound, 1, 8)
    frequencies, of_brain = scipy.signal.welch(neural[:, channel], NEURAL_HZ, nperseg=400)
    of_sound = scipy.signal.welch(low, NEURAL_HZ, nperseg=400)[1]
    inside = (frequencies >= 70) & (frequencies <= 170)
    ratio = of_brain[inside].sum() / of_sound[inside].sum()
    neural[:, channel] += (10 ** (level_db / 20) * np.sqrt(ratio) * low).astype(np.float32)
    return neural, sound


def test_the_detectable_leak_is_one_that_is_found() -> None:
    """A leak 2 dB above the level that is stated is found, one 7 dB below is not."""
    stated = [check(*recording(seed)).detectable_db for seed in range(6)]
    assert all(level is not None and -40 <= level <= -14 for level in stated)
    for above_db, least, most in ((2.0, 5, 6), (-7.0, 0, 1)):
        found = [check(*with_known_leak(10 + s, level + above_db, s % 4)).result for s, level in enumerate(stated)]
        assert least <= found.count("suspect") <= most, above_db


def test_a_leak_of_20_db_less_than_the_background_is_found_with_its_level() -> None:
    for seed in range(4):
        found = check(*with_known_leak(seed, -20.0, 1))
        assert (found.result, found.channel) == ("suspect", 1)
        assert found.leak_db == pytest.approx(-20, abs=4)
        assert f"about {found.leak_db:.0f} dB" in str(found.limit())


def test_a_spectrum_equals_a_fourier_transform() -> None:
    rng = np.random.default_rng(0)
    frequencies_hz = leak_spectra.compared_hz(NEURAL_HZ, CONFIG.band_hz)
    noise, starts = rng.normal(3, 1, 2000).astype(np.float32), np.array([0, 63, 1600])
    found = leak_spectra.Spectra(NEURAL_HZ, frequencies_hz).of(noise, starts)
    window = scipy.signal.get_window("blackmanharris", 400)
    whole = np.fft.rfft(np.stack([noise[a : a + 400] for a in starts]) * window)
    np.testing.assert_allclose(found, whole[:, np.rint(frequencies_hz * 0.4).astype(int)], atol=1e-3)


def test_a_window_without_a_change_has_no_spectrum() -> None:
    """A step between samples 399 and 400, of which the window from sample 1 on holds one on the far side."""
    spectra = leak_spectra.Spectra(NEURAL_HZ, leak_spectra.compared_hz(NEURAL_HZ, CONFIG.band_hz))
    step = (np.arange(1000) >= 400).astype(np.float32)
    found = spectra.of(step, np.array([0, 1, 399, 400]))
    assert np.any(found != 0, axis=1).tolist() == [False, True, True, False]


def test_the_sound_beside_a_frame_is_that_of_its_clock_as_far_as_there_is_any() -> None:
    """t_neural = t_audio (1 + 0.001) + 0.5: 20 s of the brain are 19.480519 s of the sound, frame 320 of 1000 Hz."""
    spectra = leak_spectra.Spectra(NEURAL_HZ, leak_spectra.compared_hz(NEURAL_HZ, CONFIG.band_hz))
    sound = np.random.default_rng(0).normal(size=19_481 + 400).astype(np.float32)
    pair = SignalPair(np.zeros((60_000, 1)), sound, 0.5, 1000.0)
    frames, found = spectra.of_sound(pair, sound)
    assert (frames[0], frames[-1]) == (8, 320), "from 0.5 s on, to the last window that lies whole in the sound"
    np.testing.assert_allclose(found[-1], spectra.of(sound, np.array([19_481]))[0], atol=1e-4)
    assert spectra.of_sound(pair, sound[:-1])[0][-1] == 319
    frames, found = spectra.of_sound(replace(pair, audio_offset_s=60.0), sound)
    assert (frames.shape, found.shape) == ((0,), (0, 21)), "no sound beside the brain"
    untold = SignalPair(pair.neural, sound)
    assert (untold.audio_offset_s, untold.audio_drift_ppm) == (0, 0), "one clock where the sheet tells of no other"


@pytest.mark.parametrize("seconds", [20.7, 40.0])
def test_sound_that_is_read_by_blocks_is_resampled_as_a_whole(seconds: float) -> None:
    """To its last sample, of a block and a bit and of two whole ones."""
    sound = np.random.default_rng(0).normal(size=round(seconds * AUDIO_HZ)).astype(np.float32)
    whole = soxr.resample(sound, AUDIO_HZ, NEURAL_HZ)
    np.testing.assert_allclose(leak_spectra.resampled_audio(sound, AUDIO_HZ, NEURAL_HZ), whole, atol=1e-5)


def test_a_channel_that_is_0_for_a_while_counts_by_the_rest() -> None:
    """For 35 of 60 s, not even between blocks: the background is that of the rest; of a dead channel it is 0."""
    neural = np.random.default_rng(0).normal(100, 1, (60_000, 3)).astype(np.float32)
    neural[:35_000, 1], neural[:, 2] = 0, 0
    frequencies_hz = leak_spectra.compared_hz(NEURAL_HZ, CONFIG.band_hz)
    pair = SignalPair(neural, np.ones(480_000, np.float32))
    session = leak_spectra.Session.of([pair], AUDIO_HZ, leak_spectra.Spectra(NEURAL_HZ, frequencies_hz))
    level = session.background().sum(axis=1)
    assert level[1] == pytest.approx(level[0], rel=0.15)
    assert level[2] == 0


def test_the_matrix_shows_the_lag() -> None:
    found = check(*recording(0, leak=1.0, offset_s=0.25), audio_offset_s=0.0)
    assert found.matrix is not None
    assert found.lags_s is not None
    assert found.frequencies_hz is not None
    assert found.matrix.shape == (len(found.frequencies_hz), len(found.lags_s))
    assert found.lags_s[found.matrix.mean(axis=0).argmax()] == found.lag_s == 0.25


def test_what_a_claim_must_say() -> None:
    assert "may have leaked into r" in str(check(*recording(0, leak=1.0)).limit())
    clean = check(*recording(3))
    assert clean.limit() is None
    assert "one of -8 dB might not have been" in str(replace(clean, detectable_db=None).limit())
    assert "could not be tested" in str(check(*recording(1), audio_modified="pitch_shifted").limit())
    assert clean.document()["detectable_db"] == clean.detectable_db


def test_dead_channels_do_not_hide_a_leak() -> None:
    neural, sound = recording(0, leak=1.0)
    neural[:, 0] = 0
    assert check(neural, sound).result == "suspect"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"audio_modified": "pitch_shifted"}, "pitch-shifted"),
        ({"rate_hz": 100.0}, "features only"),
        ({"is_raw": False}, "already are features"),
        ({"seconds": 5}, "needed"),
    ],
)
def test_not_testable(options: dict, reason: str) -> None:
    others = dict(options)  # a second run in this process gets the same options
    neural, sound = recording(0, leak=1.0, seconds=others.pop("seconds", 30))
    rate_hz = others.pop("rate_hz", NEURAL_HZ)
    found = check_contamination([SignalPair(neural, sound)], rate_hz, AUDIO_HZ, CONFIG, recording="r", **others)
    assert found.result == "not testable"
    assert reason in str(found.reason)


def test_ten_seconds_of_sound_are_needed() -> None:
    """Windows of .4 s begin every 1/16 s: 10.3 s have 159 of them, 10.4 s 161."""
    assert check(*recording(0, seconds=10.3)).reason == "9.9 s of sound, 10 s needed"
    assert "needed" not in str(check(*recording(0, seconds=10.4)).reason)


def test_units_do_not_matter() -> None:
    neural, sound = recording(0, leak=1.0)
    for scale in (1e-13, 1e-6, 1e6, 1e25):
        found = check((scale * neural).astype(np.float32), sound)
        assert (found.result, found.channel, found.suspects().keys()) == ("suspect", 2, {"ch003"})


def test_a_huge_sample_hides_no_leak() -> None:
    """As of a damaged file; no warning either, which pytest would turn into an error."""
    neural, sound = recording(0, leak=1.0)
    neural[20_000, 2] = 1e30
    found = check(neural, sound)
    assert (found.result, found.channel) == ("suspect", 2)


def test_of_unknown_sound_only_a_finding_counts() -> None:
    assert check(*recording(0, leak=1.0), audio_modified="unknown").result == "suspect"
    assert check(*recording(3), audio_modified="unknown").result == "not testable"


def test_p_of_the_highest_score_is_that_of_a_normal_variable_times_the_tests() -> None:
    for score, tests in ((-1.0, 1), (0.0, 1), (3.0, 20), (6.0, 5000)):
        assert contamination.p_of(score, tests) == pytest.approx(min(tests * scipy.stats.norm.sf(score), 1))
    assert contamination.p_of(40.0, 1) == contamination.SMALLEST_P
    p = np.random.default_rng(0).uniform(size=23) ** 3
    np.testing.assert_allclose(contamination.benjamini_hochberg(p), scipy.stats.false_discovery_control(p))


@pytest.mark.parametrize(("weakest", "expected"), [(-8.0, None), (-10.0, -8.0), (-24.0, -22.0), (-40.0, -38.0)])
def test_a_leak_one_step_above_the_weakest_found_is_detectable(weakest: float, expected: float | None) -> None:
    """Two probes; in the second one a leak of each level is found down to the weakest, and a weaker one by luck."""
    levels = np.array(contamination.LEAKS_DB)
    assert levels.tolist() == list(range(-8, -41, -2))
    score = np.stack([np.full(len(levels), 9.0), np.where(levels >= weakest, 5.0, 1.0)], axis=1)
    score[levels < weakest - 3] = 9.0
    assert contamination.detectable_db(score, 100) == expected
    assert contamination.detectable_db(np.zeros((len(levels), 2)), 100) is None


def test_a_leak_has_the_level_of_an_added_one_with_its_score() -> None:
    """Of three probes the middle one counts; levels end where the added ones do."""
    levels = np.array(contamination.LEAKS_DB)
    scores = np.stack([2 * (levels + 48), levels + 48, np.zeros(len(levels))], axis=1)
    for level in (-8.0, -15.0, -39.5):
        assert contamination.strength_db(level + 48, scores) == pytest.approx(level)
    assert [contamination.strength_db(x, scores) for x in (0.0, 99.0)] == [-40.0, -8.0]


def test_probes_are_spread_evenly_over_the_channels() -> None:
    assert contamination.evenly(np.arange(100, 190)).tolist() == [110, 120, 130, 140, 149, 159, 169, 179]
    assert contamination.evenly(np.array([3, 5])).tolist() == [3, 5]
    assert contamination.evenly(np.array([7])).tolist() == [7]
    assert contamination.evenly(np.zeros(0, np.intp)).size == 0


def test_limits_of_what_is_tested_are_the_ones_named() -> None:
    """340 Hz hold a signal up to 170 Hz; five frequencies and 10 s are enough."""
    five, four = (np.arange(70.0, 170, 20)[:n] for n in (5, 4))
    for rate_hz, frequencies_hz, reason in (
        (340.0, five, None),
        (339.0, five, "features only"),
        (340.0, four, "fewer"),
    ):
        found = contamination.why_not(rate_hz, CONFIG, frequencies_hz, True, "none")
        assert (found is None) if reason is None else reason in str(found)
    searched, unrelated = leak_statistic.shifts_of(640)
    assert searched.tolist() == list(range(-8, 9))
    assert (unrelated.min(), unrelated.max(), len(unrelated)) == (32, 608, 32)
    assert np.ptp(np.diff(unrelated)) <= 1


def test_a_spectrum_is_that_of_a_blackman_harris_window() -> None:
    rng, rate_hz = np.random.default_rng(0), 500.0
    series, frequencies_hz = rng.normal(2, 1, 1000).astype(np.float32), np.array([75.0, 100.0, 160.0])
    window = scipy.signal.windows.blackmanharris(200, sym=False)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(200) / rate_hz, frequencies_hz))
    starts = np.array([0, 31, 800])
    expected = [(window * (series - series.mean())[s : s + 200]) @ turns for s in starts]
    found = leak_spectra.Spectra(rate_hz, frequencies_hz).of(series, starts)
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


def test_correction_over_recordings() -> None:
    """Benjamini–Hochberg by hand: p = .01, .04, .03 of three tested -> .03, .04, .04; the untested one stays."""
    p = [0.01, 0.04, 0.03, None]
    found = [Contamination(f"r{i}", "no evidence" if v else "not testable", p=v) for i, v in enumerate(p)]
    adjusted = corrected(found, 0.035)
    assert [c.p_adjusted for c in adjusted] == [
        pytest.approx(0.03),
        pytest.approx(0.04),
        pytest.approx(0.045 * 2 / 2.25),
        None,
    ]
    assert [c.result for c in adjusted] == ["suspect", "no evidence", "no evidence", "not testable"]
    assert corrected([replace(found[1], result="suspect")], 0.05)[0].result == "suspect"


def test_blocks_of_reading_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    neural, sound = recording(2, leak=0.6, seconds=47.0)
    whole = check(neural, sound)
    monkeypatch.setattr(leak_spectra, "BLOCK_S", 3.0)
    pieces = check(neural, sound)
    assert (whole.result, pieces.result, whole.channel, pieces.channel) == ("suspect", "suspect", 2, 2)


@pytest.mark.parametrize("leak", [0.0, 3.0])
def test_one_sound_again_and_again_is_not_taken_for_clean(leak: float) -> None:
    """At far shifts of such a session, too, the sound meets itself."""
    rng = np.random.default_rng(0)
    word = rng.normal(size=1500).astype(np.float32)
    brains = rng.normal(size=(60, 1500, 4)).astype(np.float32)
    trials = [SignalPair(brain + leak * word[:, None], word) for brain in brains]
    assert check_contamination(trials, NEURAL_HZ, NEURAL_HZ, CONFIG, recording="r").result == "not testable"


@pytest.mark.parametrize("n", [300, 337, 399, 400, 401])
def test_a_trial_about_as_long_as_a_window(n: int) -> None:
    neural, sound = recording(0, leak=1.0)
    pairs = [SignalPair(neural, sound), SignalPair(neural[:n], sound[: int(AUDIO_HZ)])]
    assert check_contamination(pairs, NEURAL_HZ, AUDIO_HZ, CONFIG, recording="r").result == "suspect"


def test_a_channel_that_is_flat_most_of_the_time_is_tested() -> None:
    neural, sound = recording(0, leak=1.0)
    neural[: len(neural) * 2 // 3] = 0
    assert check(neural, sound).result == "suspect"


@pytest.mark.slow
def test_the_lines_of_the_config_that_a_suspicion_names_end_it(tmp_path: Path) -> None:
    config, file = tmp_path / "config.yaml", tmp_path / "results/contamination/sim01_run01.h5"
    config.write_text("simulate: {mode: contaminated, minutes: 1.5, channels: 8}\n")
    assert snakemake(tmp_path, str(file.relative_to(tmp_path))).returncode == 0
    found = Contamination(**read_contamination(file))
    truth = json.loads(next(tmp_path.rglob("truth.json")).read_text())
    assert list(found.suspects()) == [c["name"] for c in truth["recordings"][0]["channels"] if c["leaks"]]
    (lines,) = re.findall(r"align: \{channels: \{exclude: \[.*?\]\}\}", str(replace(found, exclude=[]).limit()))
    config.write_text(config.read_text() + lines + "\n")
    result = snakemake(tmp_path, str(file.relative_to(tmp_path)))
    assert jobs_run(result.stdout) == ["contamination"]
    without = Contamination(**read_contamination(file))
    assert (without.result, list(without.suspects(used=False))) == ("no evidence", list(found.suspects()))
