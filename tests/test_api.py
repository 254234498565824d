"""The public functions, and the page of the docs that shows them."""

from __future__ import annotations

import importlib
import json
import runpy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pipeline
from conftest import ROOT
from pipeline.artifacts import paths
from pipeline.artifacts.recording import open_recording
from pipeline.config.root import Config
from pipeline.config.variants import FINAL
from pipeline.errors import InputError
from pipeline.run.new_recordings import model_of
from pipeline.run.new_sheet import Wanted, predict_sheet

NOTEBOOK = json.loads((ROOT / "docs/python.ipynb").read_text(encoding="utf-8"))
EXAMPLES = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
#: What an example needs beyond the project's own packages, by what is in its text.
NEEDS = {"load_scores": ["pandas"], "to_xarray": ["xarray"], "h5netcdf": ["xarray", "h5netcdf"], "to_mne": ["mne"]}


@pytest.fixture
def in_run(finished: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished.work)
    return finished.results


def test_import_is_light_and_names_are_listed() -> None:
    code = (
        "import pipeline, sys; print(sorted({'numpy', 'h5py', 'torch', 'pandas'} & sys.modules.keys()), dir(pipeline))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.startswith("[]")
    assert all(f"'{name}'" in printed for name in pipeline.__all__)
    assert all(callable(getattr(pipeline, name)) for name in pipeline.__all__)
    assert not hasattr(pipeline, "load_everything")


def test_the_notebook_is_the_page() -> None:
    written = runpy.run_path(str(ROOT / "tools/notebook.py"))
    assert written["OUTPUT"].read_text(encoding="utf-8") == written["notebook"](), "python tools/notebook.py"
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    assert (NOTEBOOK["nbformat"], len(EXAMPLES)) == (4, page.count("```python"))
    if find_spec("nbformat"):
        importlib.import_module("nbformat").validate(NOTEBOOK)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_the_notebook_runs_up_to_each_example(in_run: Path, number: int) -> None:
    """After the imports and the predictions, in one namespace."""
    names: dict[str, object] = {}
    for n, example in enumerate(EXAMPLES[: number + 1]):
        needed = [package for sign, packages in NEEDS.items() if sign in example for package in packages]
        missing = [package for package in needed if find_spec(package) is None]
        if missing and n == number:
            pytest.skip(f"not installed: pip install {' '.join(missing)}")
        if not missing and (n == number or "blocks =" in example or n == 0):
            exec(compile(example, f"example {n + 1} of docs/python.ipynb", "exec"), names)


def test_an_array_gives_what_a_recording_without_sound_gives(in_run: Path, tmp_path: Path) -> None:
    model = pipeline.load_model(model_of("sim01", FINAL).parent, "cpu")
    with open_recording(paths.recording("sim01_run01")) as recording:
        names = recording.table("channels")["name"]
        whole = recording.read("trials/sim01_run01/eeg/data", 0, 15 * 1024)
    array = whole[:, [names.index(name) for name in model.channels()]]
    np.save(tmp_path / "a.npy", whole)
    (tmp_path / "channels.tsv").write_text("".join(f"{n}\n" for n in ["name", *names]))
    rows = [
        ["subject", "recording", "eeg", "eeg_rate_hz", "eeg_units", "channels", "audio", "audio_rate_hz", "simulated"]
    ]
    rows += [["sim01", "a", "a.npy", "1024", "uV", "channels.tsv", "n/a", "n/a", "true"]]
    (tmp_path / "new.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
    wanted = Wanted(audio="none", accelerator="cpu")
    (file,) = predict_sheet(model_of("sim01", FINAL), tmp_path / "new.tsv", tmp_path / "out", Config(), wanted)
    (expected,) = pipeline.load_predictions(file)
    found = model.predict(array, 1024)
    np.testing.assert_array_equal(found.mel, expected.mel)
    np.testing.assert_array_equal(found.time_s, expected.time_s)
    np.testing.assert_allclose(found.band_hz, expected.band_hz)


def test_a_model_is_found_by_file_folder_and_name(in_run: Path) -> None:
    file = paths.model("sim01", FINAL)
    model = pipeline.load_model(file)
    assert pipeline.load_model(str(file.parent)).name == pipeline.load_model(model.name[:9]).name == model.name
    assert repr(model) == f"<Model {model.name[:16]} of sim01>"
    for nowhere in ("nothing", "results"):
        with pytest.raises(InputError, match="run: got"):
            pipeline.load_model(nowhere)


@pytest.mark.parametrize(
    ("shape", "message"), [((100, 3), "a column for each"), ((100,), "a column for each"), ((1, 0), "1 sample")]
)
def test_another_array_is_refused(in_run: Path, shape: tuple[int, ...], message: str) -> None:
    model = pipeline.load_model(paths.model("sim01", FINAL))
    n = len(model.channels())
    with pytest.raises(InputError, match=message):
        model.predict(np.zeros((1, n) if shape == (1, 0) else shape), 1024)
    with pytest.raises(InputError, match="NaN"):
        model.predict(np.full((5000, n), np.nan), 1024)
    for few in (2, 10):
        with pytest.raises(InputError, match=f"{few} sample"):
            model.predict(np.zeros((few, n)), 1024)
    for rate_hz in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="rate_hz"):
            model.predict(np.zeros((5000, n)), rate_hz)
    model.subjects = ("sim01", "sim02")
    with pytest.raises(InputError, match="Name one: sim01, sim02"):
        model.channels()


@pytest.mark.parametrize("package", ["pandas", "xarray", "mne"])
def test_a_package_that_is_not_there_is_named(in_run: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    block = pipeline.load_predictions(paths.predictions("sim01", 0))[0]
    monkeypatch.setitem(sys.modules, package, None)
    functions = {"pandas": pipeline.load_scores, "xarray": pipeline.to_xarray, "mne": pipeline.to_mne}
    with pytest.raises(ImportError, match=f"pip install {package}"):
        functions[package](*([] if package == "pandas" else [block]))


def test_predictions_are_labelled_in_xarray(in_run: Path) -> None:
    pytest.importorskip("xarray", reason="not installed: pip install xarray")
    block = pipeline.load_predictions(paths.predictions("sim01", 0))[0]
    dataset = pipeline.to_xarray(block)
    assert dataset.model.dims == ("time", "mel")
    assert set(dataset.data_vars) == {"model", "target", "model_teacher_forced"}
    np.testing.assert_array_equal(dataset.mel, block.band_hz)


def test_a_file_of_predictions_opens_in_xarray_with_its_scales(in_run: Path) -> None:
    xarray = pytest.importorskip("xarray", reason="not installed: pip install xarray h5netcdf")
    pytest.importorskip("h5netcdf", reason="not installed: pip install h5netcdf")
    file = paths.predictions("sim01", 0)
    block = pipeline.load_predictions(file)[0]
    with xarray.open_dataset(file, group="blocks/0", engine="h5netcdf") as dataset:
        assert dataset.model.dims == ("time", "band_hz")
        np.testing.assert_array_equal(dataset.time, block.time_s)
        np.testing.assert_array_equal(dataset.model, block.mel)
    with xarray.open_dataset(file, group="out_of_fold/0", engine="h5netcdf") as dataset:
        assert dataset.target.dims == ("time", "band_hz")


def test_signals_and_features_become_raw_objects(in_run: Path) -> None:
    pytest.importorskip("mne", reason="not installed: pip install mne")
    raw = pipeline.to_mne(paths.recording("sim01_run01"))
    with open_recording(paths.recording("sim01_run01")) as recording:
        channels, events = recording.table("channels"), recording.table("events")
        first_uv = recording.read("trials/sim01_run01/eeg/data", 0, 3)
        offset_s = recording.table("trial_table")["audio_offset_s"][0]
    assert raw.info["sfreq"] == 1024
    assert set(raw.get_channel_types()) == {"seeg"}
    assert raw.info["bads"] == [n for n, s in zip(channels["name"], channels["status"], strict=True) if s == "bad"]
    np.testing.assert_allclose(raw.get_data()[:, :3].T * 1e6, first_uv, rtol=1e-5)
    assert len(raw.annotations) == len(events["onset"])
    assert raw.annotations.onset[0] == pytest.approx(events["onset"][0] + offset_s, abs=1e-3)
    features = pipeline.to_mne(str(paths.aligned("sim01_run01")), "sim01_run01")
    assert features.info["sfreq"] == 100
    block = pipeline.load_predictions(paths.predictions("sim01", 0))[0]
    mel = pipeline.to_mne(block)
    assert mel.info["sfreq"] == pytest.approx(22050 / 256)
    with pytest.raises(InputError, match="no recording other"):
        pipeline.to_mne(paths.recording("sim01_run01"), "other")
    with pytest.raises(InputError, match="stage predict"):
        pipeline.to_mne(paths.predictions("sim01", 0))
