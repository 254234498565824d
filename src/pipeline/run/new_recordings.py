"""Predict aligned sessions with a trained model.

A model is named by its content digest, its file or its subject; it brings its own normalisation, and nothing is
trained.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipeline.artifacts import paths
from pipeline.artifacts.aligned import AlignedInfo, aligned_trials, feature_units
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.mel import mel_trials, read_mels
from pipeline.artifacts.predictions import PREDICTIONS, PredictedBlock, PredictedFold, write_predicted
from pipeline.artifacts.sidecar import read_sidecar, refuse_damaged
from pipeline.config.checks import id_problem
from pipeline.config.ensemble import ModelSettings
from pipeline.config.mel import MelConfig
from pipeline.config.variants import FINAL, Fold
from pipeline.data.front_end import FrontEnd
from pipeline.data.groups import group_index, model_groups
from pipeline.data.spans import covered_frames
from pipeline.data.subject import normalised_features
from pipeline.errors import CannotWriteError, InputError, Problem, raise_if_any
from pipeline.model.device import device_of
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous
from pipeline.model.model_file import load_model, model_digest
from pipeline.provenance.runs import DIGEST_CHARACTERS, MODEL
from pipeline.run.plan import POOLED, RESOLVED_CONFIG
from pipeline.signal.mel_frames import n_frames
from pipeline.stages.predict import Extras, write_mels

MOST_NAMED = 10


@dataclass(frozen=True)
class TrainedModel:
    """A model on its device, and what its file says of it; ``name`` is its content digest."""

    file: Path
    model: Ensemble
    meta: dict[str, Any]
    name: str

    @classmethod
    def load(cls, file: Path, accelerator: str = "auto") -> Self:
        """The model in a file.  Raises :class:`InputError` where it is damaged."""
        model, meta = load_model(file)
        return cls(file, model.to(device_of(accelerator)), meta, model_digest(model))

    @property
    def config(self) -> ModelSettings:
        """What it was made with."""
        return ModelSettings.model_validate(self.meta["config"])

    @property
    def mel(self) -> MelConfig:
        """The mel that it predicts."""
        return MelConfig.from_json(json.dumps(self._stored("mel")))

    def front_end(self, subject: str) -> FrontEnd:
        """From the raw channels of a subject to what the model reads."""
        return FrontEnd.from_json(self._stored("front_ends")[self.subject_of(subject)])

    def subject_of(self, subject: str, recording: str = "") -> str:
        """The subject of the model that stands for one; a model of one subject accepts any."""
        subjects = self.meta["subjects"]
        if len(subjects) > 1 and subject not in subjects:
            fix = "Predict a recording of one of them, or train with this subject too"
            raise InputError(Problem(recording or "subject", "", subject, f"one of {', '.join(subjects)}", fix))
        return subject if subject in subjects else str(subjects[0])

    def _stored(self, key: str) -> Any:
        if key not in self.meta:
            fix = "Start its run again: networks are found, and the model is written anew"
            raise InputError(Problem(str(self.file), key, "nothing", "a model of this version", fix))
        return self.meta[key]


def predict_recording(model_file: Path, recording: str, folder: Path, npy: bool, accelerator: str) -> Path:
    """Predict an aligned session of the run, or one trial of it; returns the predictions file.

    Raises :class:`InputError` when there is no such recording, or when its channels, feature rate or causal
    setting are not those that the model was trained on, and for a folder of the run's results.  Raises
    :class:`CannotWriteError` where a folder to write to is a link below ``folder``.
    """
    raise_if_any(results_problem(folder))
    trained = TrainedModel.load(model_file, accelerator)
    session = _session_with(recording)
    output = folder / f"{recording}_{trained.name[:DIGEST_CHARACTERS]}.h5"
    only = None if recording == session else recording
    if npy:
        _refuse_links(output.with_suffix(""))
    predict_session(trained, paths.aligned(session), paths.mel(session), output, only=only, npy=npy)
    return output


def _refuse_links(folder: Path) -> None:
    """Raise :class:`CannotWriteError` where one of the folders of ``.npy`` files is a link: none is written through."""
    for place in (folder, folder / "for_vocoders"):
        if place.is_symlink():
            raise CannotWriteError(place, "a link to elsewhere", "a folder, or no folder yet", "Remove the link")


def predict_session(
    trained: TrainedModel, aligned: Path, mel: Path, output: Path, *, only: str | None = None, npy: bool = False
) -> None:
    """Predict the trials of an aligned session, or ``only`` one; ``mel``, where the file exists, has their true mels.

    Raises :class:`InputError` where its features are not those that the model was trained on.
    """
    config, meta = trained.config, trained.meta
    infos = aligned_trials(aligned)
    trials = [info for info in infos if only in (None, info.recording)]
    first = infos[0]
    own = trained.subject_of(first.subject, first.recording)
    units = trained.front_end(own).units if "front_ends" in meta else {}
    _refuse_unequal(aligned, meta["feature_names"][own], meta["feature_rate_hz"][own], config, units)
    group = group_index(model_groups(meta), own, first.session)
    spans = {info.recording: covered_frames(info, config.mel) for info in infos}
    lengths = {  # those of the sound count for normalisation, as in training
        info.recording: n_frames(info.n_audio, config.mel) if info.has_audio else spans[info.recording][1]
        for info in infos
    }
    fix = "Check audio_offset_s, or leave the sound out of the sheet"
    raise_if_any(
        Problem(info.recording, "duration", "no mel frame with both signal and sound", "some", fix)
        for info in trials
        if lengths[info.recording] <= spans[info.recording][0]
    )
    features = normalised_features(aligned, meta["feature_names"][own], lengths, config)
    gridded = dict(zip(lengths, features, strict=True))
    mels = _mels(mel)
    if not mels and any(info.has_audio for info in trials):
        text = "warning: %s is not there: predictions without the true mel. To have it: seeg-to-audio run %s %s"
        logging.getLogger("predict").warning(text, mel, RESOLVED_CONFIG, mel)
    blocks = []
    for info in trials:
        (start, covered), rows = spans[info.recording], gridded[info.recording]
        stop = min(covered, lengths[info.recording])
        result = predict_continuous(trained.model, rows, start, stop, meta["hop_frames"], subject=group)
        blocks.append(_block(info, start, result.mel, mels.get(info.recording), config))
    attributes = {
        "subject": first.subject,
        "simulated": first.simulated,
        "model_digest": trained.name,
        "causal": config.causal,
    }
    extras: Extras = {"band_hz": (np.array(trained.mel.band_edges_hz()[1:-1]), ("mel",))}
    fold = PredictedFold(blocks, attributes, extras)
    file = trained.file.name if trained.file.is_absolute() else str(trained.file)
    inputs = [(str(aligned), first.content_digest), (file, trained.name)]
    write_predicted(output, PREDICTIONS, fold, Provenance(config.canonical_json(), {}, inputs))
    write_mels(fold, output.with_suffix(""), npy=npy)


def _session_with(recording: str) -> str:
    """The aligned session of that name, or the one that holds a trial of that name.

    Raises :class:`InputError` where the run has aligned neither.
    """
    if paths.aligned(recording).is_file():
        return recording
    sessions = sorted(paths.aligned("").parent.glob("*.h5"))
    found = next((p.stem for p in sessions if any(i.recording == recording for i in aligned_trials(p))), None)
    if found is None:
        names = ", ".join(path.stem for path in sessions[:MOST_NAMED]) + (" …" if len(sessions) > MOST_NAMED else "")
        got, expected = f"{recording}, which this run has not aligned", f"one of {names}" if names else "a run"
        fix = "Predict a new recording from its raw files: --sheet new.tsv --out DIR"
        raise InputError(Problem("--recording", "", got, expected, fix))
    return found


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


def model_of(subject: str, fold: Fold) -> Path:
    """The model of a subject, its own or a pooled one: the final one, or that of a fold.

    Raises :class:`InputError` with the command that makes it where there is none.
    """
    if problem := id_problem(subject, "--subject", ""):
        raise InputError(problem)
    sidecars = [paths.model_sidecar(model_id, fold) for model_id in (subject, POOLED)]
    found = [file for file in sidecars if file.is_file() and subject in read_sidecar(file)["subjects"]]
    if len(found) != 1:
        names = " and ".join(str(file.with_name(MODEL)) for file in found)
        what = "final model" if fold == FINAL else f"model of fold {fold}"
        config = RESOLVED_CONFIG if RESOLVED_CONFIG.is_file() else "CONFIG"
        fix = f"Make it: seeg-to-audio run {config} --set fold={fold}"
        modelled = {file.parents[1].name for file in (paths.RESULTS / "train").glob("*/*/model.json")}
        if found:
            fix = "Name one of them: --run DIGEST, see seeg-to-audio runs"
        elif modelled and not modelled & {subject, POOLED}:
            fix = f"Name one of the subjects with a model ({', '.join(sorted(modelled)[:MOST_NAMED])})"
        elif fold == FINAL and modelled:
            fix += ", or take the model of a fold: --fold 0"
        raise InputError(Problem("--subject", "", f"{subject}, which has {names or f'no {what}'}", f"one {what}", fix))
    refuse_damaged(found[0])
    return found[0].with_name(MODEL)


def _refuse_unequal(
    aligned: Path, names: list[str], rate_hz: float, config: ModelSettings, units: Mapping[str, str]
) -> None:
    """Raise :class:`InputError` where a session's features are not those that the model was trained on."""
    first, there = aligned_trials(aligned)[0], feature_units(aligned)
    file, problems = str(aligned), []
    if missing := [name for name in names if name not in there]:
        fix = "Predict a recording of the same subject and montage, or train with these channels excluded"
        got = f"{listed(list(there))}, without {listed(missing)}"
        problems.append(Problem(file, "channels", got, f"{listed(names)}, as in training", fix))
    if other := [name for name in names if name in there and there[name] != units.get(name, there[name])]:
        fix = "Declare eeg_units as in training"
        problems.append(
            Problem(file, "units", f"{other[0]} in {there[other[0]]}", f"{units[other[0]]}, as in training", fix)
        )
    if first.feature_rate_hz != rate_hz:
        got, expected = f"features at {first.feature_rate_hz:g} Hz", f"{rate_hz:g} Hz, as in training"
        fix = "Align it with the model's align.features and align.feature_rate_hz"
        problems.append(Problem(file, "feature_rate_hz", got, expected, fix))
    if first.causal != config.causal:
        fix = "Align it with the same causal setting as the model"
        problems.append(Problem(file, "causal", str(first.causal), str(config.causal), fix))
    raise_if_any(problems)


def results_problem(out: Path) -> Iterator[Problem]:
    """What is wrong with a folder to predict into that lies in the run's results, which are the run's alone."""
    if out.resolve().is_relative_to(paths.RESULTS.resolve()):
        fix = "Name another: a run's results stay as they are"
        yield Problem("--out", "", str(out), "a folder outside results/", fix)


def listed(names: list[str]) -> str:
    """The first five, and how many more."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
