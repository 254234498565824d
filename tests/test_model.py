"""The network: shapes, alignment, teacher forcing, causality, inference, files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError
from torch import nn

from pipeline.config.model import ModelConfig
from pipeline.config.train import TrainConfig
from pipeline.data.intervals import covering_starts
from pipeline.errors import InputError
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import diagonality, latency_frames, predict_continuous
from pipeline.model.model_file import load_model, model_digest, save_model
from pipeline.model.network import AlignedAttention, AttentionAxes, Seq2Seq, frame_power, position_centres
from pipeline.model.presets import _RECIPES, Architecture, NetworkRole, network_roles, preset_for, resolve

SMALL = Architecture(
    n_channels=3, n_bands=7, length_frames=22, context_frames=6, encoder_width=8, encoder_hidden=6,
    decoder_hidden=10, heads=2, encoder_kernel=5,
)  # fmt: skip
VARIANTS = {
    "plain": SMALL,
    "causal": replace(SMALL, causal=True, postnet=True),
    "raw": replace(SMALL, rows_per_frame=4),
    "causal raw": replace(SMALL, rows_per_frame=4, causal=True),
    "without skip": replace(SMALL, ridge_skip=False, reduction_factor=5),
    "two subjects": replace(SMALL, n_subjects=2),
}


def network(a: Architecture, seed: int = 0) -> Seq2Seq:
    """Random weights, everywhere: skip, post-net and normalisation too."""
    torch.manual_seed(seed)
    model = Seq2Seq(a).eval()
    rows = [torch.randn(400, a.n_channels) * 3 + 1 for _ in range(a.n_subjects)]
    model.fit_normalisation(rows, [torch.randn(100, a.n_bands) - 5 for _ in rows])
    for parameter in model.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    if model.skip is not None:
        lags = torch.arange(-a.context_frames, 1 if a.causal else a.context_frames + 1)
        for s in range(a.n_subjects):
            weights = 0.1 * torch.randn(len(lags), a.n_channels, a.n_bands)
            bands, channels = torch.zeros(a.n_bands), torch.ones(a.n_channels)
            model.skip.set(s, weights, lags, bands, channels, 3 * channels)
    return model


def window(a: Architecture, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    rows = (a.length_frames + 2 * a.context_frames) * a.rows_per_frame
    return torch.randn(batch, rows, a.n_channels) * 3 + 1, torch.arange(batch) % a.n_subjects


@pytest.mark.parametrize("name", VARIANTS)
def test_shapes_and_teacher_forcing_on_own_output_is_free_running(name) -> None:
    a = VARIANTS[name]
    model = network(a)
    features, subject = window(a)
    with torch.no_grad():
        free = model.generate(features, subject)
        own = model.mel_in_nats(free.decoded, subject)
        forced = model(features, subject, own)
    groups = -(-a.length_frames // a.reduction_factor)
    assert free.mel.shape == (2, a.length_frames, a.n_bands)
    assert free.attention.shape == (2, a.heads, groups, -(-(a.length_frames + 2 * a.context_frames) // 4))
    assert_allclose(free.attention.sum(-1), 1.0, rtol=1e-5)
    assert_allclose(forced.mel, free.mel, atol=2e-6, rtol=1e-5)
    other = model(features, subject, own + 1.0).mel.detach()
    assert (other - free.mel).abs().max() > 1e-4, "the decoder must read its input frames"


def test_without_feedback_the_decoder_knows_no_frame_before() -> None:
    model = network(replace(SMALL, feedback=False))
    features, subject = window(SMALL)
    with torch.no_grad():
        free = model.generate(features, subject).mel
        forced = [model(features, subject, torch.randn_like(free)).mel for _ in range(2)]
    assert torch.equal(forced[0], forced[1])
    assert_allclose(forced[0], free, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ["causal", "causal raw"])
@pytest.mark.parametrize("frame", [0, 5, 13, 20])
def test_causal_frames_ignore_all_later_rows(name, frame) -> None:
    a = VARIANTS[name]
    model = network(a)
    features, subject = window(a)
    later = features.clone()
    beyond = later[:, (a.context_frames + frame + 1) * a.rows_per_frame :]
    beyond += 5 * torch.randn_like(beyond)
    with torch.no_grad():
        before, after = model.generate(features, subject).mel, model.generate(later, subject).mel
    assert_allclose(after[:, : frame + 1], before[:, : frame + 1], atol=1e-6)
    assert (after - before)[:, frame + 1 :].abs().max() > 1e-3
    assert latency_frames(model) == (0, 3)


def test_the_default_model_does_look_ahead() -> None:
    model = network(SMALL)
    features, subject = window(SMALL)
    later = features.clone()
    later[:, SMALL.context_frames + 11 :] += 5
    with torch.no_grad():
        change = model.generate(later, subject).mel - model.generate(features, subject).mel
    assert change[:, :5].abs().max() > 1e-3
    assert latency_frames(model) is None


def test_continuous_prediction_of_a_causal_model_is_causal() -> None:
    model = network(VARIANTS["causal"])
    features = np.random.default_rng(0).normal(size=(120, 3)).astype(np.float32)
    changed = features.copy()
    changed[60:] += 4
    first = predict_continuous(model, features, 10, 110, hop=6).mel
    second = predict_continuous(model, changed, 10, 110, hop=6).mel
    assert_allclose(second[:50], first[:50], atol=1e-6)
    assert np.abs(second[50:] - first[50:]).max() > 1e-2


def test_bias_aligns_attention_in_time() -> None:
    frames, groups = position_centres(20, 6), 4 * torch.arange(7)
    torch.manual_seed(0)
    states, memory = torch.randn(1, 7, 10), torch.randn(1, 20, 8)

    def attended(biased: bool) -> torch.Tensor:
        torch.manual_seed(1)
        block = AlignedAttention(10, 8, 2, 4, frames, groups, biased, causal=False)
        torch.nn.init.constant_(block.log_width, 0.0)
        _, weights = block(states, *block.remember(memory), block.bias())
        return weights[0] @ frames  # (head, group) mean time

    offsets = attended(True) - (groups + 1.5) - torch.tensor([[-4.0], [4.0]])
    assert offsets.abs().max() < 1.0
    assert (attended(False) - (groups + 1.5)).abs().max() > 5.0


def test_position_centres_are_on_the_windows_clock() -> None:
    assert_array_equal(position_centres(3, 2), [-0.5, 3.5, 7.5])  # frames -2 … 1 | 2 … 5 | 6 … 9


def test_ridge_skip_reads_the_frame_at_its_lag() -> None:
    model = Seq2Seq(SMALL)
    assert model.skip is not None
    weights = torch.zeros(1, 3, 7)
    weights[0, 1, 4] = 2.0
    zeros = torch.zeros(3)
    model.skip.set(0, weights, torch.tensor([-3]), torch.zeros(7), zeros, zeros + 1)
    features = torch.rand(1, 34, 3)
    mel = model.ridge_mel(features, torch.zeros(1, dtype=torch.long))
    assert mel is not None
    assert_allclose(mel[0, :, 4], 2 * features[0, 6 - 3 : 28 - 3, 1], rtol=1e-5)
    assert mel[0, :, :4].abs().max() == 0


def test_stitching_reads_no_row_beyond_the_context() -> None:
    model = network(SMALL)
    features = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    far = features.copy()
    far[: 50 - SMALL.context_frames] = 99
    far[117 + SMALL.context_frames :] = 99
    one = predict_continuous(model, features, 50, 117, hop=6)
    assert_array_equal(predict_continuous(model, far, 50, 117, hop=6).mel, one.mel)
    assert one.mel.shape == (67, 7)


def test_batch_size_of_inference_does_not_matter_and_attention_is_kept() -> None:
    model = network(SMALL)
    features = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    one = predict_continuous(model, features, 0, 90, hop=6, batch=1, n_attention=3)
    many = predict_continuous(model, features, 0, 90, hop=6, batch=64, n_attention=3)
    assert_allclose(one.mel, many.mel, atol=1e-5)
    assert many.attention.shape == (3, 2, 6, 9)
    assert_array_equal(many.attention_starts, [0, 36, 68])
    assert diagonality(many.attention, model).shape == (2,)


def test_single_window_equals_the_network() -> None:
    model = network(SMALL)
    features = np.random.default_rng(0).normal(size=(34, 3)).astype(np.float32)
    stitched = predict_continuous(model, features, 6, 28, hop=6).mel
    with torch.no_grad():
        direct = model.generate(torch.from_numpy(features)[None], torch.zeros(1, dtype=torch.long)).mel[0]
    assert_allclose(stitched, direct, atol=1e-5)


@pytest.mark.parametrize(("start", "stop"), [(0, 22), (3, 60), (5, 15), (0, 23)])
def test_windows_cover_the_span(start, stop) -> None:
    starts = covering_starts(start, stop, 22, 6)
    covered = np.zeros(stop + 22, dtype=bool)
    for s in starts:
        covered[s : s + 22] = True
    assert covered[start:stop].all()
    assert starts[0] == start
    assert starts[-1] == max(start, stop - 22)


def test_normalisation_flat_channel_and_constant_band() -> None:
    model = Seq2Seq(SMALL)
    rows = torch.randn(50, 3)
    rows[:, 1] = 4.0
    mel = torch.randn(40, 7)
    mel[:, 6] = -11.5129
    model.fit_normalisation([rows], [mel])
    x = model.normalise(rows[None], torch.zeros(1, dtype=torch.long))[0]
    assert_allclose(x.mean(0), 0, atol=1e-5)
    assert_allclose(x.std(0), [1, 0, 1], atol=1e-5)
    assert_allclose(model.normalise_mel(mel, torch.zeros(1, dtype=torch.long))[:, 6], 0, atol=1e-5)
    spike = model.normalise(rows[None] + 1e6, torch.zeros(1, dtype=torch.long))
    assert spike.max() <= SMALL.clip_input


def test_subjects_have_their_own_input_layer() -> None:
    model = network(VARIANTS["two subjects"])
    features, _ = window(SMALL, batch=1)
    with torch.no_grad():
        mels = [model.generate(features, torch.tensor([s])).mel for s in (0, 1)]
    assert (mels[0] - mels[1]).abs().max() > 1e-2


def test_the_power_of_a_raw_signal_knows_no_phase() -> None:
    x, floor = torch.sin(torch.arange(400) * 2.0)[None, :, None], torch.full((1, 1, 1), 1e-6)
    power = frame_power(x, 8, floor)
    assert power.shape == (1, 50, 1)
    assert_allclose(frame_power(-x, 8, floor), power)
    assert_allclose(frame_power(10 * x, 8, 100 * floor) - power, 2 * np.log(10), atol=1e-4)


def test_presets_and_overrides() -> None:
    assert [role.name for role in network_roles(ModelConfig(preset="large"))] == ["0-corrector"]
    assert [role.name for role in network_roles(ModelConfig())] == ["0-corrector", "1-free"]
    assert [role.name for role in network_roles(ModelConfig(ridge_skip=False))] == ["0-free", "1-free"]
    assert all(NetworkRole.named(role.name) == role for role in network_roles(ModelConfig(networks=12)))
    by_length = [preset_for(ModelConfig(), s) for s in (59.9, 60.0, 119.9, 120.0, 899.9, 900.0)]
    assert by_length == ["tiny", "medium", "medium", "long", "long", "large"]
    assert preset_for(ModelConfig(preset="medium"), 30.0) == "medium"
    config = ModelConfig(encoder_width=24, postnet=True)
    train = TrainConfig(max_steps=7, input_noise=0.0)
    architecture, recipe = resolve(NetworkRole(0, False), "strong", SMALL, config, train)
    assert (architecture.encoder_width, architecture.encoder_dropout, architecture.postnet) == (24, 0.4, True)
    assert (recipe.max_steps, recipe.input_noise, recipe.channel_drop) == (7, 0.0, 0.1)


STEPS = {"tiny": (160, 240), "strong": (160, 240), "medium": (200, 320), "long": (520, 800), "large": (800, 1200)}


@pytest.mark.parametrize("preset", STEPS)
@pytest.mark.parametrize("per_epoch", [1, 7, 30, 40, 100, 1000, 5000])
def test_the_steps_of_a_preset_are_kept_whatever_an_epoch_has(preset, per_epoch) -> None:
    for ridge_skip, expected in zip((True, False), STEPS[preset], strict=True):
        role, train = NetworkRole(0, ridge_skip), TrainConfig(steps_per_epoch=per_epoch)
        steps = resolve(role, preset, SMALL, ModelConfig(), train)[1].max_steps
        assert steps % min(per_epoch, steps) == 0, "whole epochs"
        kept = expected + {200: 40 / 3, 520: 40 / 3}.get(expected, 0)  # two thirds of 320 and 800
        assert abs(steps - kept) <= (per_epoch / 2 if kept >= per_epoch else 0.5)
        if per_epoch == 40:
            assert steps == expected


@pytest.mark.parametrize(("limit", "steps"), [(7, 7), (40, 40), (150, 120)])
def test_max_steps_is_a_limit_of_whole_epochs(limit, steps) -> None:
    recipe = resolve(NetworkRole(0, True), "tiny", SMALL, ModelConfig(), TrainConfig(max_steps=limit))[1]
    assert recipe.max_steps == steps


def another(section: type[TrainConfig], key: str) -> dict[str, object]:
    """The key with a valid value that is not its default."""
    default = section.model_fields[key].default
    candidates = [not default] if isinstance(default, bool) else [5, 0.25, "large"]
    for value in candidates:
        with suppress(ValidationError):
            return {key: getattr(section(**{key: value}), key)}
    raise AssertionError(f"add a value of {key} to the candidates")


@pytest.mark.parametrize("key", [k for k, field in TrainConfig.model_fields.items() if field.default is None])
def test_every_key_of_training_that_may_be_the_presets_overrules_it(key) -> None:
    role, train = NetworkRole(0, True), TrainConfig(**another(TrainConfig, key))
    recipe = resolve(role, "tiny", SMALL, ModelConfig(), train)[1]
    assert getattr(recipe, key) == getattr(train, key) != getattr(_RECIPES["tiny"], key)


class PerFrameDecoder(nn.Module):
    """Another decoder, without attention: each frame from the encoder position at its time."""

    def __init__(self, a: Architecture, memory_width: int) -> None:
        super().__init__()
        self.output = nn.Linear(memory_width, a.n_bands)
        self.position = (torch.arange(a.length_frames) + a.context_frames) // 4

    @property
    def attention_axes(self) -> AttentionAxes:
        return AttentionAxes(1, torch.arange(6), torch.arange(9))

    def forward(self, memory, known, ridge_mel):
        mel = self.output(memory[:, self.position])
        return mel if ridge_mel is None else mel + ridge_mel, mel.new_zeros(len(mel), 1, 6, 9)

    def generate(self, memory, ridge_mel):
        return self(memory, None, ridge_mel)


def test_another_decoder_is_one_line(monkeypatch) -> None:
    monkeypatch.setattr("pipeline.model.network.Decoder", PerFrameDecoder)
    model = Ensemble.of([network(SMALL), network(replace(SMALL, ridge_skip=False), seed=1)])
    features = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    found = predict_continuous(model, features, 0, 90, hop=6, n_attention=3)
    assert found.mel.shape == (90, 7)
    assert found.attention.shape == (3, 2, 6, 9)
    assert_array_equal(diagonality(found.attention, model), [0, 0])
    forced = predict_continuous(model, features, 0, 90, hop=6, target=np.zeros((90, 7), np.float32))
    assert_allclose(forced.mel, found.mel, atol=1e-6)


def test_attention_axes_of_an_ensemble_are_those_of_its_networks() -> None:
    model = Ensemble.of([network(SMALL), network(replace(SMALL, ridge_skip=False), seed=1)])
    axes = model.attention_axes
    assert axes.heads == 4
    assert_array_equal(axes.group_frames, [0, 4, 8, 12, 16, 20])
    assert_array_equal(axes.position_frames, position_centres(9, 6))


def test_a_new_key_reaches_the_record_that_has_a_field_of_its_name() -> None:
    class MoreModel(ModelConfig):
        encoder_kernel: int | None = None

    class MoreTrain(TrainConfig):
        mixup: float | None = None

    for kernel, mixup in ((7, 0.2), (None, None)):
        model, train = MoreModel(encoder_kernel=kernel), MoreTrain(mixup=mixup)
        architecture, recipe = resolve(NetworkRole(0, True), "tiny", SMALL, model, train)
        assert (architecture.encoder_kernel, recipe.mixup) == (kernel or 15, mixup or 0.7)
    assert resolve(NetworkRole(0, True), "tiny", SMALL, ModelConfig(), TrainConfig(clip_input=3.0))[0].clip_input == 3.0


def test_ensemble_is_the_weighted_mean_of_networks_and_skip() -> None:
    networks = [network(SMALL), network(replace(SMALL, ridge_skip=False), seed=1)]
    networks[1].mel_mean.copy_(networks[0].mel_mean)
    ensemble = Ensemble.of(networks)
    ensemble.weights.copy_(torch.tensor([0.5, 0.3, 0.2]))
    features, subject = window(SMALL)
    with torch.no_grad():
        output = ensemble.generate(features, subject)
        parts = [n.generate(features, subject).mel - n.mel_mean for n in networks]
        skip = networks[0].ridge_mel(features, subject) * networks[0].mel_scale
    expected = networks[0].mel_mean + 0.5 * parts[0] + 0.3 * parts[1] + 0.2 * skip
    assert_allclose(output.mel, expected, atol=1e-5)
    assert output.attention.shape[1] == 2 * SMALL.heads


def test_model_file_round_trip_is_exact_and_repeatable(tmp_path: Path) -> None:
    model = Ensemble.of([network(SMALL)])
    save_model(tmp_path / "a.ckpt", model, {"fold": 1, "subject": "Zoë"})
    save_model(tmp_path / "b.ckpt", model, {"subject": "Zoë", "fold": 1})
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()
    loaded, meta = load_model(tmp_path / "a.ckpt")
    assert meta == {"fold": 1, "subject": "Zoë"}
    assert model_digest(loaded) == model_digest(model) != model_digest(Ensemble.of([network(SMALL, seed=1)]))
    features, subject = window(SMALL)
    with torch.no_grad():
        assert_array_equal(loaded.generate(features, subject).mel, model.generate(features, subject).mel)


def test_flipped_bits_of_a_model_file_never_change_a_value_unnoticed(tmp_path: Path) -> None:
    model = Ensemble.of([network(SMALL)])
    path, damaged = tmp_path / "model.ckpt", tmp_path / "damaged.ckpt"
    save_model(path, model, {})
    content, digest = path.read_bytes(), model_digest(model)
    rng, noticed = np.random.default_rng(0), 0
    for position in rng.integers(0, len(content), 60):
        flipped = bytearray(content)
        flipped[position] ^= 1 << int(rng.integers(8))
        damaged.write_bytes(flipped)
        try:
            loaded, _ = load_model(damaged)
        except InputError:
            noticed += 1
        else:
            assert model_digest(loaded) == digest
    assert noticed > 10


@pytest.mark.parametrize("forced", ["0", "1"])
def test_hostile_model_file_runs_no_code(tmp_path: Path, monkeypatch, forced) -> None:
    canary = tmp_path / "canary"

    class Attack:
        def __reduce__(self):
            return Path.touch, (canary,)

    torch.save({"header": Attack(), "tensors": {}}, tmp_path / "evil.ckpt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    with pytest.raises(InputError, match="Run the train stage again"):
        load_model(tmp_path / "evil.ckpt")
    assert not canary.exists()


def test_encoder_reads_the_ridge_skip() -> None:
    model = network(SMALL)
    features, subject = window(SMALL)
    normalised = model.normalise(features, subject)
    with torch.no_grad():
        ridge_mel = model.ridge_mel(features, subject)
        assert ridge_mel is not None
        encoded, changed = model.encode(normalised, ridge_mel), model.encode(normalised, ridge_mel + 1)
    assert (encoded - changed).abs().max() > 1e-3


def test_a_pooled_model_with_one_scale_for_all_is_read(tmp_path: Path) -> None:
    """As such models were before each subject had a scale of the mel of its own."""
    model = Ensemble.of([network(replace(SMALL, n_subjects=2))])
    own = model.networks[0]
    own.mel_mean, own.mel_scale = own.mel_mean[0], own.mel_scale[0]
    save_model(tmp_path / "old.ckpt", model, {})
    found = load_model(tmp_path / "old.ckpt")[0].networks[0]
    assert torch.equal(found.mel_mean, own.mel_mean.expand(2, -1))
    assert torch.equal(found.mel_scale, own.mel_scale.expand(2, -1))
