"""Predict the recordings of a new sheet: ``seeg-to-audio predict --sheet new.tsv --out DIR``.

In: raw arrays of recordings with or without sound, and a trained model.  Out: a folder with what the stages ingest,
align, mel, predict and vocode make of each session, as a run lays it out.  The model brings features, channels and
normalisation; a run's own results are neither read nor written.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

from pipeline.artifacts.recording import open_recording, read_tables
from pipeline.config.base import Section
from pipeline.config.ingest import IngestStage
from pipeline.config.mel import MelStage
from pipeline.config.root import Config
from pipeline.config.vocode import ExportAudio, VocodeStage
from pipeline.data.front_end import FrontEnd
from pipeline.errors import InputError, Problem, raise_if_any
from pipeline.raw.headers import header_problems
from pipeline.raw.recording import RawRecording
from pipeline.raw.sessions import Session, SessionPlan, sessions_of
from pipeline.raw.sheet import RecordingRow, read_sheet
from pipeline.run.new_recordings import TrainedModel, listed, predict_session, results_problem
from pipeline.signal.reference import shaft_of
from pipeline.stage import Stage
from pipeline.stages.align import align
from pipeline.stages.ingest import ingest
from pipeline.stages.mel import mel
from pipeline.stages.vocode import vocode
from pipeline.vocoder.hifigan_config import checkpoint_files

C = TypeVar("C", bound=Section)
#: What is written into ``--out``.
FOLDERS = ("recordings", "aligned", "mel", "predictions", "sound")


@dataclass(frozen=True)
class Wanted:
    """What is written beside the predictions: ``audio`` as ``export.audio`` says it, and mels as ``.npy``."""

    audio: Literal["none", "predicted", "all"] = "predicted"
    npy: bool = False
    accelerator: str = "auto"


def predict_sheet(
    model_file: Path, sheet: Path, out: Path, config: Config, wanted: Wanted, say: Callable[[str], None] = print
) -> list[Path]:
    """Predict every recording of ``sheet`` into the new folder ``out``; returns the predictions' files.

    Of ``config`` the limits of valid recordings and the vocoder are used.  Raises :class:`InputError` with all
    problems of sheet, headers and channels before anything is written; where a later one stops it, what it wrote goes.
    """
    trained = TrainedModel.load(model_file, wanted.accelerator)
    sessions = sessions_of(read_sheet(sheet))
    front_ends = {session.name: trained.front_end(session.subject) for session in sessions}
    problems = [*_out_problems(out), *_model_problems(trained, sessions, front_ends, config, str(sheet))]
    raise_if_any(problems)
    vocoder = VocodeStage(vocode=config.vocode, export=ExportAudio(audio=wanted.audio), mel=trained.mel)
    files = _vocoder_files(vocoder)
    made = []
    _warn_of_other_subjects(trained, sessions)
    with _new_folder(out):
        for session in sessions:
            predictions = _predict(trained, session, front_ends[session.name], out, config, wanted)
            line = f"predicted: {predictions}"
            if wanted.audio != "none":
                line += f", sound: {_vocoded(vocoder, session.name, out, files, wanted.accelerator)}"
            say(line)
            made.append(predictions)
    return made


def _predict(
    trained: TrainedModel, session: Session, front_end: FrontEnd, out: Path, config: Config, wanted: Wanted
) -> Path:
    """From the raw files of a session to its predictions."""
    name = f"{session.name}.h5"
    recording, aligned, mels, predictions = (
        out / kind / name for kind in ("recordings", "aligned", "mel", "predictions")
    )
    _ingest(session, recording, config)
    _refuse_other_shafts(recording, front_end)
    _warn_of_bad_channels(recording, front_end)
    align(_stage("align", front_end.settings, {"recording": [recording], "output": [aligned]}))
    if session.has_audio:
        mel(_stage("mel", MelStage(mel=trained.mel), {"aligned": [aligned], "output": [mels]}))
    predict_session(trained, aligned, mels, predictions, npy=wanted.npy)
    return predictions


def _ingest(session: Session, output: Path, config: Config) -> None:
    plan = SessionPlan.of(session, {})
    with TemporaryDirectory() as folder:  # the plan names folders, which are nobody else's business
        file = Path(folder) / "plan.json"
        file.write_text(plan.text(), encoding="utf-8")
        files = {"plan": [file], "output": [output]}
        ingest(_stage("ingest", IngestStage(ingest=config.ingest), files, {"digest": plan.digest}))


def _vocoded(config: VocodeStage, name: str, out: Path, checkpoint: list[Path], accelerator: str) -> Path:
    files = {
        "predictions": [out / "predictions" / f"{name}.h5"],
        "aligned": [out / "aligned" / f"{name}.h5"],
        "checkpoint": checkpoint,
        "output": [out / "sound" / name],
    }
    vocode(_stage("vocode", config, files, {"accelerator": accelerator}))
    return out / "sound" / name


def _stage(name: str, config: C, files: dict[str, list[Path]], options: Mapping[str, str] | None = None) -> Stage[C]:
    """A stage that runs in this process and writes no log file."""
    return Stage(name, config, {}, files, dict(options or {}), logging.getLogger(name))


def _out_problems(out: Path) -> Iterator[Problem]:
    if inside := list(results_problem(out)):
        yield from inside
    elif out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        yield _taken(out)


def _taken(out: Path) -> Problem:
    fix = "Name another folder, or remove this one"
    return Problem("--out", "", f"{out}, which holds something", "a new folder", fix)


def _model_problems(
    trained: TrainedModel, sessions: list[Session], front_ends: Mapping[str, FrontEnd], config: Config, sheet: str
) -> Iterator[Problem]:
    """What is wrong with the raw files by their headers, and channels that the model reads and a recording lacks."""
    for session in sessions:
        needed = front_ends[session.name].channels

        def lacking(row: RecordingRow, raw: RawRecording, needed: tuple[str, ...] = needed) -> Iterator[Problem]:
            if missing := [name for name in needed if name not in raw.channel_names]:
                fix = "Name the channels as in training (channels.tsv), or train without these"
                got, expected = f"no {listed(missing)}", f"the {len(needed)} channels of the model {trained.name[:16]}"
                yield Problem(sheet, f"{row.recording}, channels", got, expected, fix)

        yield from header_problems(session, config.ingest, sheet, lacking)


def _refuse_other_shafts(recording: Path, front_end: FrontEnd) -> None:
    """Raise :class:`InputError` where the reference goes by shafts and a channel lies on another than in training."""
    if front_end.settings.align.reference in ("none", "car"):
        return
    with open_recording(recording) as artifact:
        table = read_tables(artifact)["channels"]
    now = dict(zip(table["name"], table.get("group", [""] * len(table["name"])), strict=True))
    own = dict(zip(front_end.channels, front_end.shafts, strict=True))
    other = [name for name, shaft in own.items() if shaft_of(name, now[name]) != shaft_of(name, shaft)]
    if other:
        name, fix = other[0], "Give the table of channels the groups of training"
        got, expected = f"{name} on {shaft_of(name, now[name])}", f"{shaft_of(name, own[name])}, as in training"
        raise InputError(Problem(recording.stem, "group", got, expected, fix))


def _warn_of_other_subjects(trained: TrainedModel, sessions: list[Session]) -> None:
    """A model of one subject takes any, whose channels may have the same names and lie elsewhere."""
    for session in sessions:
        if session.subject != (own := trained.subject_of(session.subject)):
            text = "warning: %s is of %s, and the model was trained on %s"
            logging.getLogger("predict").warning(text, session.name, session.subject, own)


def _warn_of_bad_channels(recording: Path, front_end: FrontEnd) -> None:
    """The model reads its channels whatever they hold now."""
    with open_recording(recording) as artifact:
        table = read_tables(artifact)["channels"]
    rows = zip(table["name"], table["status"], table["status_description"], strict=True)
    bad = [f"{name} ({why})" for name, status, why in rows if status == "bad" and name in front_end.channels]
    if bad:
        text = "warning: %s: the model reads %s, bad in this recording: the prediction suffers"
        logging.getLogger("predict").warning(text, recording.stem, listed(bad))


def _vocoder_files(config: VocodeStage) -> list[Path]:
    """The vocoder's checkpoint and its config, checked against the model's mel; nothing where it has none."""
    if config.vocode.vocoder != "hifigan" or config.export.audio == "none":
        return []
    return list(checkpoint_files(config.vocode, config.mel)[:2])


@contextmanager
def _new_folder(out: Path) -> Iterator[None]:
    """``out`` made, or taken where it is empty; where the block fails, what it wrote is removed, and nothing else."""
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        (out / FOLDERS[0]).mkdir()
    except FileExistsError:  # of two commands at once, one alone can
        raise InputError(_taken(out)) from None
    try:
        yield
    except BaseException:
        for name in FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
        if is_new:
            with suppress(OSError):
                out.rmdir()
        raise
