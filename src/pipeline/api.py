"""The public functions: a trained model on an array, predictions, scores, and both in xarray and MNE.

``import pipeline`` gives them by name and loads what one of them needs when it is first used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.artifacts.core import Artifact, header, opened_any
from pipeline.artifacts.paths import RESULTS
from pipeline.artifacts.predictions import BANDS, BASELINES, PREDICTIONS, read_predicted
from pipeline.artifacts.recording import read_tables
from pipeline.artifacts.trials import rows_of, trial_rows, within
from pipeline.errors import InputError, Problem

if TYPE_CHECKING:
    import mne
    import pandas
    import xarray

    from pipeline.run.new_recordings import TrainedModel

#: Types of channels that MNE knows by the names of BIDS, and what stands for the others of a modality.
_MNE_TYPES = ("seeg", "ecog", "eeg", "mag", "eog", "ecg", "emg", "dbs", "misc")
_TYPE_OF = {"ieeg": "seeg", "eeg": "eeg", "meg": "mag", "emg": "emg"}
_VOLTS = {"V": 1.0, "mV": 1e-3, "µV": 1e-6, "uV": 1e-6, "nV": 1e-9}


@dataclass(frozen=True)
class Prediction:
    """Mel spectrograms of one stretch of a recording.

    ``series`` holds them by name, (frame, band) float32 in nats: ``model`` is the predicted one, ``target`` the true
    one where there is sound.  ``time_s`` (frame,) [s] are the centres of the frames on the clock of the sound;
    ``band_hz`` (band,) [Hz] those of the bands, empty where the file does not tell.
    """

    recording: str
    time_s: np.ndarray
    band_hz: np.ndarray
    series: Mapping[str, np.ndarray]

    @property
    def mel(self) -> np.ndarray:
        """The predicted mel (frame, band) [nats]."""
        return self.series["model"]


class Model:
    """A trained model, as :func:`load_model` returns it."""

    def __init__(self, trained: TrainedModel) -> None:
        self._trained = trained
        self.name = trained.name
        self.subjects: tuple[str, ...] = tuple(trained.meta["subjects"])

    def __repr__(self) -> str:
        return f"<Model {self.name[:16]} of {', '.join(self.subjects)}>"

    def channels(self, subject: str | None = None) -> tuple[str, ...]:
        """The channels that it reads, in the order in which :meth:`predict` takes them."""
        return self._trained.front_end(self._one(subject)).channels

    def predict(self, array: np.ndarray, rate_hz: float, subject: str | None = None) -> Prediction:
        """The mel that the model predicts from ``array`` (time, channel), sampled at ``rate_hz`` [Hz].

        The channels are :meth:`channels`, in the unit of the recordings that it was trained on (µV where the sheet
        declared a unit).  Time 0 is the first sample.  ``subject`` chooses one of a pooled model.
        Raises :class:`pipeline.errors.InputError` for another number of channels, or samples that are not finite.
        """
        from pipeline.run.new_arrays import predict_array

        time_s, mel = predict_array(self._trained, np.asarray(array), rate_hz, self._one(subject))
        return Prediction("array", time_s, np.array(self._trained.mel.band_edges_hz()[1:-1]), {"model": mel})

    def _one(self, subject: str | None) -> str:
        if subject is None and len(self.subjects) > 1:
            fix = f"Name one: {', '.join(self.subjects)}"
            raise InputError(Problem("subject", "", "none, and a model of several", "one of its subjects", fix))
        return subject or self.subjects[0]


def load_model(run: str | Path, accelerator: str = "auto") -> Model:
    """The model of a run: its file ``model.ckpt``, the folder that holds it, or its name or the first characters.

    A name is looked up below ``results/`` here.  Raises :class:`pipeline.errors.InputError` where there is none, or
    where it is damaged.
    """
    from pipeline.provenance.runs import MODEL
    from pipeline.run.new_recordings import TrainedModel
    from pipeline.run.run_list import named_model

    path = Path(run)
    found = next((file for file in (path, path / MODEL) if file.is_file()), None)
    file = found or named_model(str(run), RESULTS / "train", ("run", ""))
    return Model(TrainedModel.load(file, accelerator))


def load_predictions(file: str | Path) -> list[Prediction]:
    """The blocks of a file of predictions, or of baselines (``results/baselines/…``: series ``ridge`` and others).

    Raises :class:`pipeline.errors.InputError` where it is damaged or another file.
    """
    path = Path(file)
    fold = read_predicted(path, BASELINES if header(path)["stage"] == BASELINES.stage else PREDICTIONS)
    band_hz = fold.extras[BANDS][0] if BANDS in fold.extras else np.zeros(0)
    return [Prediction(block.recording, block.time_s, band_hz, block.series) for block in fold.blocks]


def load_scores(results: str | Path = RESULTS) -> pandas.DataFrame:
    """The scores of a run, ``scores.tsv``: a row for each subject, fold, seed, model and band (``mean``: over all)."""
    pandas = _package("pandas")
    path = Path(results)
    file = path / "scores.tsv" if path.is_dir() else path
    if not file.is_file():
        raise InputError(Problem(str(file), "", "no such file", "the scores of a run", "Run the stage evaluate"))
    return pandas.read_csv(file, sep="\t", dtype={"subject": str, "fold": str, "model": str, "band": str})


def to_xarray(prediction: Prediction) -> xarray.Dataset:
    """Its series as variables over ``time`` [s] and ``mel``, the band's centre frequency [Hz]."""
    xarray = _package("xarray")
    coordinates: dict[str, Any] = {"time": ("time", prediction.time_s, {"units": "s"})}
    if len(prediction.band_hz):
        coordinates["mel"] = ("mel", prediction.band_hz, {"units": "Hz"})
    variables = {name: (("time", "mel"), values, {"units": "nat"}) for name, values in prediction.series.items()}
    return xarray.Dataset(variables, coordinates, {"recording": prediction.recording})


def to_mne(source: Prediction | str | Path, recording: str | None = None) -> mne.io.RawArray:
    """A recording, its features or a prediction as :class:`mne.io.RawArray`.

    ``source`` is ``results/recordings/{session}.h5`` (signals in V where their unit is known, bad channels marked,
    events as annotations), ``results/aligned/{session}.h5`` (features, as ``misc``), or a prediction (the predicted
    mel, a ``misc`` channel for each band).  ``recording`` names a trial; without it, the first.
    """
    mne = _package("mne")
    if isinstance(source, Prediction):
        rate_hz = (len(source.time_s) - 1) / float(source.time_s[-1] - source.time_s[0])
        names = [f"mel{i:02d}" for i in range(source.mel.shape[1])]
        info = mne.create_info(names, rate_hz, "misc")
        return mne.io.RawArray(source.mel.T.astype(float), info, verbose="error")
    with opened_any(Path(source)) as artifact:
        if artifact.attribute("stage") not in ("ingest", "align"):
            got, expected = (
                f"a file of the stage {artifact.attribute('stage')}",
                "one of ingest or align, or a prediction",
            )
            raise InputError(Problem(str(source), "", got, expected, "Use load_predictions, or name another file"))
        rows = {row["recording"]: row for row in trial_rows(artifact)}
        name = recording or next(iter(rows))
        if name not in rows:
            got = f"no recording {name}"
            raise InputError(Problem(str(source), "", got, f"one of {', '.join(rows)}", "Name one of them"))
        if artifact.attribute("stage") == "ingest":
            return _raw_signals(mne, artifact, name, rows[name])
        return _features(mne, artifact, name)


def _raw_signals(mne: Any, artifact: Artifact, name: str, row: Mapping[str, Any]) -> Any:
    place = within(name, "eeg/data")
    own, tables = artifact.attributes(place), read_tables(artifact)
    channels, scale = tables["channels"], _VOLTS.get(own["units"])
    modality = str(artifact.attribute("modality"))
    kinds = [_mne_type(kind, modality) if scale else "misc" for kind in channels["type"]]
    info = mne.create_info(channels["name"], float(own["sampling_rate_hz"]), kinds)
    info["bads"] = [n for n, status in zip(channels["name"], channels["status"], strict=True) if status == "bad"]
    raw = mne.io.RawArray(artifact.read(place).T.astype(float) * (scale or 1.0), info, verbose="error")
    events = rows_of(tables["events"]).get(name)
    if events:
        from pipeline.signal.clock import audio_to_neural_s

        clock = (row["audio_offset_s"], row["audio_drift_ppm"])
        onsets = audio_to_neural_s(np.array(events["onset"], float), *clock)
        raw.set_annotations(mne.Annotations(onsets, events["duration"], events["trial_type"]), verbose="error")
    return raw


def _mne_type(kind: str, modality: str) -> str:
    return kind.lower() if kind.lower() in _MNE_TYPES else _TYPE_OF[modality]


def _features(mne: Any, artifact: Artifact, name: str) -> Any:
    place = within(name, "features/data")
    names: Sequence[str] = [column.decode() for column in artifact.read("features/name").tolist()]
    info = mne.create_info(names, float(artifact.attributes(place)["sampling_rate_hz"]), "misc")
    return mne.io.RawArray(artifact.read(place).T.astype(float), info, verbose="error")


def _package(name: str) -> Any:
    """An optional package.  Raises :class:`ImportError` with the command that installs it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(f"this needs the package {name}, which is not installed: pip install {name}") from error
