"""The ``config.json`` of a HiFi-GAN checkpoint: the generator's architecture and its mel.

Read without torch, so that a checkpoint for another mel is refused before anything runs.
Keys as in the original's configs (Kong, Kim & Bae 2020; v1, v2, v3 and universal); those that only its
training reads are passed over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.config.mel import MelConfig
from pipeline.config.vocode import VocodeConfig
from pipeline.errors import InputError, Problem, raise_if_any

#: Far above any published model; a config beyond it is damaged or hostile.
Size = Annotated[int, Field(ge=1, le=4096)]
Sizes = Annotated[tuple[Size, ...], Field(min_length=1, max_length=16)]
#: The original's ``dynamic_range_compression`` clips here, in code and not in the config.
LOG_FLOOR = 1e-5
FIX = "Use the config.json that came with the checkpoint"


class HifiGanConfig(BaseModel):
    """Shape of the generator, and the mel that it was trained on."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)

    resblock: Literal["1", "2"]
    upsample_rates: Sizes
    upsample_kernel_sizes: Sizes
    upsample_initial_channel: Size
    resblock_kernel_sizes: Sizes
    resblock_dilation_sizes: tuple[Sizes, ...]
    sampling_rate: int
    n_fft: int
    hop_size: int
    win_size: int
    num_mels: Size
    fmin: float
    fmax: float | None

    @model_validator(mode="after")
    def _check(self) -> Self:
        stages = zip(self.upsample_kernel_sizes, self.upsample_rates, strict=False)
        wrong = {
            "upsample_kernel_sizes and upsample_rates differ in length": len(self.upsample_kernel_sizes)
            != len(self.upsample_rates),
            "resblock_kernel_sizes and resblock_dilation_sizes differ in length": len(self.resblock_kernel_sizes)
            != len(self.resblock_dilation_sizes),
            "upsample_rates do not multiply to hop_size": math.prod(self.upsample_rates) != self.hop_size,
            "an upsampling kernel and its rate differ by an odd number": any(k < u or (k - u) % 2 for k, u in stages),
            "a resblock kernel is even": any(k % 2 == 0 for k in self.resblock_kernel_sizes),
            "upsample_initial_channel cannot be halved that often": self.upsample_initial_channel
            % 2 ** len(self.upsample_rates)
            != 0,
        }
        if found := [what for what, is_wrong in wrong.items() if is_wrong]:
            raise ValueError("; ".join(found))
        return self

    @property
    def receptive_field_frames(self) -> int:
        """How many mel frames on either side a sample of the output depends on, at most."""
        resblock_field = max(
            (kernel - 1) // 2 * (sum(dilations) + (len(dilations) if self.resblock == "1" else 0))
            for kernel, dilations in zip(self.resblock_kernel_sizes, self.resblock_dilation_sizes, strict=True)
        )
        field = 3
        for rate, kernel in zip(reversed(self.upsample_rates), reversed(self.upsample_kernel_sizes), strict=True):
            field = math.ceil((field + resblock_field + kernel) / rate)
        return field + 3

    def mel_problems(self, file: Path, mel: MelConfig) -> Iterator[Problem]:
        """Where the mel of this workflow is not the mel that the checkpoint takes."""
        fmax_hz = self.sampling_rate / 2 if self.fmax is None else self.fmax
        wanted: dict[str, tuple[object, object]] = {
            "flavor": (mel.flavor, "hifigan"),
            "sample_rate_hz": (mel.sample_rate_hz, self.sampling_rate),
            "n_fft": (mel.n_fft, self.n_fft),
            "hop_length": (mel.hop_length, self.hop_size),
            "win_length": (mel.win_length, self.win_size),
            "n_mels": (mel.n_mels, self.num_mels),
            "fmin_hz": (mel.fmin_hz, float(self.fmin)),
            "fmax_hz": (mel.fmax_hz, float(fmax_hz)),
            "log_floor": (mel.log_floor, LOG_FLOOR),
        }
        for key, (ours, theirs) in wanted.items():
            if ours != theirs:
                fix = f"Set mel.{key} to {theirs}, or take a checkpoint that was trained on this mel"
                yield Problem(str(file), f"mel.{key}", str(ours), f"{theirs}, as the checkpoint was trained on", fix)


def read_hifigan_config(file: Path, mel: MelConfig) -> HifiGanConfig:
    """The config in ``file``, checked against the mel of the workflow.

    Raises :class:`InputError` with everything that is wrong with it, or that differs from ``mel``.
    """
    try:
        config = HifiGanConfig.model_validate_json(file.read_bytes())
    except OSError as error:
        got = error.strerror or type(error).__name__
        raise InputError(Problem(str(file), "vocode.checkpoint_config", got, "a HiFi-GAN config.json", FIX)) from None
    except ValidationError as error:
        raise InputError(_problem(file, dict(found)) for found in error.errors()) from None
    raise_if_any(config.mel_problems(file, mel))
    return config


def checkpoint_files(config: VocodeConfig, mel: MelConfig) -> tuple[Path, Path, HifiGanConfig]:
    """The checkpoint and its config.json that ``vocode`` names, and what is in the latter, checked against the mel.

    Raises :class:`InputError` where one is missing, or for another mel.
    """
    files = {"checkpoint": config.checkpoint, "checkpoint_config": config.checkpoint_config}
    fix = "Name the generator's checkpoint and the config.json that came with it, or take vocode.vocoder: griffin_lim"
    raise_if_any(
        Problem("config", f"vocode.{key}", file or "nothing", "a file, since the vocoder is hifigan", fix)
        for key, file in files.items()
        if file is None or not Path(file).is_file()
    )
    checkpoint, config_file = (Path(str(file)) for file in files.values())
    return checkpoint, config_file, read_hifigan_config(config_file, mel)


def _problem(file: Path, found: dict[str, object]) -> Problem:
    place = found["loc"]
    field = ".".join(map(str, place)) if isinstance(place, tuple) else ""
    return Problem(str(file), field, str(found["msg"]), "a config.json of HiFi-GAN", FIX)
