"""Acoustic contamination: does sound leak into the recording?  (the question of Roussel et al. 2020, J. Neural Eng.)

Raw signals in (neural (time, channel), audio (time,) or (time, 1)), before any re-referencing, since a common average
spreads leakage.  How closely a channel's phase follows the sound (:mod:`pipeline.evaluation.leak_statistic`) is tested
for each lag up to half a second, since sound that went through a device comes late.  Frequencies near a harmonic of the
mains are left out: a hum that both signals hold is no leak of sound.

P is the smallest of all channels, lags and both kinds of sum, times their number (Bonferroni), never below
:data:`SMALLEST_P`.  The result is ``suspect``, ``no evidence`` or ``not testable``, never "clean": a leak of sound that
was modified after recording cannot be seen, nor one that is too weak.  How weak follows from leaks that are added to
single channels of the same recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import erfc, sqrt
from typing import Literal

import numpy as np

from pipeline.config.contamination import ContaminationCheck
from pipeline.evaluation.leak_spectra import FRAME_RATE_HZ, Places, Session, SignalPair, Spectra, compared_hz, power
from pipeline.evaluation.leak_statistic import Chance, PhaseSums, Products, limited, shifts_of
from pipeline.evaluation.types import Document, Values

MIN_S, MIN_FREQUENCIES = 10.0, 5
SMALLEST_P = 1e-12
"""Further out nobody knows the distribution."""
LEAKS_DB = tuple(np.arange(-8.0, -41.0, -2.0).tolist())
"""Leaks that are added to single channels: power of the sound over the channel's median background, in the band."""
PROBES = 8
"""Channels that leaks are added to, evenly spaced."""
#: Level of a recording's result before the others are known; evaluate decides again by the config.
ALONE_ALPHA = 0.01
Result = Literal["suspect", "no evidence", "not testable"]


@dataclass(frozen=True)
class Contamination:
    """Outcome for one session, which ``recording`` names.

    ``statistic`` is the normal score of ``channel`` at ``lag_s``, the highest; positive lags: the sound in the brain's
    recording is later.  ``matrix`` (frequency, lag) holds its products, in standard deviations.  ``p_adjusted`` follows
    from all recordings (:func:`corrected`).  ``leak_db`` is the level of an added leak with that score, within
    :data:`LEAKS_DB`.  ``detectable_db`` is one that is found wherever it was added (:func:`detectable_db`), None
    where not even the strongest was.
    """

    recording: str
    result: Result
    reason: str | None = None
    statistic: float | None = None
    p: float | None = None
    p_adjusted: float | None = None
    channel: int | None = None
    frequencies_hz: Values | None = None
    lags_s: Values | None = None
    matrix: Values | None = None
    audio_modified: str = "none"
    lag_s: float | None = None
    leak_db: float | None = None
    detectable_db: float | None = None

    def document(self) -> Document:
        """What eval.json says of it (the matrix is in its artifact and in the report)."""
        left_out = ("frequencies_hz", "lags_s", "matrix")
        return {key: value for key, value in vars(self).items() if key not in left_out} | {"limit": self.limit()}

    def limit(self) -> str | None:
        """What a claim must say of the check; None where nothing speaks against it."""
        if self.result == "suspect":
            found = f"P = {self.p_adjusted:.2g}, channel {self.channel} at {self.lag_s:+.2f} s"
            found += "" if self.leak_db is None else f", about {self.leak_db:.0f} dB"
            return f"sound may have leaked into {self.recording} ({found}): what is decoded may be the sound itself"
        if self.result == "not testable":
            return f"whether sound leaked into {self.recording} could not be tested: {self.reason}"
        if self.detectable_db is None:
            return f"no leak of sound was found in {self.recording}, but one of {LEAKS_DB[0]:g} dB might not have been"
        return None


def check_contamination(
    trials: Sequence[SignalPair],
    neural_rate_hz: float,
    audio_rate_hz: float,
    config: ContaminationCheck,
    *,
    recording: str,
    line_noise_hz: float = 0.0,
    is_raw: bool = True,
    audio_modified: str = "none",
) -> Contamination:
    """Check the trials of one session together; memory does not grow with a trial's channels times its length.

    ``line_noise_hz`` is the frequency of the mains, 0 for none.  ``audio_modified`` is the sheet's ``none |
    pitch_shifted | unknown``: of modified sound nothing can be said; of
    unknown sound only a finding counts.  Of features (not ``is_raw``) nothing can be said either.
    """
    frequencies_hz = compared_hz(neural_rate_hz, config.band_hz, line_noise_hz)
    reason = why_not(neural_rate_hz, config, frequencies_hz, is_raw, audio_modified)
    if not reason:
        session = Session.of(trials, audio_rate_hz, Spectra(neural_rate_hz, frequencies_hz))
        seconds = len(session.sound) / FRAME_RATE_HZ
        if seconds >= MIN_S:
            found = of_session(session, frequencies_hz, recording, audio_modified)
            return corrected([found], ALONE_ALPHA)[0]
        reason = f"{seconds:.1f} s of sound, {MIN_S:g} s needed"
    return Contamination(recording, "not testable", reason, audio_modified=audio_modified)


def why_not(
    rate_hz: float, config: ContaminationCheck, frequencies_hz: Values, is_raw: bool, audio_modified: str
) -> str | None:
    """What makes a recording untestable before any sample is read."""
    low, high = config.band_hz
    if not is_raw:
        return "the neural data already are features (align.features: given): a leak would lie in the raw signals"
    if audio_modified == "pitch_shifted":
        return "the sound was pitch-shifted after recording: a leak of the original voice would not show"
    if rate_hz / 2 < high:
        return f"neural data at {rate_hz:g} Hz hold no signal up to {high:g} Hz (features only?)"
    if len(frequencies_hz) < MIN_FREQUENCIES:
        return f"fewer than {MIN_FREQUENCIES} frequencies lie in {low:g}–{high:g} Hz, those of the mains left out"
    return None


def of_session(session: Session, frequencies_hz: Values, recording: str, audio_modified: str) -> Contamination:
    """Compare every channel with the sound, and each probe with added leaks."""
    level, heard = session.background(), power(session.sound).mean(axis=0)
    emphasis = np.sqrt(np.divide(heard, level, out=np.zeros_like(level), where=level > 0)).T
    probes = evenly(np.flatnonzero(emphasis.any(axis=0)))
    if not len(probes):
        return Contamination(recording, "not testable", "a signal is constant", audio_modified=audio_modified)
    gains = 10 ** (np.array(LEAKS_DB)[:, None] / 20) * np.sqrt(level.sum(axis=1) / heard.sum())[probes]
    sound, (searched, unrelated) = limited(session.sound), shifts_of(len(session.sound))
    sums, with_leak = PhaseSums(sound, np.concatenate([searched, unrelated])), PhaseSums(sound, np.zeros(1, np.intp))
    alone = PhaseSums(sound, np.concatenate([searched, unrelated]))
    for at, brain in session.brain():
        sums.add(at, brain)
        alone.add(at, session.sound[at][:, None])
        leaks = session.sound[at][:, None, None] * gains[..., None].astype(np.float32)
        with_leak.add(at, (brain[:, None, probes] + leaks).reshape(len(at), -1, brain.shape[2]))
    products = sums.products()
    found, chance = products.at(slice(len(searched))), Chance.of(products.at(slice(len(searched), None)), emphasis)
    score = chance.score(found)
    tests = 2 * len(searched) * int(np.count_nonzero(emphasis.any(axis=0)))
    way, lag, channel = np.unravel_index(score.argmax(), score.shape)
    of_sound = p_of(score_of_itself(alone.products(), heard, searched), tests)
    if min(p_of(score.max(), tests), of_sound) >= ALONE_ALPHA:
        reason = "the sound repeats itself, or is nearly always silent: not even the sound alone would show"
        return Contamination(recording, "not testable", reason, audio_modified=audio_modified)
    of_leaks = chance.of_channels(np.tile(probes, len(LEAKS_DB))).score(with_leak.products())
    of_leaks, others = of_leaks.reshape(2, len(LEAKS_DB), len(probes)), probes != channel
    return Contamination(
        recording=recording,
        result="no evidence",
        statistic=float(score.max()),
        p=p_of(score.max(), tests),
        channel=int(channel),
        lag_s=float(-searched[lag] / FRAME_RATE_HZ),
        leak_db=strength_db(score.max(), of_leaks[way][:, others if others.any() else slice(None)]),
        detectable_db=detectable_db(of_leaks.max(axis=0), tests),
        frequencies_hz=frequencies_hz,
        lags_s=-searched[::-1] / FRAME_RATE_HZ,
        matrix=found.values[way, :, ::-1, channel],
        audio_modified=audio_modified,
    )


def score_of_itself(products: Products, heard: Values, searched: Places) -> float:
    """The highest score of a channel that holds the sound and nothing else."""
    chance = Chance.of(products.at(slice(len(searched), None)), np.sqrt(heard)[:, None])
    return float(chance.score(products.at(slice(len(searched)))).max())


def evenly(channels: Places) -> Places:
    """:data:`PROBES` of some channels."""
    inner = np.linspace(0, len(channels) - 1, PROBES + 2)[1:-1].round().astype(np.intp)
    return channels[np.unique(inner)] if len(channels) else channels


def p_of(score: float, tests: int) -> float:
    """P of the highest of so many normal scores (Bonferroni)."""
    return min(max(tests * erfc(score / sqrt(2)) / 2, SMALLEST_P), 1.0)


def detectable_db(score: Values, tests: int) -> float | None:
    """One step above the weakest of :data:`LEAKS_DB` that is found in each probe, like all stronger ones.

    ``score`` is (leak, probe).  The step is what channels without a probe may need more.
    """
    found = np.array([p_of(lowest, tests) < ALONE_ALPHA for lowest in score.min(axis=1)])
    count = int(np.cumprod(found).sum())
    return LEAKS_DB[count - 2] if count > 1 else None


def strength_db(score: float, of_leaks: Values) -> float:
    """Level of a leak with that score, within :data:`LEAKS_DB`, by those of the probes, ``of_leaks`` (leak, probe)."""
    usual = np.median(of_leaks, axis=1)
    return float(np.interp(score, np.maximum.accumulate(usual[::-1]), LEAKS_DB[::-1]))


def corrected(found: Sequence[Contamination], alpha: float) -> list[Contamination]:
    """Set ``p_adjusted`` (Benjamini & Hochberg 1995 over the tested recordings) and the result."""
    tested = [c.p for c in found if c.p is not None]
    adjusted = iter(benjamini_hochberg(np.array(tested)))
    return [c if c.p is None else decided(c, float(next(adjusted)), alpha) for c in found]


def decided(found: Contamination, p_adjusted: float, alpha: float) -> Contamination:
    """Result from the corrected P; without evidence, sound of unknown history stays untestable."""
    if p_adjusted < alpha:
        return replace(found, p_adjusted=p_adjusted, result="suspect", reason=None)
    if found.audio_modified == "unknown":
        reason = "no evidence, but the sound may have been modified after recording"
        return replace(found, p_adjusted=p_adjusted, result="not testable", reason=reason)
    return replace(found, p_adjusted=p_adjusted, result="no evidence", reason=None)


def benjamini_hochberg(p: Values) -> Values:
    """Adjusted P values: the smallest false discovery rate at which each would be rejected."""
    order = np.argsort(p)[::-1]
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1)
    return adjusted
