"""Settings that suit the kind of recording, for doctor to suggest.  None is applied.

Muscle activity of the face reaches to about 300 Hz, so EMG gets three bands; little high gamma passes the skull
or reaches the sensors of MEG, so EEG and MEG get slow features.  The mains frequency is looked for in the recording.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.config.align import AlignConfig
from pipeline.raw.electrode_names import no_electrodes

EMG_BANDS_HZ = ((20.0, 60.0), (70.0, 170.0), (170.0, 280.0))
MAINS_HZ = (50, 60)
#: How far the mains stand out of the spectrum around them where they are named [dB], and how far around is looked [Hz].
MAINS_DB, AROUND_HZ = 10.0, 8
MOST_CHANNELS = 16


def suggestions(modality: str, rate_hz: float, config: AlignConfig, excerpts: Sequence[np.ndarray]) -> list[str]:
    """Sentences on features and mains, where the config has the default features or another mains frequency.

    ``excerpts`` are stretches (time, channel) of the recording at ``rate_hz``.
    """
    found = []
    if config.features == AlignConfig().features:
        found += _features(modality, rate_hz)
    mains = mains_hz(excerpts, rate_hz)
    if mains and mains != config.line_noise_hz:
        found.append(f"the mains show at {mains} Hz: align.line_noise_hz is {config.line_noise_hz:g}")
    return found


def other_channels(names: Sequence[str], modality: str) -> list[str]:
    """A sentence on channels that are used although their names are those of triggers, inputs or the heart."""
    found = no_electrodes(names, modality)
    fix = "write bad into the column status of the channel table, or import with --drop"
    return [f"{', '.join(found)} by name no electrodes, and used: to leave them out, {fix}"] if found else []


def _features(modality: str, rate_hz: float) -> list[str]:
    if modality in ("eeg", "meg"):
        why = f"{modality} holds little of 70-170 Hz"
        return [f"{why}: consider slow features, align.features: [{{kind: low_pass, cutoff_hz: 10}}]"]
    if modality != "emg":
        return []
    fit = [list(band) for band in EMG_BANDS_HZ if band[1] < rate_hz / 2]
    above = [f"{low:g}-{high:g} Hz" for low, high in EMG_BANDS_HZ if high >= rate_hz / 2]
    bands = ", ".join(f"[{low:g}, {high:g}]" for low, high in fit)
    text = f"muscle activity: consider align.features: [{{kind: band_envelope, bands: [{bands}]}}]"
    return [text + (f"; {' and '.join(above)} would need a higher rate than {rate_hz:g} Hz" if above else "")]


def mains_hz(excerpts: Sequence[np.ndarray], rate_hz: float) -> int | None:
    """The mains frequency that stands out of the spectrum of most channels, or None.

    Periodograms of one second (Hann), mean over the pieces of ``excerpts`` (time, channel); of 1 Hz steps the
    one at the mains is compared with the median of those around it.
    """
    n = round(rate_hz)
    pieces = [x[i : i + n, :MOST_CHANNELS] for x in excerpts for i in range(0, len(x) - n + 1, n)]
    if not pieces:
        return None
    taper = np.hanning(n)[:, None]
    power = np.mean([np.abs(np.fft.rfft(taper * (p - p.mean(axis=0)), axis=0)) ** 2 for p in pieces], axis=0)
    stands_out_db = {f: _above_around_db(power, f) for f in MAINS_HZ if f + AROUND_HZ < rate_hz / 2}
    highest = max(stands_out_db, key=lambda f: stands_out_db[f], default=0)
    return highest if highest and stands_out_db[highest] > MAINS_DB else None


def _above_around_db(power: np.ndarray, frequency_hz: int) -> float:
    """How far a frequency stands above those around it, median over channels; ``power`` (1 Hz step, channel)."""
    around = [frequency_hz + d for d in range(-AROUND_HZ, AROUND_HZ + 1) if abs(d) > 2]
    ratio = power[frequency_hz] / np.maximum(np.median(power[around], axis=0), np.finfo(float).tiny)
    return float(10 * np.log10(np.maximum(np.median(ratio), np.finfo(float).tiny)))
