"""Acoustic contamination: does sound leak into the recording?  (the question of Roussel et al. 2020, J. Neural Eng.)

Raw signals in (neural (time, channel), audio (time,) or (time, 1)), before any re-referencing, since a common average
spreads leakage.  How closely a channel's phase follows the sound (:mod:`pipeline.evaluation.leak_statistic`) is tested
for each lag up to half a second, since sound that went through a device comes late.  Frequencies near a harmonic of the
mains are left out: a hum that both signals hold is no leak of sound.

P is the smallest of all channels that are used, lags and both kinds of sum, times their number (Bonferroni), never
below :data:`SMALLEST_P`.  Channels that are left out decide nothing; those that sound may have leaked into are named.
The result is ``suspect``, ``no evidence`` or ``not testable``, never "clean": a leak of sound that was modified after
recording cannot be seen, nor one that is too weak.  How weak follows from leaks that are added to single channels of
the same recording.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import erfc, nan, sqrt
from typing import Any, Literal

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
    where not even the strongest was.  ``channels`` is a table: the ``name`` of each, its ``use`` (``used``,
    ``constant``, ``excluded``, ``not included`` or ``bad``), and ``p``, that of its highest score times the number of
    tests; suspect are those below ``level``.  ``p`` is NaN where nothing could be tested, and the table empty of
    features.  ``exclude`` is the config's ``align.channels.exclude`` where the run has no other session, else None: its
    names hold for all sessions.
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
    channels: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    level: float | None = None
    exclude: Sequence[str] | None = None

    def document(self) -> Document:
        """What eval.json says of it (the matrix is in its artifact and in the report)."""
        left_out = ("frequencies_hz", "lags_s", "matrix", "channels", "level", "exclude")
        own = {key: value for key, value in vars(self).items() if key not in left_out}
        named = {"suspect_channels": self.suspects(), "left_out_suspect_channels": self.suspects(used=False)}
        return own | {"channel_name": self.channel_name} | named | {"limit": self.limit()}

    @property
    def channel_name(self) -> str | None:
        return None if self.channel is None else str(self.channels["name"][self.channel])

    def suspects(self, *, used: bool = True) -> dict[str, float]:
        """P of the channels that sound may have leaked into, of those that are used or of those that are left out."""
        rows = zip(*(self.channels[key] for key in ("name", "use", "p")), strict=True) if self.channels else ()
        level = self.level or 0
        return {name: p for name, use, p in rows if p < level and (use == "used") == used}

    def remedy(self) -> str:
        """What would make the recording testable again: a status in its channel table, or a line of the config."""
        found = list(self.suspects())
        if len(found) == list(self.channels["use"]).count("used"):
            return "no channel would be left without the suspect ones: find out how the sound got in"
        how = f"status bad for {', '.join(found)} in the channel table of {self.recording}"
        if self.exclude is not None:
            names = json.dumps([*self.exclude, *found], ensure_ascii=False)
            how = f"align: {{channels: {{exclude: {names}}}}}, or {how}"
        return f"to leave what is suspect out of features and check: {how}"

    def limit(self) -> str | None:
        """What a claim must say of the check; None where nothing speaks against it."""
        if self.result == "suspect":
            found = f"P = {self.p_adjusted:.2g}, channel {self.channel_name} at {self.lag_s:+.2f} s"
            found += "" if self.leak_db is None else f", about {self.leak_db:.0f} dB"
            what = "what is decoded may be the sound itself"
            return f"sound may have leaked into {self.recording} ({found}): {what}; {self.remedy()}"
        if self.result == "not testable":
            return f"whether sound leaked into {self.recording} could not be tested: {self.reason}"
        missed = f"no leak of sound was found in {self.recording}, but one of {LEAKS_DB[0]:g} dB might not have been"
        limits = [missed] if self.detectable_db is None else []
        if suspects := self.suspects(used=False):
            others = [n for n, use in zip(self.channels["name"], self.channels["use"], strict=True) if use != "used"]
            seen = (
                "" if self.detectable_db is None else f", where one of {self.detectable_db:g} dB would have been found"
            )
            limits.append(
                f"channels are left out ({', '.join(others)}), and sound may have leaked into {', '.join(suspects)}: "
                f"no leak was found in the other channels of {self.recording}{seen}"
            )
        return "; ".join(limits) or None


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
    channels: Mapping[str, str] | None = None,
) -> Contamination:
    """Check the trials of one session together; memory does not grow with a trial's channels times its length.

    ``channels`` says of each by name whether it is ``used``; without it all are.
    ``line_noise_hz`` is the frequency of the mains, 0 for none.  ``audio_modified`` is the sheet's ``none |
    pitch_shifted | unknown``: of modified sound nothing can be said; of
    unknown sound only a finding counts.  Of features (not ``is_raw``) nothing can be said either.
    """
    frequencies_hz = compared_hz(neural_rate_hz, config.band_hz, line_noise_hz)
    reason = why_not(neural_rate_hz, config, frequencies_hz, is_raw, audio_modified)
    listed: dict[str, list[Any]] = {}
    if channels and is_raw:
        listed = {"name": [*channels], "use": [*channels.values()], "p": [nan] * len(channels)}
    if not reason:
        session = Session.of(trials, audio_rate_hz, Spectra(neural_rate_hz, frequencies_hz))
        seconds = len(session.sound) / FRAME_RATE_HZ
        if seconds >= MIN_S:
            known = channels or {f"ch{i + 1:03d}": "used" for i in range(trials[0].neural.shape[1])}
            found = of_session(session, frequencies_hz, recording, audio_modified, known)
            return corrected([found if found.channels else replace(found, channels=listed)], ALONE_ALPHA)[0]
        reason = f"{seconds:.1f} s of sound, {MIN_S:g} s needed"
    return Contamination(recording, "not testable", reason, audio_modified=audio_modified, channels=listed)


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


def of_session(
    session: Session, frequencies_hz: Values, recording: str, audio_modified: str, channels: Mapping[str, str]
) -> Contamination:
    """Compare every channel with the sound, and each probe with added leaks."""
    level, heard = session.background(), power(session.sound).mean(axis=0)
    emphasis = np.sqrt(np.divide(heard, level, out=np.zeros_like(level), where=level > 0)).T
    chosen = np.array([use == "used" for use in channels.values()])
    used = emphasis.any(axis=0) & chosen
    probes = evenly(np.flatnonzero(used))
    if not len(probes):
        reason = "a signal is constant" if chosen.any() else "no channel is used"
        return Contamination(recording, "not testable", reason, audio_modified=audio_modified)
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
    found = products.at(slice(len(searched)))
    chance = Chance.of(products.at(slice(len(searched), None)), emphasis, used)
    score = chance.score(found)
    highest = score.max(axis=(0, 1))
    tests = 2 * len(searched) * int(used.sum())
    channel = int(np.where(used, highest, -np.inf).argmax())
    way, lag = np.unravel_index(score[..., channel].argmax(), score.shape[:2])
    of_sound = p_of(score_of_itself(alone.products(), heard, searched), tests)
    if min(p_of(highest[channel], tests), of_sound) >= ALONE_ALPHA:
        reason = "the sound repeats itself, or is nearly always silent: not even the sound alone would show"
        return Contamination(recording, "not testable", reason, audio_modified=audio_modified)
    of_leaks = chance.of_channels(np.tile(probes, len(LEAKS_DB))).score(with_leak.products())
    of_leaks, others = of_leaks.reshape(2, len(LEAKS_DB), len(probes)), probes != channel
    return Contamination(
        recording=recording,
        result="no evidence",
        statistic=float(highest[channel]),
        p=p_of(highest[channel], tests),
        channel=channel,
        lag_s=float(-searched[lag] / FRAME_RATE_HZ),
        leak_db=strength_db(highest[channel], of_leaks[way][:, others if others.any() else slice(None)]),
        detectable_db=detectable_db(of_leaks.max(axis=0), tests),
        frequencies_hz=frequencies_hz,
        lags_s=-searched[::-1] / FRAME_RATE_HZ,
        matrix=found.values[way, :, ::-1, channel],
        audio_modified=audio_modified,
        channels={
            "name": [*channels],
            "use": np.where(chosen & ~used, "constant", [*channels.values()]).tolist(),
            "p": [p_of(own, tests) for own in highest],
        },
    )


def score_of_itself(products: Products, heard: Values, searched: Places) -> float:
    """The highest score of a channel that holds the sound and nothing else."""
    chance = Chance.of(products.at(slice(len(searched), None)), np.sqrt(heard)[:, None], np.ones(1, bool))
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
    found = replace(found, p_adjusted=p_adjusted, level=alpha * (found.p or 0) / p_adjusted)
    if p_adjusted < alpha:
        return replace(found, result="suspect", reason=None)
    if found.audio_modified == "unknown":
        reason = "no evidence, but the sound may have been modified after recording"
        return replace(found, result="not testable", reason=reason)
    return replace(found, result="no evidence", reason=None)


def benjamini_hochberg(p: Values) -> Values:
    """Adjusted P values: the smallest false discovery rate at which each would be rejected."""
    order = np.argsort(p)[::-1]
    scaled = p[order] * len(p) / np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled), 1)
    return adjusted
