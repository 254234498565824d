"""What ``bench/gpu.sh`` measures: windows per second, kernel launches per step and the largest costs.

Random data of a subject's shape (32 channels, 96 frames, batch 16 in training, 1024 in prediction).
On a CPU the launches are the operators called, and the batches are small.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from bench.tacotron import PerFrameModel
from pipeline.config.train import TrainConfig
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture, Recipe
from pipeline.training.lightning_module import DecoderTraining

A = Architecture(
    n_channels=32, n_bands=80, length_frames=96, context_frames=26, rows_per_frame=1, n_subjects=1, ridge_skip=False
)
TRAIN_BATCH, STEPS = 16, 240
Work = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cuda", "cpu"])
    parser.add_argument("--repeats", type=int, default=0, help="timed repeats (default: 50 on a GPU, 3 on a CPU)")
    options = parser.parse_args()
    repeats = options.repeats or (50 if options.device == "cuda" else 3)
    print(f"torch {torch.__version__}, {options.device}, {repeats} repeats, median")
    print("| device | precision | work | windows/s | launches per step |\n|---|---|---|---|---|")
    for device in dict.fromkeys([options.device, "cpu"]):
        for precision in ("32", "bf16"):
            for name, (windows, work) in jobs(device, precision).items():
                seconds = median_s(work, device, repeats if device == options.device else 3)
                row = f"{windows / seconds:.0f} | {len(launches(work, device))}"
                print(f"| {device} | {precision} | {name} | {row} |", flush=True)
    for name, (_, work) in jobs(options.device, "32").items():
        print(f"\n{name}, largest costs on {options.device}:\n{costs(work, options.device)}")


def jobs(device: str, precision: str) -> dict[str, tuple[int, Work]]:
    """Name -> windows per call and the call: a training step and a free prediction, ours and frame by frame."""
    torch.manual_seed(0)
    predicted = 1024 if device == "cuda" else 64
    ours, loop = Seq2Seq(A).to(device), PerFrameModel(A).to(device)
    batch, large = (_batch(n, device) for n in (TRAIN_BATCH, predicted))
    mixed = (lambda: torch.autocast(device, torch.bfloat16)) if precision == "bf16" else nullcontext

    def predict(run: Callable[[], Any]) -> Work:
        def work() -> None:
            with torch.inference_mode(), mixed():
                run()

        return work

    return {
        "training step": (TRAIN_BATCH, _training(ours, batch, mixed)),
        "training step, loop over frames": (TRAIN_BATCH, _loop_training(loop, batch, mixed)),
        "prediction": (predicted, predict(lambda: ours.eval().generate(large["features"], large["subject"]))),
        "prediction, loop over frames": (predicted, predict(lambda: loop.eval()(large["features"]))),
    }


def _batch(n: int, device: str) -> dict[str, torch.Tensor]:
    return {
        "features": torch.randn(n, A.length_frames + 2 * A.context_frames, A.n_channels, device=device),
        "mel": torch.randn(n, A.length_frames, A.n_bands, device=device),
        "mask": torch.ones(n, A.length_frames, dtype=torch.bool, device=device),
        "subject": torch.zeros(n, dtype=torch.long, device=device),
        "window": torch.zeros(n, 2, dtype=torch.long, device=device),
    }


def _training(model: Seq2Seq, batch: dict[str, torch.Tensor], mixed: Callable[[], Any]) -> Work:
    class Training(DecoderTraining):
        global_step = STEPS  # scheduled sampling with both its passes

    module = Training(model, Recipe(STEPS, 0.1, 0.7, 0.3), TrainConfig(), ["a"], [0.0]).to(batch["mel"].device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

    def work() -> None:
        model.train()
        with mixed():
            loss = module.training_step(batch, 0)
        _descend(optimizer, model, loss)
        module.on_train_batch_end(None, batch, 0)
        module.losses.clear()

    return work


def _loop_training(model: PerFrameModel, batch: dict[str, torch.Tensor], mixed: Callable[[], Any]) -> Work:
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

    def work() -> None:
        model.train()
        with mixed():
            mel = model(batch["features"], batch["mel"], own_share=1.0)
        _descend(optimizer, model, torch.nn.functional.mse_loss(mel.float(), batch["mel"]))

    return work


def _descend(optimizer: torch.optim.Optimizer, model: torch.nn.Module, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def median_s(work: Work, device: str, repeats: int) -> float:
    """Median time of a call, the device waited for."""
    times = []
    for _ in range(repeats + 2):
        started = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return sorted(times[2:])[repeats // 2]


def _profiled(work: Work, device: str) -> profile:
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device == "cuda" else [])
    with profile(activities=activities) as found:
        work()
    return found


def launches(work: Work, device: str) -> list[str]:
    """The kernels launched in one call; on a CPU the operators called."""
    events = [e.name for e in _profiled(work, device).events()]
    wanted = "LaunchKernel" if device == "cuda" else "aten::"
    return [name for name in events if wanted in name]


def costs(work: Work, device: str, n: int = 3) -> str:
    """The ``n`` operators that take the most time themselves."""
    key = "self_cuda_time_total" if device == "cuda" else "self_cpu_time_total"
    return str(_profiled(work, device).key_averages().table(sort_by=key, row_limit=n))


if __name__ == "__main__":
    main()
