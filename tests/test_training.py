"""Training: batches, resume equals uninterrupted, damaged checkpoints, early ends, what it writes."""

from __future__ import annotations

import csv
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from pipeline.artifacts.ridge_skip import RidgeSkip
from pipeline.baselines.ridge_skip import as_skip, fit_ridge_skip
from pipeline.config.model import ModelConfig
from pipeline.config.train import TrainConfig
from pipeline.data.batches import EpochOrder, WindowData, WindowSet
from pipeline.data.intervals import merge_windows
from pipeline.data.training_data import TrainingData
from pipeline.errors import CannotWriteError
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import diagonality, predict_continuous
from pipeline.model.model_file import load_model, model_digest
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture, NetworkRole, Recipe, network_roles, resolve
from pipeline.signal.correlation import correlation_per_band
from pipeline.training.checkpoint import (
    AtomicCheckpointIO,
    DamagedCheckpointError,
    newest_valid_checkpoint,
    previous_checkpoint,
    read_checkpoint,
)
from pipeline.training.fitting import Fit, Row, fit_network
from pipeline.training.lightning_module import DecoderTraining, NonFiniteLossError
from pipeline.training.network import NetworkOutcome, build_network, train_network
from pipeline.training.weighing import SUM_RANGE, HeldOut, _weights, weigh_on_held_out

MODEL = ModelConfig(preset="tiny", encoder_width=12, encoder_hidden=8, decoder_hidden=12, heads=2)
TRAIN = TrainConfig(max_steps=12, steps_per_epoch=3, batch_size=4, warmup_steps=2, patience=9)


class KilledError(Exception):
    """Stands for the process's end at a given step."""


def recording(seed: int, n: int, channels: int = 5, m: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Features whose slow fluctuation the mel (8 bands) follows two frames later."""
    rng = np.random.default_rng(seed)
    slow = np.convolve(rng.normal(size=n + 40), np.hanning(9), "same")[20 : n + 20]
    mel = np.roll(slow, 2)[:, None] * np.linspace(0.5, 1.5, 8) - 5 + 0.1 * rng.normal(size=(n, 8))
    features = np.repeat(slow, m)[:, None] * np.linspace(-1, 1, channels) + 0.3 * rng.normal(size=(n * m, channels))
    return features.astype(np.float32), mel.astype(np.float32)


def make_data(n_subjects: int = 1, m: int = 1) -> TrainingData:
    pairs = [recording(seed, 420, 5 - seed % n_subjects, m) for seed in range(2)]
    train = [(0, s) for s in range(0, 380, 8)] + [(1, s) for s in range(0, 180, 8)]
    val = [(r, s) for r in range(n_subjects) for s in ((220, 228, 236, 340) if r else ())]
    val = val or [(1, s) for s in (220, 228, 340)]
    return TrainingData(
        features=[f for f, _ in pairs], mel=[m for _, m in pairs], subject=[r % n_subjects for r in range(2)],
        train=np.array(train), val=np.array(val), length=24, context=6, rows_per_frame=m, names=["a", "b"],
    )  # fmt: skip


@dataclass
class Trained:
    """An ensemble; ``model`` is None where a network was interrupted."""

    rows: list[Row]
    model: Ensemble | None = None
    loss: float = float("inf")

    @property
    def digest(self) -> str:
        assert self.model is not None
        return model_digest(self.model)


def of_subject(data: TrainingData, subject: int) -> TrainingData:
    """The part of pooled data that one subject's ridge is fitted on."""
    own = [r for r, s in enumerate(data.subject) if s == subject]

    def windows(all_windows: np.ndarray) -> np.ndarray:
        return np.array([(own.index(r), start) for r, start in all_windows if r in own]).reshape(-1, 2)

    return replace(
        data, features=[data.features[r] for r in own], mel=[data.mel[r] for r in own], subject=[0] * len(own),
        train=windows(data.train), val=windows(data.val), names=[data.names[r] for r in own],
    )  # fmt: skip


def ridge_skips(data: TrainingData) -> list[RidgeSkip]:
    own = [of_subject(data, s) for s in range(data.n_subjects)]
    return [as_skip(fit_ridge_skip(one, causal=False, clip=TRAIN.clip_input), one.names) for one in own]


def train_one(
    run: Path, role: NetworkRole, data: TrainingData, model: ModelConfig, train: TrainConfig,
    on_step: Callable[[int, int], None] | None = None, on_epoch: Callable[[Row], None] | None = None,
) -> NetworkOutcome:  # fmt: skip
    skips = ridge_skips(data) if role.ridge_skip else []
    keys = {"accelerator": "cpu", "on_epoch": on_epoch, "on_step": on_step}
    return train_network(data, role, model, train, run / role.name, skips, **keys)


def fit(
    run: Path, data: TrainingData | None = None, on_step: Callable[[int, int], None] | None = None,
    model: ModelConfig = MODEL, **train: object,
) -> Trained:  # fmt: skip
    """A whole model, as the jobs of its networks and its ensemble make it, each in a folder of ``run``."""
    data, config = data or make_data(), TRAIN.model_copy(update=train)
    outcomes = [train_one(run, role, data, model, config, on_step) for role in network_roles(model)]
    rows = [row for outcome in outcomes for row in outcome.rows]
    networks = [outcome.network for outcome in outcomes if outcome.network is not None]
    if len(networks) < len(outcomes):
        return Trained(rows)
    ensemble = Ensemble.of(networks)
    ridge_mel = {name: mel for skip in ridge_skips(data) for name, mel in skip.mel.items()} if model.ridge_skip else {}
    held_out = [HeldOut.of(network, data, ridge_mel, hop=8) for network in networks]
    loss, _ = weigh_on_held_out(ensemble, held_out, data.speech_level_nats)
    return Trained(rows, ensemble, loss)


def stop_at(step: int):
    def on_step(done: int, total: int) -> None:
        if done == step:
            raise KilledError

    return on_step


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> tuple[Trained, Path]:
    run = tmp_path_factory.mktemp("uninterrupted")
    return fit(run), run


# --- batches


def test_batches_are_the_windows_they_name() -> None:
    data = make_data()
    batch = WindowSet(data).__getitems__([(0, 50), (1, 0), (1, 410)])
    assert_array_equal(batch["features"][0], data.features[0][44:80])
    assert_array_equal(batch["mel"][0], data.mel[0][50:74])
    assert_array_equal(batch["features"][1, :6], np.tile(data.features[1][0], (6, 1)))
    assert_array_equal(batch["mask"].sum(1), [24, 24, 10])
    assert_array_equal(batch["features"][2, -20:], np.tile(data.features[1][-1], (20, 1)))


def test_raw_batches_keep_the_rows_of_their_frames() -> None:
    data = make_data(m=3)
    batch = WindowSet(data).__getitems__([(1, 30)])
    assert_array_equal(batch["features"][0], data.features[1][24 * 3 : 60 * 3])
    assert_array_equal(batch["mel"][0], data.mel[1][30:54])


def test_a_batch_that_is_held_keeps_its_values_and_one_that_is_not_lends_its_memory() -> None:
    windows = WindowSet(make_data())
    held = windows.__getitems__([(0, 50), (1, 20)])["features"][:, 3:]  # a view holds it too
    before = held.clone()
    places = set()
    for start in range(20):
        batch = windows.__getitems__([(0, start), (1, start)])
        places.add(batch["features"].data_ptr())
        assert_array_equal(batch["features"][0, 6:], windows.features[start + 6 : start + 36])
    assert_array_equal(held, before)
    assert held.untyped_storage().data_ptr() not in places
    assert len(places) <= 2, "the one before is still held while the next is made"


def test_epoch_order_is_keyed_and_never_leaves_the_trained_frames() -> None:
    data = make_data()
    order = EpochOrder(data.train, data.length, 500, seed=3)
    first = list(order)
    order.set_epoch(1)
    assert list(order) != first
    order.set_epoch(0)
    assert list(order) == first
    spans = data.spans("train")
    assert spans == [(0, 0, 400), (1, 0, 200)]
    assert all(any(r == q and a <= s and s + 24 <= b for q, a, b in spans) for r, s in first)
    assert len({s for _, s in first}) > 100, "starts are jittered"


def test_windows_merge_into_spans() -> None:
    windows = np.array([(1, 5), (0, 0), (0, 8), (0, 50), (1, 95)])
    assert merge_windows(windows, 10, [100, 100]) == [(0, 0, 18), (0, 50, 60), (1, 5, 15), (1, 95, 100)]


# --- runs


def test_a_run_learns_and_leaves_its_files(uninterrupted) -> None:
    outcome, run = uninterrupted
    assert outcome.model is not None
    assert len(outcome.rows) == 4
    with (run / "0-corrector/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "6", "9", "12"]
    assert {"train_loss", "val_loss", "val_loss_tf", "val_r", "lr"} <= set(rows[0])
    assert len(outcome.model.weights) == 2, "the network's, and the ridge's"
    assert outcome.model.weights.min() >= 0
    names = {p.name for p in (run / "0-corrector").iterdir()}
    assert {"last.ckpt", "last.ckpt.previous", "best.ckpt", "metrics.csv"} <= names
    assert not [name for name in names if name.endswith(".tmp")]
    data = make_data()
    predicted = predict_continuous(outcome.model, data.features[1], 220, 360, 8, n_attention=2)
    assert np.nanmean(correlation_per_band(predicted.mel, data.mel[1][220:360])) > 0.8
    assert diagonality(predicted.attention, outcome.model).min() > 0.9


def test_no_file_names_a_folder_or_user(uninterrupted) -> None:
    _, run = uninterrupted
    host = os.uname().nodename.encode()
    words = [str(run).encode(), *([host] if len(host) > 5 else [])]  # a short name occurs by chance
    for path in run.rglob("*"):
        if path.is_file():
            assert not any(word in path.read_bytes() or word in path.name.encode() for word in words), path.name


@pytest.mark.parametrize("step", [2, 4, 6, 9])
def test_resume_equals_uninterrupted_bit_for_bit(uninterrupted, tmp_path: Path, step: int) -> None:
    whole, run = uninterrupted
    with pytest.raises(KilledError):
        fit(tmp_path, on_step=stop_at(step))
    torch.manual_seed(999)
    resumed = fit(tmp_path)
    assert resumed.digest == whole.digest
    assert (tmp_path / "0-corrector/metrics.csv").read_bytes() == (run / "0-corrector/metrics.csv").read_bytes()
    last = [read_checkpoint(folder / "0-corrector" / "last.ckpt")["state_dict"] for folder in (tmp_path, run)]
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[1])


def test_without_validation_training_ends_where_it_is_told_with_the_schedule_unchanged(tmp_path: Path) -> None:
    data, (role, *_) = make_data(), network_roles(MODEL)
    keys = {"accelerator": "cpu", "max_steps": 8}
    whole = train_one(tmp_path / "whole", role, data, MODEL, TRAIN)
    blind = replace(data, val=data.val[:0])
    final = train_network(blind, role, MODEL, TRAIN, tmp_path / "final", ridge_skips(data), **keys)
    assert [row["step"] for row in final.rows] == [3, 6], "whole epochs"
    names = ("epoch", "step", "train_loss", "lr")
    assert [tuple(row) for row in final.rows] == [names, names]
    assert final.rows == [{name: row[name] for name in names} for row in whole.rows[:2]]
    assert final.network is not None
    kept = load_model(tmp_path / "final/best.ckpt")[0]
    assert model_digest(Ensemble.of([final.network])) == model_digest(kept), "the last epoch's"


def test_a_finished_run_is_not_trained_again(uninterrupted) -> None:
    whole, run = uninterrupted
    before = (run / "0-corrector" / "last.ckpt").read_bytes()
    again = fit(run)
    assert (run / "0-corrector" / "last.ckpt").read_bytes() == before
    assert again.digest == whole.digest


def test_damaged_checkpoint_falls_back_to_the_one_before(uninterrupted, tmp_path: Path) -> None:
    whole, _ = uninterrupted
    with pytest.raises(KilledError):
        fit(tmp_path, on_step=stop_at(11))
    last = tmp_path / "0-corrector" / "last.ckpt"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 4
    last.write_bytes(content)
    assert newest_valid_checkpoint(last) == previous_checkpoint(last)
    resumed = fit(tmp_path)
    assert resumed.digest == whole.digest


@pytest.mark.parametrize("step", [8, 12])
def test_without_its_best_network_a_run_starts_again(uninterrupted, tmp_path: Path, step: int) -> None:
    whole, run = uninterrupted
    work = tmp_path / run.name  # a run is known by its name
    shutil.copytree(run, work)
    if step < 12:
        (work / "0-corrector/last.ckpt").unlink()
    (work / "0-corrector/best.ckpt").write_bytes(b"half")
    again = fit(work)
    assert again.digest == whole.digest
    assert (work / "0-corrector/metrics.csv").read_bytes() == (run / "0-corrector/metrics.csv").read_bytes()


@pytest.mark.parametrize("names", [["last.ckpt", "last.ckpt.previous"], ["last.ckpt"], ["best.ckpt"]])
def test_a_whole_checkpoint_of_another_run_is_not_gone_on_from(uninterrupted, tmp_path: Path, names: list[str]) -> None:
    whole, _ = uninterrupted
    own, other = tmp_path / "own", tmp_path / "other"
    fit(other, seed=7)
    with pytest.raises(KilledError):
        fit(own, on_step=stop_at(8))
    for name in names:
        shutil.copy(other / "0-corrector" / name, own / "0-corrector" / name)
    again = fit(own)
    assert again.digest == whole.digest


@pytest.mark.parametrize("content", [b"", b"x" * 10, b"PK" + b"\0" * 100])
def test_no_valid_checkpoint_means_start_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(path)
    assert newest_valid_checkpoint(path) is None


def test_a_failed_write_leaves_the_last_good_checkpoint(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"x": torch.ones(3)}, path)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWriteError, match="no space left"):
        AtomicCheckpointIO().save_checkpoint({"x": torch.zeros(3)}, path)
    found = newest_valid_checkpoint(path)
    assert found is not None
    assert_array_equal(read_checkpoint(found)["x"], np.ones(3))


@pytest.mark.parametrize("forced", ["0", "1"])
def test_hostile_checkpoint_runs_no_code(tmp_path: Path, monkeypatch, forced: str) -> None:
    canary = tmp_path / "canary"

    class Attack:
        def __reduce__(self):
            return Path.touch, (canary,)

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    AtomicCheckpointIO().save_checkpoint({"x": Attack()}, tmp_path / "last.ckpt")
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(tmp_path / "last.ckpt")
    assert not canary.exists()


@pytest.mark.parametrize(("step", "saved"), [(1, 2), (4, 5), (5, 7), (12, 12)])
def test_on_sigterm_a_run_saves_its_step_and_continues_from_it(
    tmp_path: Path, uninterrupted, step: int, saved: int
) -> None:
    """The signal comes between two steps; training ends after the second, or after the next one at an epoch's end."""
    whole, run = uninterrupted

    def terminate(done: int, total: int) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    assert fit(tmp_path, on_step=terminate).model is None
    assert read_checkpoint(tmp_path / "0-corrector" / "last.ckpt")["global_step"] == saved
    steps: list[int] = []
    resumed = fit(tmp_path, on_step=lambda done, _: steps.append(done))
    assert steps == list(range(saved + 1, 13))
    assert resumed.digest == whole.digest
    assert (tmp_path / "0-corrector/metrics.csv").read_bytes() == (run / "0-corrector/metrics.csv").read_bytes()


def test_processes_share_each_batch(monkeypatch) -> None:
    data = make_data()
    orders = [EpochOrder(data.train, data.length, 12, seed=3) for _ in range(3)]
    for order, rank in zip(orders[1:], (0, 1), strict=True):
        order.rank, order.n_ranks = rank, 2
    whole, *shares = map(list, orders)
    assert [len(order) for order in orders] == [12, 6, 6]
    assert [window for pair in zip(*shares, strict=True) for window in pair] == whole
    orders[1].skip = 4
    assert list(orders[1]) == whole[4::2]
    assert list(orders[1]) == whole[::2], "the next epoch is whole again"


def module_without_chance(devices: int) -> DecoderTraining:
    """Nothing that a process draws for itself: two processes then take the steps of one."""
    quiet = {"input_noise": 0.0, "channel_drop": 0.0, "scheduled_sampling": 0.0, "batch_size": 16, "devices": devices}
    data, train = make_data(), TRAIN.model_copy(update=quiet)
    model = MODEL.model_copy(update={"ridge_skip": False})
    (role,) = network_roles(model)
    network = build_network(data, role, model, train, causal=False)
    _, recipe = resolve(role, "tiny", network.a, model, train)
    for part in network.modules():
        if hasattr(part, "p"):
            part.p = 0.0
    return DecoderTraining(network, replace(recipe, mixup=0.0, speech_weight=0.0), train, data.names, [-5.0])


@pytest.mark.parametrize("key", ModelConfig.model_fields)
def test_every_key_of_the_model_reaches_the_networks(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.plugins.load", {"mylab.network:Other": type("Other", (Seq2Seq,), {})}.__getitem__)
    other = {
        "preset": "tiny", "encoder_width": 24, "encoder_hidden": 20, "decoder_hidden": 20, "heads": 2,
        "reduction_factor": 2, "attention_bias": False, "attention_width_s": 0.1, "attention_offset_s": 0.1,
        "ridge_skip": False, "networks": 1, "postnet": True, "band_filters": 3, "feedback": False,
        "network": "mylab.network:Other",
    }  # fmt: skip
    data, plain = make_data(m=3), ModelConfig(preset="medium", networks=2)

    def networks(model: ModelConfig) -> list[dict[str, tuple[int, ...] | bytes]]:
        built = [build_network(data, role, model, TrainConfig(), False) for role in network_roles(model)]
        shapes = [{name: (*x.shape,) for name, x in n.state_dict().items()} for n in built]
        bias = [
            {
                "bias": n.decoder.attention.bias().detach().numpy().tobytes(),
                "feedback": bytes([n.decoder.feedback]),
                "class": type(n).__name__.encode(),
            }
            for n in built
        ]
        return [{**s, **b} for s, b in zip(shapes, bias, strict=True)]

    assert networks(plain.model_copy(update={key: other[key]})) != networks(plain)


def test_the_attention_begins_as_wide_in_seconds_at_any_frame_rate() -> None:
    for rate_hz, frames in ((22050 / 256, 4), (22050 / 200, 6)):
        data = replace(make_data(), frame_rate_hz=rate_hz)
        (role,) = network_roles(MODEL)
        attention = build_network(data, role, MODEL, TrainConfig(), causal=False).decoder.attention
        assert_allclose(attention.log_width.exp().detach(), frames, rtol=1e-6)
        assert attention.offset_frames[0] == -frames
        assert attention.offset_frames[-1] == frames


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path, monkeypatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.setenv(name, "4")  # what Slurm says of tasks is not for Lightning
    reported: list[dict[str, float]] = []
    rows = []
    for n in (1, 2):
        module = module_without_chance(n)
        job = Fit(module, lambda steps: WindowData(make_data(), 16, steps, 0), tmp_path / str(n), "cpu")
        best, found = fit_network(job, reported.append)
        assert best is not None
        rows.append(found)
    assert reported == [*rows[0], *rows[1]]
    for one, two in zip(*rows, strict=True):
        assert two == pytest.approx(one, rel=2e-3, abs=1e-5)
    weights = [read_checkpoint(tmp_path / n / "last.ckpt")["state_dict"] for n in ("1", "2")]
    for name, value in weights[0].items():
        assert_allclose(weights[1][name], value, atol=2e-3, err_msg=name)


@pytest.mark.slow
def test_a_failure_in_one_of_two_processes_is_the_callers(tmp_path: Path) -> None:
    data = make_data()
    data.mel[1][100:130] = np.nan
    with pytest.raises(NonFiniteLossError) as caught:
        fit(tmp_path, data, devices=2)
    assert caught.value.step == 0


def test_a_network_is_the_same_whichever_is_trained_beside_it(tmp_path: Path) -> None:
    pair = MODEL.model_copy(update={"networks": 2})
    both = fit(tmp_path / "both", model=pair)
    alone = train_one(tmp_path / "alone", network_roles(pair)[1], make_data(), pair, TRAIN)
    assert alone.network is not None
    assert both.model is not None
    assert model_digest(Ensemble.of([alone.network])) == model_digest(Ensemble.of([both.model.networks[1]]))
    assert alone.rows == both.rows[-4:]


def test_a_batch_is_shared_evenly() -> None:
    with pytest.raises(ValueError, match="multiple of devices"):
        TrainConfig(batch_size=16, devices=3)


def test_interrupt_is_no_finish(tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    assert fit(tmp_path, on_step=interrupt).model is None


def test_non_finite_loss_names_step_and_recording(tmp_path: Path) -> None:
    data = make_data()
    data.mel[1][100:130] = np.nan
    with pytest.raises(NonFiniteLossError) as caught:
        fit(tmp_path, data)
    assert caught.value.recordings[-1] == "b"
    assert caught.value.step >= 0


def test_early_stop_is_a_finish_and_stays_one(tmp_path: Path) -> None:
    outcome = fit(tmp_path, max_steps=60, patience=1, lr=1e-9, ema_decay=0.0)
    assert outcome.model is not None
    assert len(outcome.rows) < 20
    assert fit(tmp_path, max_steps=60, patience=1, lr=1e-9, ema_decay=0.0).rows == outcome.rows


def test_the_learning_rate_has_fallen_when_training_ends(tmp_path: Path) -> None:
    last = fit(tmp_path, max_steps=17, steps_per_epoch=10, lr=1.0).rows[-1]
    assert last["step"] == 10
    assert last["lr"] == pytest.approx(0, abs=1e-12)


def test_seed_decides_everything(uninterrupted, tmp_path: Path) -> None:
    whole, _ = uninterrupted
    same, other = fit(tmp_path / "same"), fit(tmp_path / "other", seed=1)
    assert same.digest == whole.digest != other.digest


@pytest.mark.parametrize("change", [{"loss": "huber"}, {"precision": "bf16"}, {"scheduled_sampling": 0.0}])
def test_options_change_the_result(uninterrupted, tmp_path: Path, change: dict[str, object]) -> None:
    whole, _ = uninterrupted
    changed = fit(tmp_path, **change)
    assert changed.digest != whole.digest
    assert np.isfinite(changed.loss)


def test_auto_trains_two_networks_and_weighs_them(tmp_path: Path) -> None:
    config = MODEL.model_copy(update={"preset": "auto"})
    data = make_data()
    outcome = fit(tmp_path, data, model=config)
    assert outcome.model is not None
    assert [role.name for role in network_roles(config)] == ["0-corrector", "1-free"]
    assert len(outcome.model.weights) == 3
    alone = []
    for network in outcome.model.networks:
        stitched = [predict_continuous(network, data.features[1], a, b, 8).mel for _, a, b in data.spans("val")]
        truth = np.concatenate([data.mel[1][a:b] for _, a, b in data.spans("val")])
        scaled = (np.concatenate(stitched) - truth) / network.mel_scale.numpy()
        alone.append(float(np.square(scaled).mean()))
    assert outcome.loss < min(alone) + 0.01


def pooled_raw(channels: tuple[int, int]) -> TrainingData:
    """Raw features of two subjects with so many channels each."""
    pairs = [recording(seed, 420, n, 3) for seed, n in enumerate(channels)]
    return replace(make_data(n_subjects=2, m=3), features=[f for f, _ in pairs], mel=[mel for _, mel in pairs])


@pytest.mark.parametrize(
    "data",
    [make_data(n_subjects=2), make_data(m=3), pooled_raw((5, 3)), pooled_raw((3, 5))],
    ids=["two subjects", "raw", "raw of 5 and 3 channels", "raw of 3 and 5 channels"],
)
def test_pooled_subjects_and_raw_features_train(tmp_path: Path, data: TrainingData) -> None:
    outcome = fit(tmp_path, data)
    assert outcome.model is not None
    mel = predict_continuous(outcome.model, data.features[1], 220, 300, 8, subject=data.subject[1]).mel
    assert_allclose(mel.mean(), -5, atol=1.5)


@pytest.mark.parametrize("channels", [(5, 3), (3, 5)])
def test_every_channel_of_a_pooled_raw_model_is_standardised_over_the_subjects_that_have_it(channels) -> None:
    data = pooled_raw(channels)
    (role,) = network_roles(MODEL)
    network = build_network(data, role, MODEL, TRAIN, causal=False)
    filters, frames = network.a.band_filters, []
    for r, n in enumerate(channels):
        ((_, start, stop),) = [span for span in data.spans("train") if span[0] == r]
        rows = np.pad(data.features[r][start * 3 : stop * 3], ((0, 0), (0, 5 - n)))
        with torch.no_grad():
            frames.append(network.normalise(torch.from_numpy(rows)[None], torch.tensor([r]))[0])
        assert frames[r][:, n * filters :].abs().max() == 0 if n < 5 else True, "a channel that is missing says nothing"
    shared = torch.cat(frames)[:, : 3 * filters]
    own = frames[channels.index(5)][:, 3 * filters :]
    for power in (shared, own):
        assert_allclose(power.mean(dim=0), 0, atol=1e-4)
        assert_allclose(power.std(dim=0), 1, atol=1e-3)


@pytest.mark.parametrize("m", [1, 4])
@pytest.mark.parametrize("start", [0, 50, 396, 410])
def test_the_ridge_skip_is_the_ridge_on_signals_and_amplitudes_of_any_scale(start: int, m: int) -> None:
    data = make_data(m=m)
    rng = np.random.default_rng(1)
    for rows, mel in zip(data.features, data.mel, strict=True):
        noise = rng.normal(size=rows.shape) if m > 1 else rng.uniform(0.5, 2.0, rows.shape)
        rows[:] = noise * np.repeat(np.exp(mel[:, 7:] + 5), m, axis=0)
        rows *= np.array([1e-8, 1e-3, 1.0, 1e4, 0.0 if m > 1 else 1e-3], np.float32)
        if m > 1:
            rows[200:280] = 0  # no signal for a while
    tuned = fit_ridge_skip(data, causal=False, clip=5.0)
    skip = as_skip(tuned, data.names)
    assert skip.fitted.floor is not None
    (role,) = network_roles(MODEL)
    network = build_network(data, role, MODEL, TRAIN, causal=False)
    network.correct([skip.fitted])
    skip_alone = Ensemble.of([network])
    skip_alone.weights.copy_(torch.tensor([0.0, 1.0]))
    stop = min(start + 24, 420)
    expected = tuned.ridge.predict(data.features[0], start, stop, m)
    assert expected.std(axis=0).max() > 0.1
    assert_allclose(predict_continuous(skip_alone, data.features[0], start, stop, 8).mel, expected, atol=1e-4)
    batch = WindowSet(data, list(skip.mel.values())).__getitems__([(0, start)])
    with torch.no_grad():
        mel = network.ridge_mel(batch["features"], batch["subject"]) * network.mel_scale + network.mel_mean
    assert_allclose(mel[0, : stop - start], expected, atol=1e-4)


def test_a_flat_raw_channel_keeps_a_gain_of_one() -> None:
    data = make_data(m=3)
    for rows in data.features:
        rows[:, 1] = 4.0
    (role,) = network_roles(MODEL)
    front_end = build_network(data, role, MODEL, TRAIN, causal=False).front_end
    gain = front_end.gain.detach().reshape(5, -1)
    assert_allclose(gain[1], 1.0)
    assert gain.max() < 100


def test_ensemble_weights_follow_what_is_right_on_held_out_frames() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(4000, 8)).astype(np.float32)
    speech = truth.mean(axis=1) > 0
    one, two = (truth + rng.normal(size=truth.shape) for _ in range(2))
    blind = rng.normal(size=truth.shape)
    assert_allclose(_weights([one, two], truth, speech, 1), 1 / 3, atol=0.03)
    of_three = _weights([one, two], truth, speech, 3)
    assert of_three[0] / of_three[1] == pytest.approx(3, rel=0.1)
    assert_allclose(_weights([one, blind], truth, speech, 2), [0.5, 0.0], atol=0.03)
    assert_allclose(_weights([blind, one], truth, speech, 2), [0.0, 0.5], atol=0.05)
    assert_allclose(_weights([-truth, -truth], truth, speech, 1), SUM_RANGE[0] / 2)


def test_networks_are_weighed_on_silence_too() -> None:
    """A validation block without a sound has no active band, and no r."""
    a = Architecture(n_channels=3, n_bands=8, length_frames=12, context_frames=4)
    ensemble, rng = Ensemble.of([Seq2Seq(a)]), np.random.default_rng(0)
    silence = np.full((400, 8), -11.5, np.float32)
    predicted = silence + rng.normal(size=silence.shape).astype(np.float32)
    loss, r = weigh_on_held_out(ensemble, [HeldOut(predicted, silence, silence, np.zeros(400, np.int64))], -5.0)
    assert (loss, r) == (pytest.approx(0, abs=1e-6), 0.0)
    assert_allclose(ensemble.weights, [0, 1], atol=0.02)


def loss_of(weight: float, predicted: torch.Tensor, target: torch.Tensor) -> float:
    a = Architecture(n_channels=3, n_bands=8, length_frames=12, context_frames=4)
    recipe = Recipe(max_steps=10, weight_decay=0, input_noise=0, channel_drop=0, speech_weight=weight)
    module = DecoderTraining(Seq2Seq(a), recipe, TRAIN, ["a"], speech_levels_nats=[0.0])
    mask = torch.ones(target.shape[:2], dtype=torch.bool)
    batch = {"mask": mask, "subject": torch.zeros(len(target), dtype=torch.long)}
    return float(module._training_loss(predicted, target, batch))


def test_speech_weight_counts_differences_within_speech_and_not_the_contrast_with_silence() -> None:
    target = torch.randn(2, 12, 8, generator=torch.Generator().manual_seed(0)) - 2
    target[:, 6:] += 4
    louder = target + torch.where(target.mean(dim=2, keepdim=True) > 0, 1.0, 0.0)
    smeared = target.clone()
    smeared[:, 6:] = target[:, 6:].mean(dim=(0, 1))
    plain, weighted = loss_of(0.0, louder, target), loss_of(1.0, louder, target)
    assert weighted == pytest.approx(plain / 2, rel=1e-4), "a shift of all speech is no error about its mean"
    assert loss_of(1.0, smeared, target) == pytest.approx(loss_of(0.0, smeared, target), rel=1e-3)
    quiet = target - 10
    assert loss_of(1.0, quiet + 1, quiet) == pytest.approx(loss_of(0.0, quiet + 1, quiet))
