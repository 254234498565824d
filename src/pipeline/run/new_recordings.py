"""Predict recordings outside all folds with a finished run: ``python -m pipeline predict``."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo, aligned_info, feature_columns
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.mel import read_mel
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
    """Predict a whole aligned recording, with sound or without; returns the predictions file.

    ``run`` is the beginning of a model's digest.  Raises :class:`InputError` when there is no such
    model or recording, or when it lacks channels that the model was trained on.
    """
    if problem := id_problem(recording, "--recording", ""):
        raise InputError(problem)
    found = find_run(paths.RESULTS / "train", run)
    model, meta = load_model(found / MODEL)
    model = model.to(device_of(accelerator))
    config = ModelSettings.model_validate(meta["config"])
    aligned, mel_path = paths.aligned(recording), paths.mel(recording)
    info = aligned_info(aligned)
    subject = _subject_index(info, meta["subjects"])
    gridded = _features(info, aligned, meta["feature_names"][meta["subjects"][subject]], config)
    start, stop = covered_frames(info, config.mel)
    result = predict_continuous(model, gridded, start, stop, meta["hop_frames"], subject=subject)
    series = {"model": result.mel}
    if info.has_audio and mel_path.is_file():
        series["target"] = read_mel(mel_path)[0][start:stop]
        stop = start + len(series["target"])
        series["model"] = series["model"][: stop - start]
    times_s = config.mel.first_frame_s + np.arange(start, stop) / config.mel.frame_rate_hz
    attributes = {"subject": info.subject, "simulated": info.simulated, "run": found.name, "causal": config.causal}
    fold = PredictedFold([PredictedBlock(recording, start, times_s, series)], attributes)
    output = folder / f"{recording}_{found.name}.h5"
    inputs = [(str(aligned), info.content_digest), (str(found / MODEL), model_digest(model))]
    write_predicted(output, PREDICTIONS, fold, Provenance(config.canonical_json(), {}, inputs))
    write_mels(fold, output.with_suffix(""), npy=npy)
    return output


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


def _features(info: AlignedInfo, aligned: Path, names: list[str], config: ModelSettings) -> np.ndarray:
    """The model's channels of a recording on the mel's grid, normalised as in training."""
    columns = feature_columns(aligned)
    missing = [name for name in names if name not in columns]
    if missing:
        fix = "Predict a recording of the same subject and montage, or train with these channels excluded"
        raise InputError(
            Problem(info.recording, "channels", f"no {', '.join(missing[:5])}", "the channels of the model", fix)
        )
    if info.causal != config.causal:
        fix = "Align it with the same causal setting as the model"
        raise InputError(Problem(info.recording, "causal", str(info.causal), str(config.causal), fix))
    return normalised_features(aligned, names, covered_frames(info, config.mel)[1], config)
