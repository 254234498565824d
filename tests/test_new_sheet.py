"""``seeg-to-audio predict --sheet``: recordings that no run knows, with sound or without."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from final_run import pipeline
from pipeline.artifacts.aligned import aligned_trials, feature_columns, read_features
from pipeline.artifacts.files import file_sha256
from pipeline.artifacts.predictions import PREDICTIONS, PredictedBlock, read_predicted
from pipeline.config.align import AlignConfig, AlignStage
from pipeline.config.root import Config
from pipeline.config.variants import FINAL
from pipeline.data.front_end import FrontEnd
from pipeline.errors import CannotWriteError, InputError
from pipeline.model.model_file import load_model, save_model
from pipeline.raw.sheet import read_sheet
from pipeline.run import new_sheet
from pipeline.run.new_recordings import TrainedModel, model_of, predict_recording, predict_session
from pipeline.run.new_sheet import Wanted, predict_sheet
from pipeline.run.run_list import named_model
from pipeline.stage import Stage
from pipeline.stages.align import align

OWN_SHEET = Path("results/simulated/recordings.tsv")


def contents(folder: Path) -> dict[str, str]:
    """sha256 of every file but those that remember others, by path."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path): file_sha256(path) for path in files}


@pytest.fixture
def lab(finished: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In the folder of the run; ``new.tsv`` of two recordings, one of them without sound, lies in the folder given."""
    monkeypatch.chdir(finished.work)
    before = contents(Path("results"))
    row = read_sheet(OWN_SHEET)[0]
    for name in filter(None, (row.channels, row.electrodes, row.events, row.audio)):
        shutil.copy(OWN_SHEET.with_name(name), tmp_path)
    neural = np.load(OWN_SHEET.with_name(row.eeg))
    np.save(tmp_path / "spoken.npy", neural)
    np.save(tmp_path / "silent.npy", neural[: 20 * int(row.eeg_rate_hz)])
    columns = "subject recording eeg eeg_rate_hz eeg_gain_uv channels audio audio_rate_hz audio_offset_s simulated"
    shared = ["sim01", row.eeg_rate_hz, row.eeg_gain_uv, row.channels]
    rows = [columns.split()]
    for name, sound, rate_hz in (("spoken", row.audio, row.audio_rate_hz), ("silent", "n/a", "n/a")):
        rows.append([shared[0], name, f"{name}.npy", *shared[1:], sound, rate_hz, row.audio_offset_s, "true"])
    (tmp_path / "new.tsv").write_text("".join("\t".join(map(str, cells)) + "\n" for cells in rows))
    yield tmp_path
    assert contents(Path("results")) == before, "the run's results stay as they are"


def the_block(file: Path) -> PredictedBlock:
    (block,) = read_predicted(file, PREDICTIONS).blocks
    return block


def test_one_command_predicts_recordings_with_and_without_sound(lab: Path) -> None:
    out = lab / "predicted"
    done = pipeline(Path(), "predict", "--subject", "sim01", "--sheet", str(lab / "new.tsv"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"predicted: {out}/predictions/{name}.h5, sound: {out}/sound/{name}" for name in ("spoken", "silent")
    ]
    spoken, silent = (the_block(out / f"predictions/{name}.h5") for name in ("spoken", "silent"))
    assert set(spoken.series) == {"model", "target"}
    assert set(silent.series) == {"model"}
    assert np.isfinite(silent.series["model"]).all()
    assert silent.time_s[-1] - silent.time_s[0] > 19
    for name, kinds in (
        ("spoken", "aligned mel predictions recordings sound"),
        ("silent", "aligned predictions sound"),
    ):
        assert {path.parent.name for path in out.glob(f"*/{name}*")} >= set(kinds.split())
        assert list((out / "sound" / name).glob(f"{name}_*_predicted.wav"))
    assert not (out / "mel/silent.h5").exists()
    assert "22 of 22 outputs are whole" in pipeline(Path(), "verify").stdout
    again = pipeline(Path(), "predict", "--subject", "sim01", "--sheet", str(lab / "new.tsv"), "--out", str(out))
    assert (again.returncode, "which holds something" in again.stderr) == (2, True)


def test_a_new_sheet_gives_what_the_run_gives_for_the_same_recording(lab: Path) -> None:
    """With the bad channels of the training left out, whatever the recording itself would have them be."""
    model = model_of("sim01", FINAL)
    of_run = the_block(predict_recording(model, "sim01_run01", lab / "run", False, "cpu"))
    wanted = Wanted(audio="all", npy=True, accelerator="cpu")
    (file,) = predict_sheet(model, OWN_SHEET, lab / "sheet", Config(), wanted)
    of_sheet = the_block(file)
    for name in ("model", "target"):
        np.testing.assert_array_equal(of_sheet.series[name], of_run.series[name])
    sounds = {path.name for path in (lab / "sheet/sound/sim01_run01").glob("sim01_run01_0_[!w]*.wav")}
    assert sounds == {f"sim01_run01_0_{kind}.wav" for kind in ("predicted", "true")} | {
        "sim01_run01_0_vocoded_true.wav"
    }
    assert (file.with_suffix("") / "sim01_run01_0_model.npy").is_file()


def test_a_missing_mel_is_said(lab: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, aligned = TrainedModel.load(model_of("sim01", FINAL), "cpu"), Path("results/aligned/sim01_run01.h5")
    predict_session(model, aligned, Path("results/mel/not_there.h5"), lab / "a.h5")
    assert "results/mel/not_there.h5 is not there: predictions without the true mel" in caplog.text
    assert set(the_block(lab / "a.h5").series) == {"model"}


def test_a_model_file_alone_is_enough(lab: Path, monkeypatch) -> None:
    shutil.copy(model_of("sim01", FINAL), lab / "model.ckpt")
    with monkeypatch.context() as elsewhere:
        elsewhere.chdir(lab)
        model = named_model("model.ckpt", Path("results/train"))
        files = predict_sheet(model, Path("new.tsv"), Path("out"), Config(), Wanted(audio="none", accelerator="cpu"))
    assert files == [Path("out/predictions/spoken.h5"), Path("out/predictions/silent.h5")]
    assert not (lab / "out/sound").exists()


@pytest.mark.parametrize("out", ["results", "results/new", "taken"])
def test_the_folder_is_a_new_one_outside_the_results(lab: Path, out: str) -> None:
    where = lab / out if out == "taken" else Path(out)
    (lab / "taken").mkdir()
    (lab / "taken/notes.txt").touch()
    with pytest.raises(InputError, match="--out"):
        predict_sheet(model_of("sim01", FINAL), lab / "new.tsv", where, Config(), Wanted(accelerator="cpu"))
    assert (lab / "taken/notes.txt").exists()


def test_nor_are_recordings_of_the_run_predicted_into_its_results(lab: Path) -> None:
    (lab / "link").symlink_to(Path("results").absolute())
    for out in (Path("results/aligned"), lab / "link/predictions/sim01"):
        with pytest.raises(InputError, match="expected a folder outside results/"):
            predict_recording(model_of("sim01", FINAL), "sim01_run01", out, False, "cpu")


@pytest.mark.parametrize("below", ["", "for_vocoders"])
def test_arrays_are_not_written_through_a_link(lab: Path, below: str) -> None:
    model, out = model_of("sim01", FINAL), lab / "new_npy"
    folder = predict_recording(model, "sim01_run01", out, False, "cpu").with_suffix("")
    link = folder / below
    link.parent.mkdir(exist_ok=True)
    (precious := lab / f"precious{below}").mkdir()
    link.symlink_to(precious)
    with pytest.raises(CannotWriteError, match="a link to elsewhere"):
        predict_recording(model, "sim01_run01", out, True, "cpu")
    assert list(precious.iterdir()) == []


def test_channels_that_the_model_reads_are_named_before_anything_is_written(lab: Path) -> None:
    sheet, model = lab / "new.tsv", model_of("sim01", FINAL)
    sheet.write_text(sheet.read_text().replace(read_sheet(sheet)[0].channels or "", "n/a"))
    with pytest.raises(InputError) as refused:
        predict_sheet(model, sheet, lab / "out", Config(), Wanted(accelerator="cpu"))
    first, second = refused.value.problems
    name = load_model(model)[1]["feature_names"]["sim01"][0]
    assert (first.field, second.field) == ("spoken, channels", "silent, channels")
    assert first.got.startswith(f"no {name}")
    assert not (lab / "out").exists()


def test_another_unit_than_in_training_is_refused(lab: Path) -> None:
    """Samples in volts whose unit is not declared would be taken for silence by a model of microvolts."""
    rows = [line.split("\t") for line in (lab / "new.tsv").read_text().splitlines()]
    gain = rows[0].index("eeg_gain_uv")
    rows[0][gain], rows[2][gain] = "eeg_units", "n/a"
    (lab / "new.tsv").write_text("".join("\t".join(cells) + "\n" for cells in (rows[0], rows[2])))
    neural = np.load(lab / "silent.npy").astype(np.float32) * 1e-7
    np.save(lab / "silent.npy", neural)
    model = TrainedModel.load(model_of("sim01", FINAL), "cpu")
    own = next(iter(model.meta["front_ends"].values()))
    assert set(own["feature_units"]) == {"µV"}
    with pytest.raises(InputError, match=r"in a\.u\., expected µV"):
        predict_sheet(model_of("sim01", FINAL), lab / "new.tsv", lab / "out", Config(), Wanted(accelerator="cpu"))


def test_channels_on_other_shafts_are_refused_where_the_reference_goes_by_them(lab: Path) -> None:
    front_end = TrainedModel.load(model_of("sim01", FINAL), "cpu").front_end("sim01")
    recording = Path("results/recordings/sim01_run01.h5")
    shafts = tuple("elsewhere" for _ in front_end.channels)
    for reference, is_refused in (("none", False), ("car", False), ("shaft", True)):
        settings = front_end.settings.align.model_copy(update={"reference": reference})
        whole = replace(front_end, settings=front_end.settings.model_copy(update={"align": settings}), shafts=shafts)
        if is_refused:
            with pytest.raises(InputError, match="elsewhere, as in training"):
                new_sheet._refuse_other_shafts(recording, whole)
        else:
            new_sheet._refuse_other_shafts(recording, whole)


def test_a_failure_on_the_way_leaves_nothing(lab: Path, monkeypatch) -> None:
    monkeypatch.setattr(new_sheet, "predict_session", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        predict_sheet(model_of("sim01", FINAL), lab / "new.tsv", lab / "out", Config(), Wanted(accelerator="cpu"))
    assert not (lab / "out").exists()


def test_of_two_commands_at_once_one_is_refused_and_neither_removes_what_is_not_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(ZeroDivisionError), new_sheet._new_folder(out):
        with pytest.raises(InputError, match="holds something"), new_sheet._new_folder(out):
            pass
        (out / "predictions").mkdir()
        (out / "notes.txt").touch()
        raise ZeroDivisionError
    assert [path.name for path in out.iterdir()] == ["notes.txt"]


def test_a_bad_channel_that_the_model_reads_is_said(lab: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = model_of("sim01", FINAL)
    row, name = read_sheet(lab / "new.tsv")[0], load_model(model)[1]["feature_names"]["sim01"][0]
    header, *lines = (lab / str(row.channels)).read_text().splitlines()
    column = header.split("\t").index("status")
    changed = [line.split("\t") for line in lines]
    for cells in changed:
        cells[column] = "bad" if cells[0] == name else cells[column]
    (lab / str(row.channels)).write_text("\n".join([header, *("\t".join(cells) for cells in changed)]) + "\n")
    with caplog.at_level(logging.WARNING):
        predict_sheet(model, lab / "new.tsv", lab / "out", Config(), Wanted(audio="none", accelerator="cpu"))
    assert f"spoken: the model reads {name} (" in caplog.text
    assert name in feature_columns(lab / "out/aligned/spoken.h5")


def test_that_the_model_is_of_another_subject_is_said(lab: Path, caplog: pytest.LogCaptureFixture) -> None:
    sheet = lab / "new.tsv"
    sheet.write_text(sheet.read_text().replace("sim01\tsilent", "P02\tsilent"))
    predict_sheet(model_of("sim01", FINAL), sheet, lab / "predicted", Config(), Wanted(audio="none"), lambda _: None)
    warnings = [record.getMessage() for record in caplog.records if "trained on" in record.getMessage()]
    assert warnings == ["warning: silent is of P02, and the model was trained on sim01"]


def test_a_model_of_an_earlier_version_is_refused(lab: Path) -> None:
    whole, meta = load_model(model_of("sim01", FINAL))
    del meta["front_ends"]
    save_model(lab / "model.ckpt", whole, meta)
    with pytest.raises(InputError, match=r"front_ends.*expected a model of this version"):
        predict_sheet(lab / "model.ckpt", lab / "new.tsv", lab / "out", Config(), Wanted(accelerator="cpu"))


@pytest.mark.parametrize(("reference", "read"), [("bipolar", 2), ("car", None), ("none", 1)])
def test_the_front_end_holds_the_channels_behind_the_features(lab: Path, reference: str, read: int | None) -> None:
    info = aligned_trials(Path("results/aligned/sim01_run01.h5"))[0]
    used = [n for n, good in zip(info.channels["name"], info.channels["used"], strict=True) if good]
    settings = AlignStage(align=AlignConfig(reference=reference), causal=False, mel=Config().mel)
    files = {"recording": [Path("results/recordings/sim01_run01.h5")], "output": [lab / "aligned.h5"]}
    align(Stage("align", settings, {}, files, {}, logging.getLogger("align")))
    name = feature_columns(lab / "aligned.h5")[0]
    front_end = FrontEnd.of_session(lab / "aligned.h5", [name])
    assert front_end == FrontEnd.from_json(front_end.as_json())
    assert len(front_end.channels) == (read or len(used))
    assert front_end.settings.align.reference == reference
    assert set(front_end.channels) <= set(used)
    files["output"] = [lab / "again.h5"]
    align(Stage("align", front_end.settings, {}, files, {}, logging.getLogger("align")))
    columns = [feature_columns(path).index(name) for path in (lab / "aligned.h5", lab / "again.h5")]
    first, again = (
        next(read_features(path, ["sim01_run01"]))[:, column]
        for path, column in zip((lab / "aligned.h5", lab / "again.h5"), columns, strict=True)
    )
    np.testing.assert_allclose(again, first, rtol=1e-5, atol=1e-6)
