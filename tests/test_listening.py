"""Sounds to compare by ear: equally loud, whole words, in TensorBoard with the scores and settings of their run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread
from tensorboard import context as tensorboard_context
from tensorboard.backend.event_processing import data_provider, event_file_loader, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from pipeline.artifacts.event_file import EventFile, folder_for, folders_of
from pipeline.config.model import ModelConfig
from pipeline.config.train import TrainConfig
from pipeline.model.presets import run_title
from pipeline.report.tensorboard import hyper_parameters
from pipeline.vocoder.loudness import PEAK, equally_loud, excerpt, loudness_db

RATE_HZ = 22050


def noise(seconds: float, amplitude: float = 0.1, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0, amplitude, round(seconds * RATE_HZ))
    return values.astype(np.float32)


# -- loudness ---------------------------------------------------------------------------------------


def test_loudness_is_the_rms_and_pauses_do_not_count() -> None:
    sound = noise(2.0)
    assert loudness_db(sound, RATE_HZ) == pytest.approx(-20, abs=0.1)
    paused = np.concatenate([sound, noise(6.0, 1e-3)])
    assert loudness_db(paused, RATE_HZ) == pytest.approx(-20, abs=0.1)
    assert loudness_db(np.zeros(100, np.float32), RATE_HZ) == -np.inf
    assert loudness_db(np.zeros(0, np.float32), RATE_HZ) == -np.inf


def test_sounds_are_brought_to_one_loudness() -> None:
    found = equally_loud({"loud": noise(1.0, 0.3), "soft": noise(1.0, 0.003, seed=1)}, RATE_HZ)
    assert [loudness_db(wave, RATE_HZ) for wave in found.values()] == pytest.approx([-23, -23], abs=0.01)
    assert all(wave.dtype == np.float32 for wave in found.values())


def test_peaks_turn_all_down_alike_and_silence_stays() -> None:
    click = noise(1.0, 0.001)
    click[5000] = 0.5
    given = {"click": click, "plain": noise(1.0), "silent": noise(1.0, 5e-5)}
    found = equally_loud(given, RATE_HZ)
    assert np.abs(found["click"]).max() == pytest.approx(PEAK)
    assert loudness_db(found["click"], RATE_HZ) == pytest.approx(loudness_db(found["plain"], RATE_HZ), abs=0.01)
    assert loudness_db(found["plain"], RATE_HZ) < -23
    assert np.abs(found["silent"]).max() <= np.abs(given["silent"]).max()


def test_excerpts_are_cut_in_time_and_faded() -> None:
    ones = np.ones(RATE_HZ, np.float32)
    part = excerpt(ones, RATE_HZ, 0.25, 0.5)
    assert len(part) == round(0.5 * RATE_HZ) - round(0.25 * RATE_HZ)
    assert part[0] == part[-1] == 0.0
    assert part[300:-300].min() == 1.0
    assert ones.min() == 1.0
    assert len(excerpt(ones, RATE_HZ, -0.1, 0.1)) == 2205
    assert len(excerpt(ones, RATE_HZ, 0.9, 1.4)) == 2205
    assert len(excerpt(ones, RATE_HZ, 2.0, 3.0)) == 0


# -- what a run leaves ------------------------------------------------------------------------------


def test_blocks_and_words_are_written_equally_loud(chain: Path) -> None:
    folder = chain / "results/sound/sim01/fold0"
    names = [file.name.removesuffix("_predicted.wav") for file in folder.glob("*_predicted.wav")]
    assert sum("_word" in name for name in names) > 5
    for name in names:
        files = [folder / f"{name}_{kind}.wav" for kind in ("true", "vocoded_true", "predicted")]
        levels = [loudness_db(soundfile.read(file, dtype="float32")[0], RATE_HZ) for file in files]
        assert levels == pytest.approx([levels[0]] * 3, abs=0.2), name


def test_a_word_is_where_its_event_is(chain: Path) -> None:
    """The true word is the recording's sound from 0.1 s before the onset, but for its loudness."""
    folder = chain / "results/sound/sim01/fold0"
    word = sorted(folder.glob("*_word002_*_true.wav"))[0]
    number, start = int(word.name.split("_word")[1][:3]), int(word.name.split("_")[2])
    rows = (chain / "results/simulated/sim01_run01_events.tsv").read_text().splitlines()
    row = dict(zip(rows[0].split("\t"), rows[1 + number].split("\t"), strict=True))
    whole, _ = soundfile.read(folder / f"sim01_run01_{start}_true.wav")
    cut, _ = soundfile.read(word)
    first = round((float(row["onset"]) - start * 256 / RATE_HZ - 0.1) * RATE_HZ)
    assert len(cut) == pytest.approx((float(row["duration"]) + 0.2) * RATE_HZ, abs=2)
    middle = slice(500, len(cut) - 500)
    assert np.corrcoef(cut[middle], whole[first : first + len(cut)][middle])[0, 1] > 0.999
    assert row["trial_type"] in word.name


def event_file(chain: Path) -> Path:
    return next((chain / "results/train/sim01/fold0").glob("test sim01 tiny*/events.out.*"))


def test_tensorboard_has_playable_sound_of_bounded_size(chain: Path) -> None:
    path = event_file(chain)
    events = event_file_loader.EventFileLoader(str(path)).Load()
    players = {
        value.tag: value.tensor.string_val[0]
        for event in events
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "audio"
    }
    assert {tag for tag in players if tag.startswith("stretch/")} == {
        "stretch/true", "stretch/vocoded_true", "stretch/predicted",
    }  # fmt: skip
    assert sum(tag.startswith("word at ") for tag in players) == 12
    for sound in players.values():
        wave, rate_hz = soundfile.read(io.BytesIO(sound))
        assert rate_hz == RATE_HZ
        assert 0 < len(wave) <= 6.1 * RATE_HZ
    assert path.stat().st_size < 4e6


def test_the_hparams_page_has_the_run_with_its_settings_and_final_scores(chain: Path) -> None:
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(chain / "results/train"))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(chain))
    backend = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    context = tensorboard_context.RequestContext()
    tags = backend.hparams_metadata(context, "")
    experiment = backend.experiment_from_metadata(context, "", True, tags, [])
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS],
        col_params=[{"metric": metric.name} for metric in experiment.metric_infos],
        slice_size=10,
    )
    handler = list_session_groups.Handler(context, backend, "", request)
    (group,) = handler.run().session_groups
    scores = json.loads((chain / "results/eval.json").read_text())
    model = scores["subjects"]["sim01"]["folds"][0]["scores"]["model"]
    found = {value.name.tag: value.value for value in group.metric_values}
    assert found["test/r"] == pytest.approx(model["pearson_r"], abs=1e-6)
    assert found["test/mse"] == pytest.approx(model["mse"], rel=1e-6)
    assert group.hparams["train.max_steps"].number_value == 30
    assert group.hparams["preset"].string_value == "tiny"


def test_tensorboard_names_runs_by_subject_fold_network_and_preset(chain: Path) -> None:
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(chain / "results/train"))
    changed = "tiny,max_steps=30,steps_per_epoch=15"
    assert set(multiplexer.Runs()) == {f"sim01/fold0/0-corrector/{changed}", f"sim01/fold0/test sim01 {changed}"}


def test_pictures_in_tensorboard_have_axes(chain: Path) -> None:
    (path,) = (chain / "results/train/sim01/fold0").glob("0-*/tiny*/events.out.*")
    values = [v for event in event_file_loader.EventFileLoader(str(path)).Load() for v in event.summary.value]
    pictures = {v.tag: v.tensor.string_val for v in values if v.metadata.plugin_data.plugin_name == "images"}
    assert set(pictures) == {"target", "predicted", "attention"}
    for width, height, png in pictures.values():
        assert (int(width), int(height)) == (500, 280)
        assert imread(io.BytesIO(png)).shape == (280, 500, 4)


def test_runs_of_one_title_are_numbered_and_each_keeps_its_folder(tmp_path: Path) -> None:
    first, second = folder_for(tmp_path, "tiny", "aaa"), folder_for(tmp_path, "tiny", "bbb")
    assert [first.name, second.name] == ["tiny", "tiny (2)"]
    assert folder_for(tmp_path, "tiny", "aaa") == first
    assert folder_for(tmp_path, "tiny", "bbb") == second
    assert folders_of(tmp_path, "bbb") == [second]


def test_a_new_run_takes_the_place_of_what_was_left_and_a_resumed_one_does_not(tmp_path: Path) -> None:
    EventFile(tmp_path, 0, is_first=True)
    EventFile(tmp_path, 4)
    assert len(list(tmp_path.glob("events.*"))) == 2
    EventFile(tmp_path, 0, is_first=True)
    assert [file.name for file in tmp_path.glob("events.*")] == ["events.out.tfevents.0000000000"]


def test_a_title_holds_what_differs_from_the_defaults_and_no_folder() -> None:
    train = TrainConfig(lr=0.01, loss="l1")
    assert run_title("strong", ModelConfig(preset="strong", networks=2), TrainConfig()) == "strong"
    assert run_title("strong", ModelConfig(), train) == "strong,loss=l1,lr=0.01"


def test_hyper_parameters_are_the_settings_of_training() -> None:
    config = {"train": {"lr": None, "max_steps": 5, "pool": "none"}, "causal": False, "model": {"widths": [1, 2]}}
    found = hyper_parameters({"preset": "tiny", "config": config})
    assert found == {"preset": "tiny", "train.max_steps": 5, "train.pool": "none", "causal": False}
