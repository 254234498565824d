"""A training step: the fused decoder against a Tacotron-style loop over frames, and against that loop fed item by item.

After the steps that are timed each of the two networks trains on for ``STEPS`` in all, and predicts the
test block freely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import subject
from bench.harness import Contender, Figure, Measured, Run

if TYPE_CHECKING:
    import torch

TITLE = "training step (32 channels, windows of 96 frames, batch 16, r = 4)"
TIMED, STEPS, BATCH, SEED = 5, 240, 16, 0
prepare = subject.prepare

Step = Callable[[dict[str, "torch.Tensor"], float], None]


def _batches(work: Path) -> Iterator[dict[str, torch.Tensor]]:
    from pipeline.data.batches import WindowData

    data = WindowData(subject.training_data(work), BATCH, STEPS, SEED)
    while True:
        yield from data.train_dataloader()


def _ours(work: Path) -> tuple[Any, Step]:
    """The step of the product, both passes of scheduled sampling included."""
    import torch

    from pipeline.config.train import TrainConfig
    from pipeline.model.network import Seq2Seq
    from pipeline.model.presets import Recipe
    from pipeline.training.lightning_module import DecoderTraining

    class Training(DecoderTraining):
        done = 0.0

        @property
        def global_step(self) -> int:
            return int(self.done * STEPS)

    data = subject.training_data(work)
    torch.manual_seed(SEED)
    model = Seq2Seq(subject.architecture(data.n_channels))
    _fit_normalisation(model, data)
    training = Training(model, Recipe(STEPS, 0.1, 0.7, 0.3), TrainConfig(), ["sim01_run01"], [0.0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)

    def step(batch: dict[str, torch.Tensor], done: float) -> None:
        training.done = done
        _descend(optimizer, model, training.training_step(batch, 0), done)
        training.on_train_batch_end(None, batch, 0)

    return training, step


def _per_frame(work: Path) -> tuple[Any, Step]:
    """The same with the loop over frames; noise, dropped channels, loss, optimiser and average alike."""
    import torch

    from bench.tacotron import PerFrameModel

    training, _ = _ours(work)
    torch.manual_seed(SEED)
    whole, model = training.model, PerFrameModel(training.model.a)
    average = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)

    def step(batch: dict[str, torch.Tensor], done: float) -> None:
        features = training._augment(whole.normalise(batch["features"], batch["subject"]))
        target = whole.normalise_mel(batch["mel"], batch["subject"])
        decoded = model(features, target, min(1.0, 2 * done))
        _descend(optimizer, model, training._loss(decoded, target, batch["mask"]), done)
        average.update_parameters(model)

    return (whole, average), step


def _descend(optimizer: torch.optim.Optimizer, model: torch.nn.Module, loss: torch.Tensor, done: float) -> None:
    """Warm-up, cosine, clipped gradient: as the product trains."""
    import torch

    share = min((done * STEPS + 1) / 50, 0.5 * (1 + np.cos(np.pi * done)))
    optimizer.param_groups[0]["lr"] = 2e-3 * share
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def _fit_normalisation(model: Any, data: Any) -> None:
    import torch

    rows = [torch.from_numpy(np.concatenate([data.features[r][a:b] for r, a, b in data.spans("train")]))]
    mel = torch.from_numpy(np.concatenate([data.mel[r][a:b] for r, a, b in data.spans("train")]))
    model.fit_normalisation(rows, [mel])


def _timed(make: Callable[[Path], tuple[Any, Step]]) -> Callable[[Path], Run]:
    def start(work: Path) -> Run:
        _, step = make(work)
        batches = _batches(work)

        def run() -> None:
            for batch in islice(batches, TIMED):
                step(batch, 0.5)

        return run

    return start


def item_by_item(work: Path) -> Run:
    """The loop over frames, fed by a data set that reads each window from HDF5 and computes its mel there and then."""
    import h5py
    import librosa
    import torch

    _, step = _per_frame(work)
    windows = subject.training_data(work).train
    rng = np.random.default_rng(0)

    def item(start: int) -> tuple[np.ndarray, np.ndarray]:
        with h5py.File(work / "results/aligned/sim01_run01.h5") as file:
            first = max(0, round((start - 26) * 256 / 22050 * 100) - int(file["trial_table/first_feature"][0]))
            trial = file["trials/sim01_run01"]
            features = trial["features/data"][first : first + 172]
            sound = trial["audio/data"][max(0, start * 256 - 512) : start * 256 - 512 + 95 * 256 + 1024]
        mel = librosa.feature.melspectrogram(
            y=sound, sr=22050, n_fft=1024, hop_length=256, power=1.0, n_mels=80, fmax=8000, center=False
        )
        frames = np.linspace(0, len(features) - 1, 148)
        gridded = np.stack([np.interp(frames, np.arange(len(features)), f) for f in features.T], axis=1)
        return gridded.astype(np.float32), np.log(np.maximum(mel.T, 1e-5))

    def run() -> None:
        for _ in range(TIMED):
            pairs = [item(int(start)) for start in rng.choice(windows[windows[:, 1] > 2, 1], BATCH)]
            features, mel = (torch.from_numpy(np.stack(part)) for part in zip(*pairs, strict=True))
            mask = torch.ones(mel.shape[:2], dtype=torch.bool)
            subjects = torch.zeros(BATCH, dtype=torch.long)
            step({"features": features, "mel": mel, "mask": mask, "subject": subjects}, 0.5)

    return run


def _trained(make: Callable[[Path], tuple[Any, Step]]) -> Callable[[Path], Run]:
    """Free-running r over time of the test block, mean over bands, after ``STEPS`` steps."""

    def start(work: Path) -> Run:
        def run() -> float:
            import torch

            networks, step = make(work)
            torch.manual_seed(SEED)
            for k, batch in enumerate(islice(_batches(work), STEPS)):
                step(batch, k / STEPS)
            return _free_running_r(work, networks)

        return run

    return start


def _free_running_r(work: Path, networks: Any) -> float:
    import torch

    from pipeline.signal.correlation import correlation_per_band

    windows, arrays = subject.loaded(work)
    block = windows.blocks_of(0, "test")[0]
    starts = np.arange(block.start, block.stop - 96, 96)
    rows = torch.from_numpy(arrays.features[0][starts[:, None] + np.arange(-26, 122)])
    subjects = torch.zeros(len(rows), dtype=torch.long)
    with torch.inference_mode():
        if isinstance(networks, tuple):
            whole, average = networks
            mel = average.eval()(whole.normalise(rows, subjects)).numpy()
        else:
            mel = networks.average.generate(rows, subjects).mel.numpy()
    truth = arrays.mel[0][starts[:, None] + np.arange(96)]
    return float(np.nanmean(correlation_per_band(mel.reshape(-1, 80), truth.reshape(-1, 80))))


def judge(m: Measured) -> list[Figure]:
    r_ours, r_theirs = (float(m.output(f"{STEPS} steps, {name}")) for name in ("ours", "loop"))
    return [
        Figure("times faster than the loop over frames", m.faster("ours", "loop over frames"), ">=", 4.0),
        Figure("times faster than the loop, item by item", m.faster("ours", "loop, item by item"), ">=", 8.0),
        Figure("free-running r, ours minus the loop's", r_ours - r_theirs, ">=", 0.0),
        Figure("free-running r, ours", r_ours),
    ]


CONTENDERS = (
    Contender("ours", _timed(_ours)),
    Contender("loop over frames", _timed(_per_frame)),
    Contender("loop, item by item", item_by_item),
    Contender(f"{STEPS} steps, ours", _trained(_ours), once=True),
    Contender(f"{STEPS} steps, loop", _trained(_per_frame), once=True),
)
