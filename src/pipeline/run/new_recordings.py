"""Predict recordings outside all folds with a finished run: ``python -m pipeline predict``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo, aligned_trials, feature_columns
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.mel import mel_trials, read_mels
from pipeline.artifacts.predictions import PREDICTIONS, PredictedBlock, PredictedFold, write_predicted
from pipeline.config.checks import id_problem
from pipeline.config.ensemble import ModelSettings
from pipeline.data.spans import covered_frames
from pipeline.data.subject import normalised_features
from pipeline.errors import InputError, Problem
from pipeline.model.device import device_of
from pipeline.model.inference import predict_continuous
from pipeline.model.model_file import load_model, model_digest
from pipeline.provenance.runs import MODEL, is_finished
from pipeline.stages.predict import write_mels


def predict_recording(run: str, recording: str, folder: Path, npy: bool, accelerator: str) -> Path:
    """Predict an aligned session, or one trial of it, with sound or without; returns the predictions file.

    ``run`` is the beginning of a model's digest.  Raises :class:`InputError` when there is no such
    model or recording, or when it lacks channels that the model was trained on.
    """
    if problem := id_problem(recording, "--recording", ""):
        raise InputError(problem)
    found = find_run(paths.RESULTS / "train", run)
    model, meta = load_model(found / MODEL)
    model = model.to(device_of(accelerator))
    config = ModelSettings.model_validate(meta["config"])
    session = _session_with(recording)
    aligned = paths.aligned(session)
    trials = [info for info in aligned_trials(aligned) if recording in (session, info.recording)]
    first = trials[0]
    subject = _subject_index(first, meta["subjects"])
    gridded = _features(aligned, meta["feature_names"][meta["subjects"][subject]], config)
    mels = _mels(paths.mel(session))
    blocks = []
    for info in trials:
        start, stop = covered_frames(info, config.mel)
        features = gridded[info.recording]
        result = predict_continuous(model, features, start, stop, meta["hop_frames"], subject=subject)
        blocks.append(_block(info, start, result.mel, mels.get(info.recording), config))
    attributes = {"subject": first.subject, "simulated": first.simulated, "run": found.name, "causal": config.causal}
    fold = PredictedFold(blocks, attributes)
    output = folder / f"{recording}_{found.name}.h5"
    inputs = [(str(aligned), first.content_digest), (str(found / MODEL), model_digest(model))]
    write_predicted(output, PREDICTIONS, fold, Provenance(config.canonical_json(), {}, inputs))
    write_mels(fold, output.with_suffix(""), npy=npy)
    return output


def _session_with(recording: str) -> str:
    """The aligned session of that name, or the one that holds a trial of that name."""
    folder = paths.aligned("").parent
    if paths.aligned(recording).is_file():
        return recording
    others = (path for path in sorted(folder.glob("*.h5")))
    return next((p.stem for p in others if any(i.recording == recording for i in aligned_trials(p))), recording)


def _mels(path: Path) -> dict[str, np.ndarray]:
    """The mel (frame, band) of each trial that has sound, where it was computed."""
    names = mel_trials(path) if path.is_file() else []
    return {name: log_mel for name, (log_mel, _) in zip(names, read_mels(path, names), strict=True)} if names else {}


def _block(
    info: AlignedInfo, start: int, predicted: np.ndarray, mel: np.ndarray | None, config: ModelSettings
) -> PredictedBlock:
    series = {"model": predicted}
    if mel is not None:
        series["target"] = mel[start : start + len(predicted)]
        series["model"] = predicted[: len(series["target"])]
    times_s = config.mel.first_frame_s + np.arange(start, start + len(series["model"])) / config.mel.frame_rate_hz
    return PredictedBlock(info.recording, start, times_s, series)


def find_run(train_folder: Path, prefix: str) -> Path:
    """The run of the ensemble whose digest begins with ``prefix``.  Raises :class:`InputError`."""
    # Nothing but hexadecimal digits reaches the pattern, so that it cannot leave the folder.
    pattern = f"{prefix}*" if re.fullmatch(r"[0-9a-f]+", prefix) else ""
    finished = [run for run in sorted(train_folder.glob("*/fold*/runs/*")) if is_finished(run)]
    found = [run for run in finished if pattern and run.match(pattern)]
    if len(found) != 1:
        got = f"{prefix}, which {len(found)} finished runs begin with"
        known = ", ".join(run.name for run in finished) or "a finished run; there is none"
        raise InputError(Problem("--run", "", got, known, "See python -m pipeline runs"))
    return found[0]


def _subject_index(info: AlignedInfo, subjects: list[str]) -> int:
    """The index of the recording's subject in the model; a model of one subject accepts any."""
    if len(subjects) > 1 and info.subject not in subjects:
        fix = "Predict a recording of one of them, or train with this subject too"
        raise InputError(Problem(info.recording, "subject", info.subject, f"one of {', '.join(subjects)}", fix))
    return subjects.index(info.subject) if info.subject in subjects else 0


def _features(aligned: Path, names: list[str], config: ModelSettings) -> dict[str, np.ndarray]:
    """The model's channels of a session's trials on the mel's grid, normalised as in training, by recording."""
    columns, trials = feature_columns(aligned), aligned_trials(aligned)
    first = trials[0]
    missing = [name for name in names if name not in columns]
    if missing:
        fix = "Predict a recording of the same subject and montage, or train with these channels excluded"
        raise InputError(
            Problem(first.session, "channels", f"no {', '.join(missing[:5])}", "the channels of the model", fix)
        )
    if first.causal != config.causal:
        fix = "Align it with the same causal setting as the model"
        raise InputError(Problem(first.session, "causal", str(first.causal), str(config.causal), fix))
    n_frames = {info.recording: covered_frames(info, config.mel)[1] for info in trials}
    return dict(zip(n_frames, normalised_features(aligned, names, n_frames, config), strict=True))
