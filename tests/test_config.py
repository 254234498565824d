"""The config: strict reading, near matches, equal texts for equal configs, no drift of what is generated."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.config.docs import default_files
from pipeline.config.loader import all_keys, load_config, parse_override
from pipeline.config.ridge import RidgeStage
from pipeline.config.root import Config
from pipeline.config.stages import STAGES, downstream, readers, stage_json
from pipeline.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


def load(tmp_path: Path, text: str, name: str = "c.yaml") -> Config:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return load_config([file])


@pytest.mark.parametrize("name", sorted(default_files()))
def test_generated_files_follow_the_models(name: str) -> None:
    committed = (ROOT / "config" / name).read_text(encoding="utf-8")
    assert committed == default_files()[name], "run: python -m pipeline config --write config"


def test_yaml_and_toml_defaults_resolve_to_the_same_config() -> None:
    assert load_config([ROOT / "config/config.yaml"]) == load_config([ROOT / "config/config.toml"]) == Config()


def test_equal_values_written_differently_give_equal_texts(tmp_path: Path) -> None:
    texts = {
        stage_json("train", load(tmp_path, "train: {lr: 1e-3}")),
        stage_json("train", load(tmp_path, "train:\n  lr: 0.001\n")),
        stage_json("train", load(tmp_path, "[train]\nlr = 1e-3\n", "c.toml")),
        stage_json("train", load_config([], [parse_override("train.lr=1E-3")])),
    }
    assert len(texts) == 1
    assert stage_json("train", Config()) not in texts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: {lr: '1e-3'}", ["train.lr", "valid number", "without quotes"]),
        ("causal: no", ["causal", "true or false"]),
        ("train: {lr: 1, lr: 2}", ["'lr' twice"]),
        ("data: &d {sheet: a}\nmel: *d", ["an alias"]),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", ["an alias"]),
        ("__use_yte__: true", ["__use_yte__", "unknown key"]),
        ("train: {learning_rat: 1}", ["train.learning_rat", "unknown key"]),
        ("train: {batchsize: 1}", ["Did you mean batch_size?"]),
        ("flavor: hifigan", ["Did you mean mel.flavor?"]),
        ("x: !!python/object/apply:os.system [ls]", ["python/object/apply"]),
        ("- 1\n- 2", ["not a mapping"]),
        ("train: {lr: .nan}", ["train.lr", "finite"]),
        ("train: {seed: 1.5}", ["train.seed", "valid integer"]),
        ("train: {seed: true}", ["train.seed", "valid integer"]),
        ("fold: 7", ["fold 7", "split.folds is 5"]),
        ("ridge: {lags_before_s: 1}", ["lags_before_s 1", "context_s 0.3"]),
        ("{causal: true, window: {context_s: 0.03}}", ["context_s 0.03", "4 mel frames"]),
        ("{causal: true, ridge: {lags_after_s: 0.05}}", ["lags_after_s 0.05", "causal"]),
        ("{causal: true, train: {normalisation: recording_unlabelled}}", ["whole recording", "causal"]),
        ("mel: {fmax_hz: 20000}", ["fmax_hz", "11025"]),
        ("window: {hop_s: 2}", ["hop_s", "length_s"]),
        ("window: {length_s: 0.05, hop_s: 0.05}", ["length_s 0.05 is 4 mel frames", "needs 8"]),
        ("window: {hop_s: 0.001}", ["hop_s 0.001 is 0 mel frames", "0.0116 s"]),
        ("model: {attention_width_s: 0.005}", ["attention_width_s 0.005 is 0 mel frames"]),
        ("1: 2", ["the key 1"]),
        ("train: {lr: 1", ["line"]),
    ],
)
def test_bad_configs_are_refused_with_a_fix(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert message.startswith("error: ")
    assert "Fix: " in message
    for word in words:
        assert word in message


@pytest.mark.parametrize(("grid", "frames"), [({}, (96, 26, 24)), ({"hop_length": 200}, (123, 33, 31))])
def test_seconds_become_the_nearest_frames_of_the_grid(grid: dict[str, int], frames: tuple[int, ...]) -> None:
    config = load_config([], [{"mel": grid}])
    window = config.window
    found = tuple(config.mel.frames(s) for s in (window.length_s, window.context_s, window.hop_s))
    assert found == frames
    for frame_count, duration_s in zip(found, (window.length_s, window.context_s, window.hop_s), strict=True):
        assert abs(frame_count / config.mel.frame_rate_hz - duration_s) <= 0.5 / config.mel.frame_rate_hz


@pytest.mark.parametrize(
    ("settings", "lags"),
    [
        ({}, (26, 26)),
        ({"causal": True}, (26, 0)),
        ({"ridge": {"lags_before_s": 0.1, "lags_after_s": 0.0}}, (9, 0)),
        ({"mel": {"hop_length": 200}}, (33, 33)),
    ],
)
def test_lags_of_the_ridge_are_seconds(settings: dict[str, object], lags: tuple[int, int]) -> None:
    stage = RidgeStage.from_json(stage_json("ridge", load_config([], [settings])))
    assert stage.lags_frames == lags


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, "train: {lr: x, seed: -1}\nmells: 1\n")
    assert len(caught.value.problems) == 3


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(InputError, match=r"Did you mean .*config\.yaml"):
        load_config([tmp_path / "confg.yaml"])


def test_later_files_and_overrides_win(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("train: {lr: 0.5, seed: 4}")
    (tmp_path / "b.toml").write_text("[train]\nlr = 0.25\n")
    config = load_config([tmp_path / "a.yaml", tmp_path / "b.toml"], [parse_override("train.seed=9")])
    assert (config.train.lr, config.train.seed) == (0.25, 9)


@pytest.mark.parametrize("key", all_keys())
def test_every_key_has_a_description_and_a_reader(key: str) -> None:
    section: type = Config
    for part in key.split("."):
        field = section.model_fields[part]
        section = field.annotation
    assert field.description
    runtime_or_sweep = key.startswith(("runtime.", "sweep."))
    assert bool(readers(key)) != (runtime_or_sweep or key in {"data.sheet", "fold", "context"})


def test_only_the_stages_that_read_a_key_see_it() -> None:
    base, changed = Config(), load_config([], [parse_override("chance.shifts=2000")])
    assert [s for s in STAGES if stage_json(s, base) != stage_json(s, changed)] == ["evaluate"]
    changed = load_config([], [parse_override("mel.n_mels=40")])
    assert [s for s in STAGES if stage_json(s, base) != stage_json(s, changed)] == ["mel", "vocode", "evaluate"]
    changed = load_config([], [parse_override("runtime.log_level=debug")])
    assert all(stage_json(s, base) == stage_json(s, changed) for s in STAGES)


def test_downstream_follows_the_flow() -> None:
    assert downstream({"mel"}) == ["mel", "repeats", "ridge", "train", "ensemble", "predict", "vocode", "evaluate"]
    assert downstream({"evaluate"}) == ["evaluate"]


def test_a_config_of_nothing_but_unknown_keys_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("".join(f"k{i}: 1\n" for i in range(60_000)))
    with pytest.raises(InputError) as refused:
        load_config([file])
    first, *others = refused.value.problems
    assert first.got == "60000 problems, of which the first 50 follow"
    assert len(others) == 50


@pytest.mark.parametrize("value", ["9" * 5000, f"0x{'f' * 5000}", f"-{'1' * 5000}", f"1e{'9' * 5000}"])
def test_numbers_of_thousands_of_digits_are_refused(tmp_path: Path, value: str) -> None:
    file = tmp_path / "config.yaml"
    for key in ("train: {seed: %s}", "fold: %s", "train: {lr: %s}"):
        file.write_text(key % value)
        with pytest.raises(InputError):
            load_config([file])
    with pytest.raises(InputError):
        load_config([], [parse_override(f"train.seed={value}")])


def test_the_key_table_has_a_section_for_each_part_an_anchor_for_each_key_and_types_in_words() -> None:
    text = default_files()["README.md"]
    anchors = re.findall(r'^\| <a id="([^"]+)"></a>`([^`]+)` \| ([^|]+) \|', text, re.MULTILINE)
    assert [anchor for anchor, _, _ in anchors] == [key for _, key, _ in anchors] == _in_parts(all_keys())
    for section in {key.split(".")[0] for key in all_keys() if "." in key}:
        assert f"\n## `{section}`\n" in text
    types = {key: kind for key, _, kind in anchors}
    assert types["fold"] == "all, final or whole number"
    assert types["simulate.trials"] == "whole number or null"
    assert not any(word in kind.split() for kind in types.values() for word in ("int", "float", "str", "bool"))
    assert not any("Union" in kind or "Literal" in kind for kind in types.values())


def _in_parts(keys: list[str]) -> list[str]:
    """Keys without a section come first."""
    return [key for key in keys if "." not in key] + [key for key in keys if "." in key]


def test_what_yaml_1_1_takes_for_a_text_is_a_number_where_the_key_takes_none() -> None:
    given = {
        "mel": {"log_floor": "1e-05"},
        "train": {"lr": "2E-4", "weight_decay": "1e-3"},
        "align": {
            "features": [{"kind": "band_envelope", "frame_length_s": "5e-2"}, {"kind": "low_pass", "cutoff_hz": "1e1"}],
            "channels": {"exclude": ["1e5", "LA1"]},
        },
        "ridge": {"penalties": ["1e3", 2e4]},
        "data": {"sheet": "1e5"},
    }
    config = load_config([], [given], yaml_1_1=True)
    assert (config.mel.log_floor, config.train.lr, config.train.weight_decay) == (1e-5, 2e-4, 1e-3)
    assert [f.model_dump().get("frame_length_s") for f in config.align.features] == [0.05, 0.05]
    assert config.align.features[1].model_dump()["cutoff_hz"] == 10
    assert (list(config.align.channels.exclude), config.ridge.penalties) == (["1e5", "LA1"], [1e3, 2e4])
    assert str(config.data.sheet) == "1e5"
    with pytest.raises(InputError, match=r"train.lr\]: got '1e'"):
        load_config([], [{"train": {"lr": "1e"}}], yaml_1_1=True)
    with pytest.raises(InputError, match=r"train.lr\]: got '2E-4'.*without quotes"):
        load_config([], [{"train": {"lr": "2E-4"}}])


#: Numbers of any size: what they do ends, or is said, by itself (a loss that is not finite, no channel left).
OF_ANY_SIZE = {
    "seed", "noisy_z", "min_band_std_nats", "min_sd_uv", "max_sd_uv", "log_floor", "clip_input", "weight_decay",
    "input_noise", "speech_weight", "grad_clip", "fold",
}  # fmt: skip


def test_every_length_rate_and_count_has_a_limit() -> None:
    """Without one, a typing error makes a stage fail in its middle, or fills the memory, or never ends."""
    schema = Config.model_json_schema()
    without = {
        key
        for section in (schema, *schema["$defs"].values())
        for key, value in section.get("properties", {}).items()
        for one in value.get("anyOf", [value])
        if one.get("type") in ("integer", "number") and not {"maximum", "exclusiveMaximum"} & set(one)
    }
    assert without == OF_ANY_SIZE
