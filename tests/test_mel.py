"""The mel: librosa and a published mel agree with it, and it does not depend on how the sound is read."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soxr
from pydantic import ValidationError

from pipeline.config.mel import MelConfig, MelStage
from pipeline.config.mel_grid import MelGrid
from pipeline.errors import InputError
from pipeline.signal.blocks import array_reader, read_continued, read_mirrored
from pipeline.signal.mel import log_mel, log_mel_blocks, mel_filter_bank
from pipeline.signal.mel_frames import frame_times_s, n_frames

SHARED = Path(__file__).parents[2] / "shared" / "data"
RATE_HZ = 22050


def sound(n_samples: int, seed: int = 0) -> np.ndarray:
    """Noise whose loudness and colour change, so that no frame is like another."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(n_samples) / RATE_HZ
    noise = rng.standard_normal(n_samples) * (0.02 + 0.2 * np.sin(3 * time_s) ** 2)
    chirp = 0.3 * np.sin(2 * np.pi * (200 + 900 * time_s) * time_s)
    return (np.clip(noise + chirp, -1, 1) * 32767).astype(np.int16)


def librosa_mel(audio: np.ndarray, config: MelConfig) -> np.ndarray:
    """Linear magnitudes (frames, bands) by the reference implementation of each flavor."""
    centred = config.flavor == "tacotron2"
    if not centred:
        audio = np.pad(audio, config.padding, mode="reflect")
    return librosa.feature.melspectrogram(
        y=audio,
        sr=config.sample_rate_hz,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        win_length=config.win_length,
        center=centred,
        pad_mode="reflect",
        power=1.0,
        n_mels=config.n_mels,
        fmin=config.fmin_hz,
        fmax=config.fmax_hz,
    ).T


def floor_and_log(magnitude: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(magnitude, 1e-5))


CONFIGS = [
    MelConfig(),
    MelConfig(flavor="hifigan"),
    MelConfig(win_length=800, n_mels=40, fmin_hz=80.0, fmax_hz=7600.0),
    MelConfig(sample_rate_hz=16000, n_fft=512, win_length=400, hop_length=160, n_mels=26),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_filter_bank_is_librosas(config: MelConfig) -> None:
    expected = librosa.filters.mel(
        sr=config.sample_rate_hz,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        fmin=config.fmin_hz,
        fmax=config.fmax_hz,
        dtype=np.float64,
    )
    np.testing.assert_allclose(mel_filter_bank(config), expected, rtol=0, atol=1e-14)


@pytest.mark.filterwarnings("ignore:n_fft=1024 is too large")
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("n_samples", [44100, 44032, 30001, 1024, 700])
def test_mel_is_librosas(config: MelConfig, n_samples: int) -> None:
    audio = sound(n_samples)
    mel = log_mel(audio, config.sample_rate_hz, config)
    expected = np.maximum(librosa_mel(audio / np.float32(32768), config), config.log_floor)
    assert mel.dtype == np.float32
    assert mel.shape == expected.shape == (n_frames(n_samples, config), config.n_mels)
    np.testing.assert_allclose(np.exp(mel), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(mel, np.log(expected), rtol=0, atol=2e-3)


def test_the_two_flavors_are_not_the_same_mel() -> None:
    audio = sound(3 * RATE_HZ)
    tacotron2 = log_mel(audio, RATE_HZ, MelConfig())
    hifigan = log_mel(audio, RATE_HZ, MelConfig(flavor="hifigan"))
    assert len(tacotron2) == len(audio) // 256 + 1
    assert len(hifigan) == len(audio) // 256
    assert np.abs(tacotron2[:-1] - hifigan).mean() > 0.1


def test_published_mel_of_real_speech() -> None:
    trials = sorted((SHARED / "neurotalk5").glob("trial*"))
    if not trials:
        pytest.skip("needs ../shared/data/neurotalk5: trials with audio.npy and mel_ref.npy")
    for trial in trials:
        audio = soxr.resample(np.load(trial / "audio.npy") / np.float32(32768), 16000, RATE_HZ)
        reference = np.load(trial / "mel_ref.npy")
        mel = log_mel(audio, RATE_HZ, MelConfig(flavor="hifigan"))
        assert mel.shape == reference.shape == (172, 80)
        assert np.abs(mel - reference).mean() < 0.12
        # The published mel tells the flavors apart: the other one's frames lie half a hop off.
        other = log_mel(audio, RATE_HZ, MelConfig())[:172]
        assert np.abs(other - reference).mean() > np.abs(mel - reference).mean()


@pytest.mark.parametrize("flavor", ["tacotron2", "hifigan"])
def test_bits_do_not_depend_on_how_the_sound_is_read(flavor: str) -> None:
    config = MelConfig.model_validate({"flavor": flavor})
    audio = sound(2_000_011)
    whole = log_mel(audio, RATE_HZ, config)
    for frames in (64, 192, 1024, 8192):
        blocks = list(log_mel_blocks(array_reader(audio), len(audio), config, frames))
        assert all(len(block) == frames for block in blocks[:-1])
        assert np.array_equal(np.concatenate(blocks), whole)
    assert np.array_equal(log_mel(audio / np.float32(32768), RATE_HZ, config), whole)
    assert np.array_equal(log_mel(audio / 32768, RATE_HZ, config), whole)
    assert np.array_equal(log_mel(audio.astype(np.int32) << 16, RATE_HZ, config), whole)


def test_a_memory_map_is_read_in_small_pieces(tmp_path: Path) -> None:
    np.save(tmp_path / "audio.npy", sound(600_000))
    audio = np.load(tmp_path / "audio.npy", mmap_mode="r")
    sizes: list[int] = []

    def read(start: int, stop: int) -> np.ndarray:
        sizes.append(stop - start)
        return audio[start:stop]

    blocks = list(log_mel_blocks(read, len(audio), MelConfig(), 128))
    assert np.array_equal(np.concatenate(blocks), log_mel(audio, RATE_HZ, MelConfig()))
    assert max(sizes) <= 128 * 256 + 1024
    with pytest.raises(ValueError, match="multiple of 64"):
        next(log_mel_blocks(read, len(audio), MelConfig(), 100))


def test_frames_are_centred_where_their_times_say() -> None:
    for config in (MelConfig(), MelConfig(flavor="hifigan")):
        click = np.zeros(RATE_HZ, np.float32)
        click[256 * 40 + 128 * (config.flavor == "hifigan")] = 1
        mel = log_mel(click, RATE_HZ, config)
        loudest = int(mel.mean(axis=1).argmax())
        assert frame_times_s(len(mel), config)[loudest] == pytest.approx(np.argmax(click) / RATE_HZ, abs=1e-9)


@pytest.mark.parametrize("n_samples", [1, 2, 100, 255, 256, 257, 512, 513])
@pytest.mark.parametrize("config", [MelConfig(), MelConfig(flavor="hifigan")])
def test_sound_shorter_than_its_padding_is_mirrored_again_and_again(config: MelConfig, n_samples: int) -> None:
    audio = sound(n_samples)
    if n_frames(n_samples, config) == 0:
        with pytest.raises(InputError, match="at least one frame"):
            log_mel(audio, RATE_HZ, config)
        return
    padded = np.pad(audio / 32768, config.padding, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, 1024)[::256][: n_frames(n_samples, config)]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    expected = floor_and_log(np.abs(np.fft.rfft(frames * window)) @ mel_filter_bank(config).T)
    np.testing.assert_allclose(log_mel(audio, RATE_HZ, config), expected, rtol=0, atol=2e-3)


def test_silence_is_at_the_floor() -> None:
    mel = log_mel(np.zeros(5000, np.int16), RATE_HZ, MelConfig())
    np.testing.assert_allclose(mel, -11.5129, atol=1e-4)


@pytest.mark.parametrize(
    ("audio", "rate_hz", "message"),
    [
        (np.zeros(4000, np.float32), 16000, "16000 Hz"),
        (np.zeros((4000, 2), np.float32), RATE_HZ, "one channel"),
        (np.zeros(0, np.float32), RATE_HZ, "0 samples"),
        (np.full(4000, np.nan, np.float32), RATE_HZ, "NaN"),
        (np.r_[np.zeros(90_000), np.inf, np.zeros(90_000)], RATE_HZ, "infinity"),
        (np.full(4000, 12000.0), RATE_HZ, "full scale"),
        (np.zeros(4000, np.uint8), RATE_HZ, "uint8"),
        (np.zeros(4000, np.complex64), RATE_HZ, "complex64"),
    ],
)
def test_what_is_not_sound_is_refused(audio: np.ndarray, rate_hz: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        log_mel(audio, rate_hz, MelConfig())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"win_length": 2048}, "exceeds n_fft"),
        ({"hop_length": 1025}, "samples would be skipped"),
        ({"n_fft": 1025}, "must be even"),
        ({"hop_length": 255, "flavor": "hifigan"}, "must be even for flavor hifigan"),
        ({"fmax_hz": 11026.0}, "exceeds half"),
        ({"fmin_hz": 8000.0}, "not below"),
        ({"n_mels": 400}, "too many: band"),
        ({"n_mels": 0}, "greater than or equal"),
        ({"log_floor": 0.0}, "greater than 0"),
        ({"n_ffts": 512}, "Extra inputs"),
        ({"flavor": "waveglow"}, "tacotron2"),
    ],
)
def test_a_mel_that_cannot_be_is_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MelConfig.model_validate(keys)


@pytest.mark.parametrize("n_mels", range(60, 320, 20))
def test_too_many_bands_means_a_band_without_weight(n_mels: int) -> None:
    full = MelConfig.model_construct(**{**MelConfig().model_dump(), "n_mels": n_mels})
    every_band_has_weight = bool(mel_filter_bank(full).any(axis=1).all())
    try:
        MelConfig(n_mels=n_mels)
        accepted = True
    except ValidationError:
        accepted = False
    assert accepted == every_band_has_weight


def test_the_stage_reads_back_its_json() -> None:
    stage = MelStage(mel=MelConfig(flavor="hifigan", fmax_hz=7600.0))
    assert MelStage.from_json(stage.canonical_json()) == stage


def test_grid_alone_gives_frames_and_times() -> None:
    grid = MelGrid(flavor="hifigan")
    assert [n_frames(n, grid) for n in (0, 255, 256, 22050)] == [0, 0, 1, 86]
    assert [n_frames(n, MelGrid()) for n in (0, 255, 256, 22050)] == [0, 1, 2, 87]
    assert frame_times_s(3, grid) * RATE_HZ == pytest.approx([128, 384, 640])


@pytest.mark.parametrize("n_samples", [2, 3, 10])
def test_continuation_beyond_the_ends(n_samples: int) -> None:
    x = np.random.default_rng(0).standard_normal((n_samples, 2)).astype(np.float32)
    mirrored = read_mirrored(array_reader(x), -25, n_samples + 31, n_samples)
    np.testing.assert_array_equal(mirrored, np.pad(x, ((25, 31), (0, 0)), mode="reflect"))
    continued = read_continued(array_reader(x), -25, n_samples + 31, n_samples)
    odd = np.pad(x, ((25, 31), (0, 0)), mode="reflect", reflect_type="odd")
    np.testing.assert_allclose(continued, odd, rtol=0, atol=1e-4)
