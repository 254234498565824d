"""How the network is trained and validated, as a LightningModule.

Every step draws its random numbers (dropout, input noise, scheduled sampling) from a
seed made of the run's seed and the step's number, so a resumed run repeats an
uninterrupted one bit for bit.  Validation runs the averaged weights freely: ``val_loss``
is what a user of the model will meet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.artifacts.event_file import Picture
from pipeline.config.active_bands import ACTIVE_STD_NATS
from pipeline.config.train import TrainConfig
from pipeline.model.network import Output, Seq2Seq
from pipeline.model.presets import Recipe
from pipeline.signal.correlation import correlation_per_band

Batch = dict[str, Tensor]
Tensors = tuple[Tensor, ...] | list[Tensor]


class NonFiniteLossError(Exception):
    """Training met a loss that is no number; names the step and the recordings of its batch."""

    def __init__(self, step: int, recordings: Sequence[str]) -> None:
        self.step, self.recordings = step, list(recordings)
        super().__init__(step, self.recordings)  # as it is called: exceptions travel between processes so

    def __str__(self) -> str:
        return f"loss is not finite at step {self.step}, recordings {', '.join(self.recordings)}"


class DecoderTraining(LightningModule):
    """``model`` is trained; :attr:`average`, the moving average of its weights, is validated and released."""

    speech_level: Tensor

    def __init__(
        self,
        model: Seq2Seq,
        recipe: Recipe,
        train: TrainConfig,
        names: Sequence[str],
        speech_levels_nats: Sequence[float],
    ) -> None:
        super().__init__()
        self.model = model
        self.averaged = AveragedModel(model, multi_avg_fn=self._lerp).requires_grad_(False).eval()
        self.averaged.n_averaged += 1  # the initial weights: torch would begin with those after the first step
        self.recipe, self.config, self.names = recipe, train, list(names)
        levels = torch.tensor(speech_levels_nats)[:, None]
        speech_level = ((levels - model.mel_mean) / model.mel_scale).mean(dim=1)  # (subject,)
        self.register_buffer("speech_level", speech_level, persistent=False)
        self.validated: list[tuple[Tensor, Tensor, Tensor]] = []
        self.losses: list[Tensor] = []
        self.metrics: dict[str, float] = {}
        self.pictures: dict[str, Picture] = {}

    @property
    def average(self) -> Seq2Seq:
        """The network with averaged weights."""
        return cast(Seq2Seq, self.averaged.module)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The losses of an epoch that is interrupted."""
        checkpoint["losses"] = list(self.losses)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.losses = [loss.to(self.device) for loss in checkpoint["losses"]]

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=self.config.lr, weight_decay=self.recipe.weight_decay,
            fused=self.config.precision == "32",  # Lightning clips no gradients of mixed precision beside it
        )  # fmt: skip
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._lr_share)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _lr_share(self, step: int) -> float:
        warmup = min(self.config.warmup_steps, self.recipe.max_steps // 4)
        if step < warmup:
            return (step + 1) / warmup
        progress = (step - warmup) / max(1, self.recipe.max_steps - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        step = self.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        rank = [self.global_rank] if self.global_rank else []
        torch.manual_seed(int(np.random.SeedSequence([self.config.seed, step, *rank]).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        model, subject = self.model, batch["subject"]
        features = self._augment(model.normalise(batch["features"], subject))
        target = model.normalise_mel(batch["mel"], subject)
        ridge_mel = model.normalise_mel(batch["ridge_mel"], subject) if "ridge_mel" in batch else None
        if self.recipe.mixup > 0:
            features, target, ridge_mel = self._blend_windows(features, target, ridge_mel)
        memory = model.encode(features, ridge_mel)
        decoded, _ = model.decode(memory, self._sample(memory, target, ridge_mel), ridge_mel)
        loss = self._training_loss(decoded, target, batch)
        if model.a.postnet:
            loss = 0.5 * (loss + self._training_loss(model.refine(decoded), target, batch))
        if not torch.isfinite(loss):
            recordings = sorted({self.names[r] for r in batch["window"][:, 0].tolist()})
            raise NonFiniteLossError(self.global_step, recordings)
        self.losses.append(loss.detach())
        return loss

    def _augment(self, x: Tensor) -> Tensor:
        """Noise on every value, and whole channels set to zero."""
        kept = torch.rand(len(x), 1, x.shape[2], device=x.device) >= self.recipe.channel_drop
        noisy = x + self.recipe.input_noise * torch.randn_like(x)
        return noisy * kept / (1 - self.recipe.channel_drop)

    def _blend_windows(
        self, features: Tensor, target: Tensor, ridge_mel: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Each window blended with another: the mapping is nearly linear, so blends are plausible data."""
        share = torch.distributions.Beta(self.recipe.mixup, self.recipe.mixup).sample((len(features), 1, 1))
        share = torch.maximum(share, 1 - share).to(features)
        other = torch.randperm(len(features), device=features.device)

        def blended(x: Tensor) -> Tensor:
            return share * x + (1 - share) * x[other]

        return blended(features), blended(target), None if ridge_mel is None else blended(ridge_mel)

    def _sample(self, memory: Tensor, target: Tensor, ridge_mel: Tensor | None) -> Tensor:
        """Scheduled sampling by two passes: the true mel, or for some groups the decoder's own."""
        ramp = self.config.sampling_ramp * self.recipe.max_steps
        probability = self.config.scheduled_sampling * min(1.0, self.global_step / ramp)
        if probability == 0 or not self.model.a.feedback:
            return target
        with torch.no_grad():
            own, _ = self.model.decode(memory.detach(), target, ridge_mel)
        chosen = torch.rand(*target.shape[:2], 1, device=target.device) < probability
        return torch.where(chosen, own.to(target), target)

    def _training_loss(self, predicted: Tensor, target: Tensor, batch: Batch) -> Tensor:
        """The loss, and the mean square error of speech frames about its own mean, ``speech_weight`` strong.

        The contrast of speech with silence is most of a mel's variance: by itself it would hide
        differences within speech.
        """
        mask, weight = batch["mask"], self.recipe.speech_weight
        loss = self._loss(predicted, target, mask)
        if weight == 0:
            return loss
        speech = mask & (target.mean(dim=2) > self.speech_level[batch["subject"], None])
        if not speech.any():
            return loss
        error = predicted.float()[speech] - target[speech]
        share = len(error) / mask.sum()
        return (loss + weight * share * (error - error.mean(dim=0)).square().mean()) / (1 + weight)

    def _loss(self, predicted: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Mean over existing frames and bands, normalised mel."""
        a, b = predicted.float()[mask], target[mask]
        match self.config.loss:
            case "mse":
                return F.mse_loss(a, b)
            case "l1":
                return F.l1_loss(a, b)
            case "huber":
                return F.huber_loss(a, b)
            case "mix":
                return 0.5 * (F.mse_loss(a, b) + F.l1_loss(a, b))

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.averaged.update_parameters(self.model)

    def _lerp(self, averaged: Tensors, current: Tensors, n_averaged: Tensor | int) -> None:
        """One step of the exponential moving average; its memory grows with the number of steps."""
        decay = min(self.config.ema_decay, (1 + int(n_averaged)) / (10 + int(n_averaged)))
        get_ema_multi_avg_fn(decay)(averaged, current, n_averaged)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        output = self.average.generate(batch["features"], batch["subject"])
        if batch_idx == 0:
            self._keep_pictures(output, batch["mel"])
        free = output.mel
        forced = self.average(batch["features"], batch["subject"], batch["mel"]).mel
        mask = batch["mask"]
        mels, subject = (free, forced, batch["mel"]), batch["subject"]
        scaled = [self.average.normalise_mel(mel.float(), subject)[mask] for mel in mels]
        self.validated.append((scaled[0], scaled[1], scaled[2]))

    def _keep_pictures(self, output: Output, mel: Tensor) -> None:
        """Target, prediction (band, frame) and attention (heads side by side) of the loudest window."""
        loudest = int(mel.mean(dim=(1, 2)).argmax())
        mels = {"target": mel[loudest], "predicted": output.mel[loudest]}
        attention = torch.cat(list(output.attention[loudest]), dim=1)
        axes = ("frame of the window", "mel band", "nat")
        self.pictures = {name: Picture(own.T.float().cpu().numpy(), *axes) for name, own in mels.items()}
        axes = ("encoder position, head beside head", "step of the decoder", "weight")
        self.pictures["attention"] = Picture(attention.float().cpu().numpy(), *axes)

    def on_validation_epoch_end(self) -> None:
        free, forced, truth = (torch.cat(parts) for parts in zip(*self.validated, strict=True))
        everywhere = torch.ones(len(truth), dtype=torch.bool, device=truth.device)
        r_band = correlation_per_band(free.cpu().numpy(), truth.cpu().numpy())
        active = np.isfinite(r_band) & (truth.std(dim=0) > ACTIVE_STD_NATS).cpu().numpy()
        self.metrics = {
            "val_loss": float(self._loss(free, truth, everywhere)),
            "val_loss_tf": float(self._loss(forced, truth, everywhere)),
            "val_r": float(r_band[active].mean()) if active.any() else 0.0,
        }
        self.validated.clear()

    def epoch_metrics(self) -> dict[str, float]:
        """The epoch's row: training loss, validation figures, learning rate; clears the collected losses."""
        losses = float(self.trainer.strategy.reduce(torch.stack(self.losses).double().mean()))
        self.losses.clear()
        return {"train_loss": losses, **self.metrics, "lr": self.trainer.optimizers[0].param_groups[0]["lr"]}
