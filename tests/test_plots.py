"""``python -m pipeline plot``: the pictures that each artifact has, the same bytes each time, and clear refusals."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import matplotlib as mpl
import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.artifacts.checksums import CHECKSUMS, ChunkChecksums
from pipeline.cli import main
from pipeline.errors import InputError
from pipeline.evaluation import chance
from pipeline.report import figures
from pipeline.report.plots import KINDS, Stretch, chosen_kind, kinds_of, plot

FILES = {
    "recording": "recordings/sim01_run01.h5",
    "aligned": "aligned/sim01_run01.h5",
    "mel": "mel/sim01_run01.h5",
    "windows": "windows/sim01.h5",
    "predictions": "predictions/sim01/fold0.h5",
    "baselines": "baselines/sim01/fold0.h5",
    "contamination": "contamination/sim01_run01.h5",
    "scores": "eval.json",
    "metrics": "train/sim01/fold0/metrics.csv",
}
SHORT = Stretch(None, 2.0)


@pytest.mark.parametrize("name", FILES)
def test_every_artifact_has_its_pictures_and_they_say_what_they_show(
    chain: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = figures.save
    monkeypatch.setattr(figures, "save", lambda figure, *rest: (drawn.append(figure), save(figure, *rest)))
    file = chain / "results" / FILES[name]
    for kind in kinds_of(file):
        plot(file, kind, tmp_path / f"{kind}.png", SHORT)
        picture = matplotlib.image.imread(tmp_path / f"{kind}.png")
        assert picture.shape[1] in (1350, 2100), "half a page or a page wide at 300 dpi"
        assert picture[..., :3].std() > 0.02
        labels = [a.get_xlabel() + a.get_ylabel() for a in drawn[-1].axes] + [drawn[-1].get_supxlabel()]
        assert any(re.search(r"\[.+\]|r over time|step", label) for label in labels), labels
        assert "simulated" in drawn[-1].get_suptitle()
    over_time = name in ("recording", "aligned", "mel", "predictions", "baselines")
    assert len(drawn) == len(kinds_of(file)) == len(KINDS.get(name, {"": plot})) + over_time


@pytest.fixture
def scored(chain: Path, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of predictions below the eval.json of their run, with settings that are no defaults."""
    predictions = tmp_path / "results" / FILES["predictions"]
    predictions.parent.mkdir(parents=True)
    shutil.copyfile(chain / "results" / FILES["predictions"], predictions)
    document = json.loads((chain / "results" / FILES["scores"]).read_text())
    std = target_std(predictions)
    document["settings"]["evaluate"] |= {"min_band_std_nats": float(np.median(std)), "seed": 7}
    document["settings"]["chance"] |= {"shifts": 1234, "min_shift_s": 3.0}
    (tmp_path / "results/eval.json").write_text(json.dumps(document))
    return predictions, document["settings"]


def target_std(predictions: Path) -> np.ndarray:
    """Standard deviation of each band over all test blocks, (n_mels,) [nats]."""
    with h5py.File(predictions) as file:
        return np.concatenate([block["target"][()] for block in file["blocks"].values()]).std(axis=0)


def test_bands_are_judged_by_what_the_run_recorded(
    scored: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, settings = scored
    seen: dict[str, Any] = {}
    draw, null = figures.by_band_figure, chance.subject_null
    monkeypatch.setattr(figures, "by_band_figure", lambda *own: (seen.update(left_out=own[2]), draw(*own))[1])
    monkeypatch.setattr(chance, "subject_null", lambda *own: (seen.update(n=own[1], shift=own[2]), null(*own))[1])
    plot(file, "bands", tmp_path / "x.png", SHORT)
    expected = np.flatnonzero(target_std(file) < settings["evaluate"]["min_band_std_nats"])
    assert len(expected) == 40
    assert seen["left_out"] == expected.tolist()
    assert seen["n"] == 1234
    assert seen["shift"] == 3.0


def test_bands_without_the_settings_of_their_run_are_refused(
    scored: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    file, _ = scored
    (tmp_path / "results/eval.json").unlink()
    with pytest.raises(InputError, match=r"got no eval\.json .*expected the settings of the run"):
        plot(file, "bands", tmp_path / "x.png", SHORT)
    plot(file, "pair", tmp_path / "x.png", SHORT)


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_same_file_gives_same_bytes_without_dates_or_places(chain: Path, tmp_path: Path, ending: str) -> None:
    file = chain / "results" / FILES["predictions"]
    for name in ("one", "two"):
        plot(file, "pair", tmp_path / f"{name}.{ending}", SHORT)
    content = (tmp_path / f"one.{ending}").read_bytes()
    assert content == (tmp_path / f"two.{ending}").read_bytes()
    for word in (mpl.__version__.encode(), b"dc:date", b"CreationDate", str(chain).encode()):
        assert word not in content, word


def test_start_and_length_choose_the_stretch(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Axes] = []
    monkeypatch.setattr(figures, "save", lambda figure, path, *_: (shown.append(figure.axes[0]), path.touch()))
    file = chain / "results" / FILES["mel"]
    for start_s in (10.0, None, 1e6, -5.0):
        plot(file, "mel", tmp_path / "x.png", Stretch(start_s, 4.0))
    limits = [axes.get_xlim() for axes in shown]
    assert limits[0] == pytest.approx((10, 14))
    assert sum(limits[1]) / 2 == pytest.approx(45, abs=0.1)
    assert limits[2] == pytest.approx((86, 90), abs=0.1)
    assert limits[3] == pytest.approx((0, 4))


def checked_again(dataset: h5py.Dataset) -> None:
    """Checksums that fit what was written into a copy."""
    checksums = ChunkChecksums(dataset.chunks[0])
    checksums.update(np.ascontiguousarray(dataset[...]))
    dataset.attrs[CHECKSUMS] = checksums.values()


def test_a_trace_is_at_its_time_on_the_audio_clock(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Axes] = []
    monkeypatch.setattr(figures, "save", lambda figure, path, *_: (shown.append(figure.axes[0]), path.touch()))
    file = tmp_path / "spike.h5"
    shutil.copyfile(chain / "results" / FILES["recording"], file)
    with h5py.File(file, "r+") as artifact:
        artifact["trials/sim01_run01/eeg/data"][...] = 0
        artifact["trials/sim01_run01/eeg/data"][10 * 1024, :] = 1000
        checked_again(artifact["trials/sim01_run01/eeg/data"])
        assert artifact["trial_table/audio_offset_s"][0] == 0.137
    plot(file, "raw", tmp_path / "x.png", Stretch(8.0, 4.0))
    times_s, values = np.asarray(shown[0].lines[0].get_data())
    assert times_s[np.argmax(values)] == pytest.approx(10 - 0.137, abs=2e-3)


def test_arrays_are_at_their_times(chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Axes] = []
    monkeypatch.setattr(figures, "save", lambda figure, path, *_: (shown.append(figure.axes[0]), path.touch()))
    file = tmp_path / "spike.h5"
    shutil.copyfile(chain / "results" / FILES["mel"], file)
    with h5py.File(file, "r+") as artifact:
        artifact["trials/sim01_run01/mel/data"][...] = np.random.default_rng(0).random(
            artifact["trials/sim01_run01/mel/data"].shape
        )
        artifact["trials/sim01_run01/mel/data"][1000] = 5
        checked_again(artifact["trials/sim01_run01/mel/data"])
        spike_s = artifact["trials/sim01_run01/mel/time"][1000]
    plot(file, "arrays", tmp_path / "x.png", Stretch(8.0, 4.0))
    (picture,) = shown[0].images
    left, right, *_ = picture.get_extent()
    frames = np.asarray(picture.get_array())
    assert (left, right) == pytest.approx((8, 12), abs=0.02)
    assert left + (np.argmax(frames[0]) + 0.5) * (right - left) / frames.shape[1] == pytest.approx(spike_s, abs=1e-3)


def test_inspect_draws_the_arrays(chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, kind in (("mel", "x.png"), ("recording", "y.svg")):
        assert main(["inspect", str(chain / "results" / FILES[name]), "--plot", str(tmp_path / kind)]) == 0
        assert (tmp_path / kind).stat().st_size > 1000
    assert main(["inspect", str(chain / "results" / FILES["windows"]), "--plot", str(tmp_path / "z.png")]) == 2
    assert "got arrays, expected one of split" in capsys.readouterr().err


def test_a_kind_that_the_artifact_has_not_is_refused_with_those_it_has(chain: Path, tmp_path: Path) -> None:
    predictions = chain / "results" / FILES["predictions"]
    assert chosen_kind(predictions, None) == "pair"
    with pytest.raises(InputError, match="got raw, expected one of pair, bands, attention, arrays"):
        chosen_kind(predictions, "raw")
    bare = tmp_path / "bare.h5"
    shutil.copyfile(predictions, bare)
    with h5py.File(bare, "r+") as artifact:
        del artifact["attention"]
    with pytest.raises(InputError, match="got attention, expected one of pair, bands, arrays"):
        chosen_kind(bare, "attention")
    with pytest.raises(InputError, match="expected an artifact"):
        chosen_kind(chain / "config.yaml", None)
    with pytest.raises(InputError, match=r"got \.jpg, expected \.png, \.pdf, \.svg"):
        plot(predictions, "pair", tmp_path / "x.jpg", SHORT)


def test_command(
    chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = str(chain / "results" / FILES["mel"])
    assert main(["plot", file, "--start", "3", "--seconds", "2"]) == 0
    assert capsys.readouterr().out == "plotted mel: sim01_run01_mel.png\n"
    assert (tmp_path / "sim01_run01_mel.png").is_file()
    assert main(["plot", file, "--kind", "pair"]) == 2
    assert "[--kind]: got pair, expected one of mel, arrays" in capsys.readouterr().err


@figures.styled
def a_picture(label: str) -> Figure:
    figure = Figure(figsize=(2, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], label=label)
    axes.set_xlabel(label)
    axes.legend()
    return figure


def test_labels_of_the_users_data_are_shown_as_they_are(tmp_path: Path) -> None:
    """Other text between dollar signs is mathematics to matplotlib, and unreadable mathematics its end."""
    label = r"$\frac{$ and $x_1$"
    figures.save(a_picture(label), tmp_path / "picture.svg", "svg")
    assert a_picture(label).axes[0].xaxis.label.get_parse_math() is False


def test_settings_of_the_working_directory_change_no_picture(tmp_path: Path) -> None:
    for name, settings in (("own", {}), ("other", {"lines.linewidth": 9.0, "font.size": 30.0, "axes.grid": True})):
        with mpl.rc_context(settings):
            figures.save(a_picture("x"), tmp_path / f"{name}.png", "png")
    assert (tmp_path / "own.png").read_bytes() == (tmp_path / "other.png").read_bytes()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"lines.linewidth: 9\nfont.size: 30\nsavefig.facecolor: red\n"])
def test_a_matplotlibrc_of_the_working_directory_is_not_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.csv").write_text("network,step,train_loss,val_loss\nfree,1,2,3\nfree,2,1,2\n")
    pictures = []
    for name in ("without", "with"):
        command = [sys.executable, "-m", "pipeline", "plot", "metrics.csv", "--out", f"{name}.png"]
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
        pictures.append((tmp_path / f"{name}.png").read_bytes())
        (tmp_path / "matplotlibrc").write_bytes(content)
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("name", ["MPLBACKEND", "MATPLOTLIBRC"])
def test_settings_of_matplotlib_in_the_environment_change_no_picture(tmp_path: Path, name: str) -> None:
    (tmp_path / "metrics.csv").write_text("network,step,train_loss,val_loss\nfree,1,2,3\nfree,2,1,2\n")
    (tmp_path / "there").write_bytes(b"\xff\xfe")
    for environment in (os.environ, {**os.environ, name: str(tmp_path / "there")}):
        command = [sys.executable, "-m", "pipeline", "plot", "metrics.csv", "--out", "a.png"]
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
