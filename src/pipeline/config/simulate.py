"""Config of the simulate stage, and the sample sheet that follows from it alone.

The Snakefile imports this module to list the recordings before they are made, so it imports
nothing larger than pydantic.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section

#: Step of the int16 arrays that simulate writes [µV]; full scale is ±3277 µV.
EEG_GAIN_UV = 0.1


class SimulateConfig(Section):
    """A simulated subject: its speech, the brain's response, and the recording's faults."""

    mode: Literal["linked", "null", "onset-only", "contaminated"] = Field(
        "linked",
        description="linked: high gamma follows the sound; null: it follows an independent sound; "
        "onset-only: it marks word onsets and nothing more; contaminated: linked, and sound leaks into channels",
    )
    subjects: int = Field(1, ge=1, le=999, description="Number of subjects [count]")
    recordings: int = Field(1, ge=1, le=999, description="Recordings of each subject [count]")
    minutes: float = Field(3.0, ge=1 / 60, le=240, description="Sound in each recording [min]")
    trials: int | None = Field(
        None,
        ge=1,
        le=9999,
        description="Trials that each recording is made of, as one session; null: one long recording [count]",
    )
    trial_s: float = Field(4.0, ge=1, le=3600, description="Sound in each trial, where there are trials [s]")
    channels: int = Field(32, ge=1, le=1024, description="Neural channels, bad ones included [count]")
    seed: int = Field(0, ge=0, description="Seed of all random numbers: equal seeds give equal bytes")
    speech: str | None = Field(
        None, min_length=1, description="Folder of .wav, .flac or .npy clips of real speech; null: synthetic words"
    )
    speech_rate_hz: float | None = Field(
        None, gt=0, le=768_000, description="Rate of .npy clips that the folder's meta.json does not declare [Hz]"
    )
    audio_rate_hz: int = Field(48000, ge=8000, le=192000, description="Rate of the sound [Hz]")
    eeg_rate_hz: int = Field(1024, ge=400, le=30000, description="Rate of the neural recording [Hz]")
    eeg_dtype: Literal["int16", "float32"] = Field(
        "int16", description="Neural arrays as int16 steps of 0.1 µV, or as float32 µV"
    )
    snr_db: float = Field(
        -6.0,
        ge=-60,
        le=60,
        description="High gamma that follows the sound, over background, in 70-170 Hz [dB]",
    )
    responsive_share: float = Field(
        0.6, ge=0, le=1, description="Share of the good channels that follow the sound [fraction]"
    )
    lag_min_s: float = Field(
        -0.15,
        ge=-2,
        le=2,
        description="Smallest lag of a response, positive = the brain precedes the sound [s]",
    )
    lag_max_s: float = Field(0.35, ge=-2, le=2, description="Largest lag of a response [s]")
    saturation: float = Field(
        0.5,
        gt=0,
        le=10,
        description="How early the response saturates: 1 / its ceiling [1 / SD of the drive]",
    )
    line_noise_hz: float = Field(50.0, ge=40, le=70, description="Line frequency [Hz]")
    line_noise_uv: float = Field(10.0, ge=0, le=1000, description="Typical line noise of a channel [µV]")
    dead_channels: int = Field(1, ge=0, le=1024, description="Flat channels, not declared in channels.tsv [count]")
    noisy_channels: int = Field(1, ge=0, le=1024, description="Noisy channels, declared bad in channels.tsv [count]")
    spikes_per_minute: float = Field(2.0, ge=0, le=600, description="Interictal spikes [1/min]")
    gain_drift: float = Field(0.2, ge=0, le=2, description="Slow drift of each channel's gain, SD of its log")
    audio_offset_s: float = Field(
        0.137, ge=-60, le=60, description="Neural clock at the first sound sample, declared in the sheet [s]"
    )
    audio_drift_ppm: float = Field(
        40.0,
        ge=-5000,
        le=5000,
        description="How much faster the neural clock runs, declared in the sheet [ppm]",
    )
    leak_channels: int = Field(4, ge=1, le=1024, description="Channels that sound leaks into (contaminated) [count]")
    leak_db: float = Field(
        -12.0, ge=-60, le=60, description="Leaked sound over background, in 70-170 Hz (contaminated) [dB]"
    )

    @property
    def length_s(self) -> float:
        """Sound in each raw file [s]."""
        return self.minutes * 60 if self.trials is None else self.trial_s

    @model_validator(mode="after")
    def _keys_agree(self) -> Self:
        if self.lag_min_s >= self.lag_max_s:
            raise ValueError("lag_min_s must be below lag_max_s")
        if self.dead_channels + self.noisy_channels >= self.channels:
            raise ValueError("dead_channels + noisy_channels must leave at least one of the channels")
        if self.mode == "contaminated" and self.leak_channels > self.channels:
            raise ValueError("leak_channels must not exceed channels")
        if self.length_s + self.audio_offset_s < 1:
            raise ValueError("audio_offset_s must leave at least 1 s of sound inside the neural recording")
        return self


class SimulateStage(Section):
    """What the simulate stage reads."""

    simulate: SimulateConfig


#: Pause between the trials of a simulated session [s].
PAUSE_S = 1.0


def simulated_sheet(config: SimulateConfig) -> list[dict[str, str]]:
    """The rows of ``recordings.tsv``, paths relative to the sheet; all rows have the same columns."""
    return [
        row
        for subject in range(config.subjects)
        for recording in range(config.recordings)
        for row in _rows(config, f"sim{subject + 1:02d}", recording + 1)
    ]


def _rows(config: SimulateConfig, subject: str, number: int) -> list[dict[str, str]]:
    """A recording, or the trials of a session, which share the tables of the implant."""
    session = f"{subject}_run{number:02d}"
    if config.trials is None:
        return [_row(config, subject, session, session)]
    spacing_s = config.length_s * (1 + config.audio_drift_ppm * 1e-6) + abs(config.audio_offset_s) + PAUSE_S
    return [
        _row(config, subject, f"{session}_{trial + 1:04d}", session)
        | {"session": f"run{number:02d}", "start_s": f"{trial * spacing_s:.3f}"}
        for trial in range(config.trials)
    ]


def _row(config: SimulateConfig, subject: str, recording: str, tables: str) -> dict[str, str]:
    return {
        "subject": subject,
        "recording": recording,
        "task": "words" if config.speech is None else "sentences",
        "eeg": f"{recording}_eeg.npy",
        "eeg_rate_hz": str(config.eeg_rate_hz),
        "eeg_units": "uV",
        "eeg_gain_uv": str(EEG_GAIN_UV) if config.eeg_dtype == "int16" else "n/a",
        "channels": f"{tables}_channels.tsv",
        "electrodes": f"{tables}_electrodes.tsv",
        "events": f"{recording}_events.tsv",
        "audio": f"{recording}_audio.npy",
        "audio_rate_hz": str(config.audio_rate_hz),
        "audio_offset_s": str(config.audio_offset_s),
        "audio_drift_ppm": str(config.audio_drift_ppm),
        "audio_modified": "none",
        "simulated": "true",
    }
