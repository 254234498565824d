"""Figures of an artifact for papers: ``python -m pipeline plot FILE``.

In: any artifact of the workflow, ``eval.json`` or ``metrics.csv``.  Out: PNG, PDF or SVG, 178 mm wide (two
columns) or 114 mm, equal bytes for equal input.  Colours are distinguishable without red and green.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.artifacts.aligned import open_aligned
from pipeline.artifacts.contamination import read_contamination
from pipeline.artifacts.core import SCHEMA_PREFIX, Artifact, header, opened_any
from pipeline.artifacts.files import atomic_path, read_json
from pipeline.artifacts.mel import band_centres_hz, mel_trials, read_mels
from pipeline.artifacts.pictures import Axes, Figure
from pipeline.artifacts.predictions import BASELINES, PREDICTIONS, PredictedFold, read_predicted
from pipeline.artifacts.recording import open_recording
from pipeline.artifacts.trials import trial_rows, within
from pipeline.artifacts.windows import read_windows
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig
from pipeline.errors import InputError, Problem
from pipeline.evaluation import chance
from pipeline.evaluation.scores import title
from pipeline.report import figures
from pipeline.report.bands import WITHOUT_DRIFT, band_curves, chance_of_bands, never_scored
from pipeline.report.figures import BLUE, GREY, ORANGE, SKY
from pipeline.report.panels import (
    PAGE_IN,
    colorbar,
    finished,
    image,
    mel_panel,
    sound_panel,
    stacked,
    traces,
    waveform,
)
from pipeline.signal.clock import audio_to_neural_s, neural_to_audio_s
from pipeline.signal.correlation import correlation_per_band
from pipeline.signal.mel_statistics import active_bands

MOST_TRACES = 12
MOST_NAMES = 16
MOST_ARRAYS = 8
FORMATS = ("png", "pdf", "svg")
ROLES = {"train": SKY, "validation": ORANGE, "test": BLUE}
DEEPEST = 6
"""Folders from ``metrics.csv`` of a variant up to ``results/``."""
HATCHES = {"train": "", "validation": "//", "test": "xx"}


#: Of a stretch; shorter ones may hold no frame.
SHORTEST_S = 0.1


@dataclass(frozen=True)
class Stretch:
    """The part to show [s]; ``start_s`` None: the middle."""

    start_s: float | None
    length_s: float

    def __post_init__(self) -> None:
        if not self.length_s >= SHORTEST_S:
            expected = f"at least {SHORTEST_S:g} s"
            raise InputError(Problem("--seconds", "", f"{self.length_s:g} s", expected, "Name a longer stretch"))
        if self.start_s is not None and math.isnan(self.start_s):
            raise InputError(Problem("--start", "", "nan", "a time [s]", "Name a time, or leave it out"))

    def within(self, first_s: float, last_s: float) -> tuple[float, float]:
        """Start and stop on a time line from ``first_s`` to ``last_s``."""
        start_s = (first_s + last_s - self.length_s) / 2 if self.start_s is None else self.start_s
        start_s = min(max(start_s, first_s), max(first_s, last_s - self.length_s))
        return start_s, min(start_s + self.length_s, last_s)


Draw = Callable[[Path, Stretch], Figure]


def chosen_kind(file: Path, kind: str | None) -> str:
    """The requested kind of figure, or the default one.

    Raises :class:`InputError` where the file has no such picture, naming those it has.
    """
    kinds = kinds_of(file)
    chosen = kind or next(iter(kinds), None)
    if chosen not in kinds:
        expected = f"one of {', '.join(kinds)}" if kinds else "an artifact with something to draw"
        raise InputError(Problem(str(file), "--kind", str(chosen or "nothing"), expected, "Name another kind or file"))
    return str(chosen)


@figures.styled
def plot(file: Path, kind: str, out: Path, stretch: Stretch) -> None:
    """Draw the picture ``kind`` of ``file`` into ``out``, whose ending names the format.

    Raises :class:`InputError` for another ending, or where the file cannot be read.
    """
    if out.suffix[1:] not in FORMATS:
        got, fix = out.suffix or "no ending", "Name the file .png, .pdf or .svg"
        raise InputError(Problem(str(out), "--out", got, ", ".join(f".{f}" for f in FORMATS), fix))
    with _as_written(file):
        figure = kinds_of(file)[kind](file, stretch)
    if _is_simulated(file):
        figure.suptitle("simulated data", x=0.995, ha="right", fontsize=6.5, color=GREY)
    with atomic_path(out) as temporary:
        figures.save(figure, temporary, out.suffix[1:])


@contextmanager
def _as_written(file: Path) -> Iterator[None]:
    """Scores or losses that are not as a run writes them, as an InputError: only artifacts have checksums."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration, csv.Error) as error:
        if file.suffix not in (".json", ".csv"):
            raise
        got, fix = f"{type(error).__name__}: {str(error)[:80]}", "Name the file of a finished run"
        raise InputError(Problem(str(file), "", got, "what a run writes", fix)) from None


def kinds_of(file: Path) -> dict[str, Draw]:
    """The pictures of a file, the most usual first.  Raises :class:`InputError` where it is no artifact."""
    if file.name == "eval.json":
        return {"bands": bands_of_scores}
    if file.name == "metrics.csv":
        return {"curves": curves}
    schema = str(header(file)["schema"]).removeprefix(SCHEMA_PREFIX)
    found = dict(KINDS.get(schema, {}))
    if schema == "predictions":
        fold = read_predicted(file, PREDICTIONS)
        if "attention/weights" not in fold.extras:
            found.pop("attention")
        if "target" not in fold.blocks[0].series:
            found = {"mel": predicted_mel}
    if schema == "contamination" and "matrix" not in read_contamination(file):
        found.pop("matrix")
    with opened_any(file) as artifact:
        return found | ({"arrays": arrays} if arrays_over_time(artifact) else {})


def _is_simulated(file: Path) -> bool:
    """As the artifact records it, else as the eval.json of its run does."""
    if file.suffix not in (".json", ".csv"):
        with opened_any(file) as artifact:
            recorded = artifact.attribute("simulated")
        if recorded is not None:
            return bool(recorded)
    try:
        return bool(scores_of_run(file)["claims"]["simulated"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def scores_of_run(file: Path) -> dict[str, Any]:
    """The eval.json nearest above ``file`` (which may be it).  Raises OSError or ValueError where none can be read."""
    places = [folder / "eval.json" for folder in list(file.absolute().parents)[:DEEPEST]]
    found = next((place for place in places if place.is_file()), places[0])
    return dict(read_json(found))


def settings_of_run(file: Path) -> tuple[EvaluateConfig, ChanceConfig]:
    """The settings with which the run above ``file`` was scored.  Raises :class:`InputError`."""
    try:
        settings = scores_of_run(file)["settings"]
        return EvaluateConfig.model_validate(settings["evaluate"]), ChanceConfig.model_validate(settings["chance"])
    except (OSError, ValueError, KeyError):
        got, expected = "no eval.json in a folder above", "the settings of the run that scored it"
        fix = "Run the workflow to results/eval.json, and draw the file below results/"
        raise InputError(Problem(str(file), "bands", got, expected, fix)) from None


# -- recordings and features --------------------------------------------------------------------------


def raw(file: Path, stretch: Stretch) -> Figure:
    """Traces of the first trial in at most twelve channels, spread over the good ones, above the sound."""
    with open_recording(file) as recording:
        trial = trial_rows(recording)[0]
        eeg_name, audio_name = (within(trial["recording"], name) for name in ("eeg/data", "audio/data"))
        eeg = recording.dataset(eeg_name)
        own = recording.attributes(eeg_name)
        clock = (trial["audio_offset_s"], trial["audio_drift_ppm"])
        rate_hz, channels = own["sampling_rate_hz"], recording.table("channels")
        ends_s = neural_to_audio_s(np.array([0.0, (len(eeg) - 1) / rate_hz]), *clock)
        start_s, stop_s = stretch.within(float(ends_s[0]), float(ends_s[1]))
        first, stop = (audio_to_neural_s(np.array([start_s, stop_s]), *clock) * rate_hz).round().astype(int)
        good = [i for i, status in enumerate(channels["status"]) if status != "bad"] or list(range(eeg.shape[1]))
        shown = [good[i] for i in np.linspace(0, len(good) - 1, min(MOST_TRACES, len(good))).round().astype(int)]
        values = recording.read(eeg_name, first, stop)[:, shown]
        times_s = neural_to_audio_s(np.arange(first, first + len(values)) / rate_hz, *clock)
        has_audio = bool(trial["has_audio"])
        panels = stacked(0.32 * len(shown) + 0.5, *([0.8] if has_audio else []))
        traces(panels[0], times_s, values, [channels["name"][i] for i in shown], own["units"])
        if has_audio:
            sound_panel(panels[1], recording.dataset(audio_name), recording.attributes(audio_name), start_s, stop_s)
        return finished(panels, (start_s, stop_s))


def features(file: Path, stretch: Stretch) -> Figure:
    """Features of the first trial, each channel in its own standard deviations, above the mel or else the sound."""
    with open_aligned(file) as aligned:
        trial = trial_rows(aligned)[0]
        name, audio_name = trial["recording"], within(trial["recording"], "audio/data")
        times_s = aligned.read(within(name, "features/time"))
        start_s, stop_s = stretch.within(float(times_s[0]), float(times_s[-1]))
        seen = (times_s >= start_s) & (times_s <= stop_s)
        values = aligned.read(within(name, "features/data"))
        scaled = (values[seen] - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)
        panels = stacked(2.2, 1.6)
        shown = image(panels[0], scaled, times_s[seen], (-3.0, 3.0), "viridis")
        panels[0].set_ylabel(f"{', '.join(aligned.attribute('features'))}, channel")
        if values.shape[1] <= MOST_NAMES:
            panels[0].set_yticks(range(values.shape[1]), [n.decode() for n in aligned.read("features/name").tolist()])
        colorbar(panels[0], shown, "standard deviations")
        mel_file = file.parent.parent / "mel" / file.name
        if mel_file.is_file():
            mel_panel(panels[1], *next(read_mels(mel_file, [name])), (start_s, stop_s), band_centres_hz(mel_file))
        elif trial["has_audio"]:
            sound_panel(panels[1], aligned.dataset(audio_name), aligned.attributes(audio_name), start_s, stop_s)
        else:
            panels[1].remove()
            panels = panels[:1]
        return finished(panels, (start_s, stop_s))


def mel(file: Path, stretch: Stretch) -> Figure:
    """The log-mel spectrogram."""
    values, times_s = next(read_mels(file, mel_trials(file)[:1]))
    span_s = stretch.within(float(times_s[0]), float(times_s[-1]))
    panels = stacked(1.8)
    mel_panel(panels[0], values, times_s, span_s, band_centres_hz(file))
    return finished(panels, span_s)


# -- predictions --------------------------------------------------------------------------------------


def pair(file: Path, stretch: Stretch) -> Figure:
    """Target above free-running prediction, on one colour scale."""
    return _series(file, stretch, {"target": "target", "model": "prediction"})


def predicted_mel(file: Path, stretch: Stretch) -> Figure:
    """The prediction of a recording without sound."""
    return _series(file, stretch, {"model": "prediction"})


def _series(file: Path, stretch: Stretch, names: dict[str, str]) -> Figure:
    fold = read_predicted(file, PREDICTIONS)
    block = max(fold.blocks, key=lambda b: len(b.time_s))
    span_s = stretch.within(float(block.time_s[0]), float(block.time_s[-1]))
    band_hz = fold.extras["band_hz"][0] if "band_hz" in fold.extras else None
    seen = (block.time_s >= span_s[0]) & (block.time_s <= span_s[1])
    first = block.series[next(iter(names))][seen]
    panels = stacked(*[1.5] * len(names))
    for ax, (name, label) in zip(panels, names.items(), strict=True):
        limits = (float(first.min()), float(first.max()))
        mel_panel(ax, block.series[name], block.time_s, span_s, band_hz, limits)
        ax.set_title(f"{label}, {block.recording}")
    return finished(panels, span_s)


def bands(file: Path, _: Stretch) -> Figure:
    """r over time of each band, over the 95th percentile of this fold's null.

    Which bands are active and how the null is drawn is what the run's eval.json records.
    """
    evaluate, config = settings_of_run(file)
    fold = read_predicted(file, PREDICTIONS)
    joined = np.concatenate([b.series["target"] for b in fold.blocks])
    active, mean = active_bands(joined, evaluate.min_band_std_nats), joined.mean(axis=0, dtype=np.float64)
    null = _null(fold, mean, active, config, evaluate.seed)
    curves = {}
    for name in ("model", "model_teacher_forced"):
        if name in fold.blocks[0].series:
            predicted = np.concatenate([b.series[name] for b in fold.blocks]) - mean
            curves[title(name)] = np.where(active, correlation_per_band(predicted, joined - mean), np.nan)
    p95 = np.full(len(active), np.nan)
    if null.p_value is not None:
        curves[WITHOUT_DRIFT] = null.bands[0]
        p95 = np.percentile(null.bands[1:], 95, axis=0)
    band_hz = fold.extras["band_hz"][0] if "band_hz" in fold.extras else None
    return figures.by_band_figure(curves, p95, np.flatnonzero(~active).tolist(), band_hz)


def _null(fold: PredictedFold, mean: np.ndarray, active: np.ndarray, config: ChanceConfig, seed: int) -> chance.Null:
    """The null of one fold's model; its trials count as one session."""
    times_s = fold.blocks[0].time_s
    blocks = [
        chance.NullBlock(b.series["target"] - mean, b.series["model"] - mean, b.recording, "") for b in fold.blocks
    ]
    own = chance.NullFold(blocks, active, 1 / float(times_s[1] - times_s[0]))
    return chance.subject_null([own], config.shifts, config.min_shift_s, np.random.default_rng(seed))


def attention(file: Path, _: Stretch) -> Figure:
    """Attention of one window: the weight of each time of the signal for each time of sound."""
    fold = read_predicted(file, PREDICTIONS)
    extras = {name.removeprefix("attention/"): values for name, (values, _) in fold.extras.items()}
    times_s = fold.blocks[0].time_s
    frame_s = float(times_s[1] - times_s[0])
    return figures.attention_figure(
        extras["weights"][0], extras["output_frame"] * frame_s, extras["encoder_frame"] * frame_s
    )


# -- any artifact -------------------------------------------------------------------------------------


def arrays(file: Path, stretch: Stretch) -> Figure:
    """The first eight arrays over time, as they are stored."""
    with opened_any(file) as artifact:
        names = arrays_over_time(artifact)[:MOST_ARRAYS]
        figure = Figure(figsize=(PAGE_IN, 1.9 * len(names)))
        for ax, name in zip(figure.subplots(len(names), 1, squeeze=False).ravel(), names, strict=True):
            _array_panel(ax, artifact, name, stretch)
    return figure


def arrays_over_time(artifact: Artifact) -> list[str]:
    """Names of the arrays (time,) and (time, …) with at least one row, but for the time scales."""
    names = [n for n in artifact.datasets() if artifact.dimensions(n)[0] == "time" and not n.endswith("time")]
    return [name for name in names if artifact.dataset(name).ndim in (1, 2) and len(artifact.dataset(name))]


def _array_panel(ax: Axes, artifact: Artifact, name: str, stretch: Stretch) -> None:
    own, length = artifact.attributes(name), len(artifact.dataset(name))
    first_s, rate_hz = _time_line(artifact, name)
    start_s, stop_s = stretch.within(first_s, first_s + (length - 1) / rate_hz)
    first = round((start_s - first_s) * rate_hz)
    values = artifact.read(name, first, round((stop_s - first_s) * rate_hz) + 1).astype(np.float32)
    start_s = first_s + first / rate_hz
    if values.ndim == 1:
        waveform(ax, values, start_s, rate_hz)
    else:
        low, high = np.nanpercentile(values, [1, 99])
        shown = image(ax, values, start_s + np.arange(len(values)) / rate_hz, (low, high), "viridis")
        colorbar(ax, shown, own.get("units", ""))
        ax.set_ylabel(artifact.dimensions(name)[1])
    ax.set_title(f"{name} [{own.get('units', '')}]")
    ax.set_xlabel("time [s]")


def _time_line(artifact: Artifact, name: str) -> tuple[float, float]:
    """Time of an array's first row [s] and its rate [Hz], from the time scale beside it where there is one."""
    scale = artifact.dataset(name).parent.get("time")
    first_s = 0.0 if scale is None or not len(scale) else float(scale[0])
    own_hz = artifact.attributes(name).get("sampling_rate_hz")
    spacing_s = 1.0 if scale is None or len(scale) < 2 else float(scale[1] - scale[0])
    return first_s, float(own_hz or 1 / spacing_s)


# -- the rest -----------------------------------------------------------------------------------------


def latency(file: Path, _: Stretch) -> Figure:
    """r of ridge regression at one lag at a time."""
    extras = read_predicted(file, BASELINES).extras
    lag_s, r = extras["latency/lag_s"][0], extras["latency/r"][0]
    best_s = float(lag_s[np.argmax(r)])
    curve = {f"largest at {best_s * 1000:.0f} ms": (lag_s, r)}
    return figures.lines_figure(
        curve, "lag [s], positive: the signal precedes the sound", "single-lag ridge r", [best_s]
    )


def matrix(file: Path, _: Stretch) -> Figure:
    """How closely the phase of the signal follows the sound, by frequency and lag."""
    found = read_contamination(file)
    return figures.matrix_figure(found["matrix"], found["frequencies_hz"], found["lags_s"])


def split(file: Path, _: Stretch) -> Figure:
    """Which stretches train, validate and test in each fold; the gaps between them are purged."""
    windows = read_windows(file)
    rate_hz = windows.attributes["frame_rate_hz"]
    rows = [(r, fold) for r in range(len(windows.recordings)) for fold in windows.folds]
    figure = Figure(figsize=(PAGE_IN, 0.9 + 0.22 * len(rows)))
    ax = figure.subplots()
    for block in windows.blocks:
        place = rows.index((block.recording, block.fold))
        length_s = (block.stop - block.start) / rate_hz
        ax.barh(place, length_s, left=block.start / rate_hz, height=0.75, color=ROLES[block.role],
                hatch=HATCHES[block.role], edgecolor="white", linewidth=0, label=block.role)  # fmt: skip
    ax.set_yticks(range(len(rows)), [f"{windows.recordings[r]}, fold {fold}" for r, fold in rows])
    ax.invert_yaxis()
    ax.set_xlabel("time in the recording [s]")
    unique = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(unique.values(), unique.keys(), loc="outside upper left", ncols=3)
    return figure


def bands_of_scores(file: Path, _: Stretch) -> Figure:
    """r by band of the model and its baselines, mean over folds and subjects, over chance."""
    document = read_json(file)
    curves = band_curves(document, "pearson_r")
    subject, own = next(iter(document["subjects"].items()))
    predictions = file.parent / "predictions" / subject / f"fold{own['folds'][0]['fold']}.h5"
    extras = read_predicted(predictions, PREDICTIONS).extras if predictions.is_file() else {}
    band_hz = extras["band_hz"][0] if "band_hz" in extras else None
    chance_p95 = chance_of_bands(document, len(next(iter(curves.values()))))
    return figures.by_band_figure(curves, chance_p95, never_scored(document), band_hz)


def curves(file: Path, _: Stretch) -> Figure:
    """Losses of each network over training steps."""
    with file.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    if not rows:
        raise ValueError("no row")
    lines = {}
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [row for row in rows if row["network"] == network]
        steps = np.array([float(row["step"]) for row in own])
        for name in ("train_loss", "val_loss"):
            lines[f"{network}, {name}"] = (steps, np.array([float(row[name] or "nan") for row in own]))
    return figures.lines_figure(lines, "training step", "loss")


KINDS: dict[str, dict[str, Draw]] = {
    "recording": {"raw": raw},
    "aligned": {"features": features},
    "mel": {"mel": mel},
    "windows": {"split": split},
    "predictions": {"pair": pair, "bands": bands, "attention": attention},
    "baselines": {"latency": latency},
    "contamination": {"matrix": matrix},
}
"""Pictures by schema, the one that is drawn unless another is named first."""
