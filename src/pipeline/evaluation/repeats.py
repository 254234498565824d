"""How much of the test sound occurs in training too, and the model's r on it and on the rest.

In: the folds with their test blocks, the windows that say what each fold trained on, and the stretches of sound that
the stage repeats found twice.  A stretch is repeated where its other occurrence lies in a training or validation block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pipeline.artifacts.repeats import Repeat
from pipeline.artifacts.windows import Windows
from pipeline.evaluation.metrics import mean_of_known, mean_over_bands
from pipeline.evaluation.types import MODEL, Document, FoldPredictions, Mask, TestBlock
from pipeline.signal.correlation import correlation_per_band
from pipeline.signal.mel_statistics import active_bands

MIN_SECONDS = 1.0
"""Of speech that an r is over."""
Stretches = Mapping[str, Sequence[tuple[int, int]]]


def repeats_document(
    folds: Sequence[FoldPredictions], trained_on: Mapping[tuple[str, int], Iterable[Windows]], repeats: Iterable[Repeat]
) -> Document:
    """Share of the test's speech that occurs in training too, and r on it and on the rest; ``limit`` is the text.

    ``trained_on`` are the windows of the subjects that a fold's model was trained on.  Frames are counted over all
    folds; r is the mean over folds, then over subjects, and null where a part has less than :data:`MIN_SECONDS`.
    """
    turned = [seen for repeat in repeats for seen in (repeat, repeat.turned())]
    rows = [_fold(fold, in_training(trained_on[fold.subject, fold.fold], fold.fold), turned) for fold in folds]
    speech_s, repeated_s = (sum(row[key] for row in rows) for key in ("speech_s", "repeated_s"))
    found: Document = {
        "stretches": len(turned) // 2,
        "speech_s": speech_s,
        "repeated_s": repeated_s,
        "share_repeated": repeated_s / speech_s if speech_s else None,
        **{key: _over_subjects(rows, key) for key in ("pearson_r_repeated", "pearson_r_not_repeated")},
        "folds": rows,
    }
    return found | {"limit": repeats_limit(found)}


def repeats_limit(found: Document) -> str | None:
    """What a claim must say of repeated sound; None where no test sound occurs in training."""
    if not found["repeated_s"]:
        return None
    r = [found["pearson_r_repeated"], found["pearson_r_not_repeated"]]
    repeated, rest = ("not known" if value is None else f"{value:.2f}" for value in r)
    part = f"{100 * found['share_repeated']:.0f} % of the test's speech"
    length = f"{found['repeated_s']:.1f} of {found['speech_s']:.1f} s"
    return f"{part} ({length}) occurs in training, too: r there {repeated}, on the rest {rest}"


def in_training(windows: Iterable[Windows], fold: int) -> dict[str, list[tuple[int, int]]]:
    """Mel frames of each recording that a fold's model was trained on or chosen by."""
    found: dict[str, list[tuple[int, int]]] = {}
    for index in (part for whole in windows for part in whole.inner_folds):
        for role in ("train", "validation"):
            for block in index.blocks_of(fold, role):
                found.setdefault(index.recordings[block.recording], []).append((block.start, block.stop))
    return found


def repeated_frames(block: TestBlock, trained: Stretches, turned: Iterable[Repeat]) -> Mask:
    """(frames,) of a test block whose other occurrence lies in a stretch that was trained on."""
    repeated = np.zeros(len(block.target), bool)
    for repeat in turned:
        if repeat.recording != block.recording:
            continue
        frame = np.arange(repeat.start_frame, repeat.stop_frame)
        speed = (repeat.other_stop_frame - repeat.other_start_frame) / max(1, len(frame))
        other = repeat.other_start_frame + (frame - repeat.start_frame) * speed
        known = np.zeros(len(frame), bool)
        for start, stop in trained.get(repeat.other_recording, ()):
            known |= (other >= start) & (other < stop)
        at = frame[known] - block.start_frame
        repeated[at[(at >= 0) & (at < len(repeated))]] = True
    return repeated


def _fold(fold: FoldPredictions, trained: Stretches, turned: Sequence[Repeat]) -> Document:
    """Speech of one fold's test blocks, the part that is repeated, and r on either."""
    target = np.concatenate([block.target for block in fold.blocks])
    repeated = np.concatenate([repeated_frames(block, trained, turned) for block in fold.blocks])
    speech = target.mean(axis=1) > fold.speech_threshold_nats
    parts = {"pearson_r_repeated": speech & repeated, "pearson_r_not_repeated": speech & ~repeated}
    active = active_bands(target)
    lengths = {"speech_s": speech, "repeated_s": speech & repeated}
    seconds = {name: float(frames.sum() / fold.frame_rate_hz) for name, frames in lengths.items()}
    row: Document = {"subject": fold.subject, "fold": fold.fold, **seconds}
    model = [block.predictions.get(MODEL) for block in fold.blocks]
    known = [part for part in model if part is not None]
    for name, frames in parts.items():
        enough = repeated.any() and len(known) == len(model) and frames.sum() >= MIN_SECONDS * fold.frame_rate_hz
        r = correlation_per_band(np.concatenate(known)[frames], target[frames]) if enough else None
        mean = np.nan if r is None else float(mean_over_bands(r, active))
        row[name] = mean if np.isfinite(mean) else None
    return row


def _over_subjects(rows: Sequence[Document], key: str) -> float | None:
    """Mean over folds, then over subjects, of what is known."""
    subjects = dict.fromkeys(row["subject"] for row in rows)
    known = [[row[key] for row in rows if row["subject"] == s and row[key] is not None] for s in subjects]
    means = [np.mean(values) for values in known if values]
    return float(mean_of_known(np.array(means), axis=0)) if means else None
