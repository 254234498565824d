"""An exported model decodes as it does here, in a Python that has no torch."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from conftest import ROOT
from live_lab import SCALE, SESSION, Lab, chunks
from pipeline.artifacts import paths
from pipeline.artifacts.core import Provenance
from pipeline.artifacts.sidecar import write_sidecar
from pipeline.config.features import LowPassConfig
from pipeline.config.mel import MelConfig
from pipeline.errors import InputError
from pipeline.live.card import scores_of
from pipeline.live.decoder import LiveDecoder
from pipeline.live.export import export
from pipeline.live.folder import write_folder
from pipeline.live.graph import _onnx
from pipeline.live.montage import Montage, refuse_other_mel
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import predict_continuous
from pipeline.model.model_file import model_digest
from pipeline.model.network import Seq2Seq
from pipeline.model.presets import Architecture
from pipeline.model.roll_out import EnsembleStepper
from pipeline.run.plan import load_plan
from pipeline.signal.features.base import FeatureKind

HAS_ONNX = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
needs_onnx = pytest.mark.skipif(not HAS_ONNX, reason="onnx is not installed: pip install onnx onnxruntime")
#: Runs a script where neither torch nor this package can be imported, and onnxruntime wherever it is.
ALONE = """\
import runpy, sys

class Absent:
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in ("torch", "pipeline", "h5py", "pydantic"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent)
sys.path.append(sys.argv[1])
sys.argv = sys.argv[2:]
sys.path.append(sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def exported(
    lab: Lab, model: Ensemble, out: Path, session: str | None = SESSION, *changes: dict[str, Any], **config: Any
) -> str:
    """Export a model as if the lab's session had been in its training."""
    lab.save(model, **config)
    with contextlib.chdir(lab.work):
        plan = load_plan(ROOT, [Path("config.json")], list(changes), is_job=False)
        return export(plan, Path("model.ckpt"), out, session, None)


@pytest.fixture
def folder(lab: Lab, tmp_path: Path) -> Path:
    exported(lab, lab.model, tmp_path / "out" / "exported")
    return tmp_path / "out" / "exported"


def run_alone(folder: Path, given: np.ndarray, work: Path) -> np.ndarray:
    """What the consumer makes of an array."""
    np.save(work / "in.npy", given)
    runtime = importlib.util.find_spec("onnxruntime")
    assert runtime is not None
    assert runtime.origin is not None
    names = [Path(runtime.origin).parents[1], folder / "consumer.py", "in.npy", "out.npy"]
    command = [sys.executable, "-I", "-c", ALONE, *map(str, names)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.asarray(np.load(work / "out.npy"))


@needs_onnx
def test_the_consumer_gives_the_live_mel_without_torch(lab: Lab, folder: Path, tmp_path: Path) -> None:
    samples = lab.samples(lab.trials[0])
    decoder = LiveDecoder(lab.model, lab.config, Montage.of_session(lab.aligned, lab.names))
    expected = decoder.push(samples)
    about = json.loads((folder / "settings.json").read_text())
    read = [decoder.montage.names.index(name) for name in about["channels"]]
    found = run_alone(folder, samples[:, read], tmp_path)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=SCALE * expected.std(), rtol=0)
    assert about["first_frame"] == decoder.first_frame
    assert about["unit"] == "µV"
    assert about["vocoder"]["look_ahead_frames"] == 2
    cut = runpy.run_path(str(folder / "decoder.py"))["Decoder"](folder)
    pieces = [cut.push(samples[chunk][:, read]) for chunk in chunks(len(samples), 1000, np.random.default_rng(0))]
    np.testing.assert_allclose(np.concatenate(pieces), found, atol=SCALE * expected.std(), rtol=0)


@needs_onnx
def test_the_consumer_goes_from_trial_to_trial_as_live_does(lab: Lab, folder: Path) -> None:
    """Trials that end anywhere, within a step and before the first frame too."""
    rng, samples = np.random.default_rng(1), lab.samples(lab.trials[0])
    live = LiveDecoder(lab.model, lab.config, Montage.of_session(lab.aligned, lab.names))
    alone = runpy.run_path(str(folder / "decoder.py"))["Decoder"](folder)
    read = [live.montage.names.index(name) for name in alone.about["channels"]]
    for n in (0, 1, 20, *rng.integers(200, 1500, 12)):
        for decoder in (live, alone):
            decoder.reset()
        start = int(rng.integers(0, len(samples) - 1500))
        mels = [(live.push(samples[part]), alone.push(samples[part][:, read])) for part in cut(start, start + n, rng)]
        expected, found = (np.concatenate(own) for own in zip(*mels, strict=True))
        np.testing.assert_allclose(found, expected, atol=SCALE * lab.model.networks[0].mel_scale.mean().item(), rtol=0)


def cut(start: int, stop: int, rng: np.random.Generator) -> list[slice]:
    return [slice(start + c.start, start + c.stop) for c in chunks(stop - start, 300, rng)] or [slice(0, 0)]


@needs_onnx
def test_settings_name_the_look_ahead_of_griffin_lim_alone(lab: Lab, tmp_path: Path) -> None:
    exported(lab, lab.model, tmp_path / "out", SESSION, {"vocode": {"vocoder": "pulses"}})
    assert "look_ahead_frames" not in json.loads((tmp_path / "out/settings.json").read_text())["vocoder"]


@needs_onnx
def test_the_consumer_checks_what_it_loads(folder: Path) -> None:
    decoder = runpy.run_path(str(folder / "decoder.py"))["Decoder"]
    (folder / "MODEL_CARD.md").write_text("# Our model")
    decoder(folder)
    for name in ("settings.json", "filters.npz", "step.onnx"):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content + b" ")
        with pytest.raises(ValueError, match=f"{name}: got other content"):
            decoder(folder)
        (folder / name).write_bytes(content)
    (folder / "files.json").write_text("{}")
    np.save(folder / "in.npy", np.zeros((1, 6)))
    command = [sys.executable, folder / "consumer.py", folder / "in.npy", folder / "out.npy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2


class Unstreamed(FeatureKind[LowPassConfig]):
    """A kind of one's own without a stream."""

    def support_s(self, causal: bool) -> tuple[float, float]:
        return 0.0, 0.0

    def blocks(self, *_: Any, **__: Any) -> Any:
        raise AssertionError


@needs_onnx
@pytest.mark.parametrize("expected", ["can be exported", "can be streamed"])
def test_features_of_ones_own_are_refused_by_name(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    """Export writes nothing; live refuses what has no stream before its first sample."""
    config = type(Montage.of_session(lab.aligned, lab.names).features.kinds[-1].keys)
    derived = type("Derived", (FeatureKind._of_section[config],), {})  # might compute something else
    kind = derived if expected == "can be exported" else Unstreamed
    monkeypatch.setitem(FeatureKind._of_section, config, kind)
    named = f"kind]: got {config.model_fields['kind'].default}, expected a feature that {expected}"
    with pytest.raises(InputError) as caught:
        exported(lab, lab.model, tmp_path / "out")
    assert named in str(caught.value)
    assert not (tmp_path / "out").exists()
    if kind is Unstreamed:
        with pytest.raises(InputError) as caught:
            LiveDecoder(lab.model, lab.config, Montage.of_session(lab.aligned, lab.names))
        assert named in str(caught.value)


@needs_onnx
def test_a_model_that_looks_ahead_is_exported_as_windows(lab: Lab, tmp_path: Path) -> None:
    torch.manual_seed(1)
    a = Architecture(**lab.model.a.as_dict() | {"length_frames": 16, "context_frames": 6, "causal": False})
    network = Seq2Seq(a).eval()
    rows = np.concatenate(lab.offline_rows())
    network.fit_normalisation([torch.from_numpy(rows)], [torch.randn(500, 80)])
    model, hop = Ensemble.of([network]), 8
    exported(lab, model, tmp_path / "out", causal=False)
    expected = predict_continuous(model, rows, 0, len(rows) // a.rows_per_frame, hop).mel
    found = run_alone(tmp_path / "out", rows, tmp_path)
    np.testing.assert_allclose(found, expected, atol=SCALE * expected.std(), rtol=0)


def test_a_pooled_model_is_cut_to_one_subject() -> None:
    from pipeline.live.graph import of_subject, step_graphs

    torch.manual_seed(0)
    a = Architecture(6, 80, 32, 10, rows_per_frame=3, n_subjects=3, causal=True, postnet=True)
    networks = [Seq2Seq(a).eval(), Seq2Seq(Architecture(**a.as_dict() | {"ridge_skip": False})).eval()]
    for network in networks:
        network.feature_mean.normal_()
        assert network.has_channel is not None
        assert network.input_layer is not None
        network.has_channel[1, 4:] = 0
        network.input_layer.data.normal_()
    assert networks[0].skip is not None
    networks[0].skip.weight.normal_(0, 0.1)
    pooled = Ensemble.of(networks)
    alone = of_subject(pooled, 1)
    rows, context = torch.randn(1, 12, 6), torch.randn(1, 30, 6)
    mels = []
    for model, subject in ((pooled, 1), (alone, 0)):
        stepper = EnsembleStepper(model)
        with torch.inference_mode():
            mels.append(stepper(rows, stepper.begin(context, torch.tensor([subject])))[0])
    torch.testing.assert_close(*mels)
    assert len(alone.networks[0].feature_mean) == 1
    if HAS_ONNX:
        assert step_graphs(alone, 4).difference <= SCALE


@needs_onnx
def test_an_export_names_no_folder_and_is_the_same_each_time(lab: Lab, folder: Path) -> None:
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {"step.onnx", "begin.onnx", "filters.npz", "normalisation.npz", "settings.json"} < set(files)
    for place in (lab.work, ROOT, Path.home(), Path(sys.prefix)):
        assert [name for name, content in files.items() if f"{place}/".encode() in content] == []
    exported(lab, lab.model, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert list(folder.parent.iterdir()) == [folder], "nothing else is left"


def test_an_export_replaces_nothing_but_an_earlier_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "own", {"a": b"1"})
    write_folder(tmp_path / "own", {"b": b"2"})
    assert {p.name for p in (tmp_path / "own").iterdir()} == {"b", "files.json"}
    (tmp_path / "own" / "b").write_bytes(b"changed")
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("own", "other", "link"):
        with pytest.raises(InputError, match="a new folder, or one of an earlier export"):
            write_folder(tmp_path / name, {"a": b"3"})
    assert (tmp_path / "own" / "b").read_bytes() == b"changed"
    assert not (tmp_path / "elsewhere").exists()
    assert {p.name for p in tmp_path.iterdir()} == {"own", "other", "link"}


def test_without_the_extra_the_command_says_what_to_install(lab: Lab, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"seeg-to-audio\[export\]"):
        exported(lab, lab.model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@needs_onnx
def test_a_session_that_does_not_fit_is_refused(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="an aligned session of sim01"):
        exported(lab, lab.model, tmp_path / "out", session="sim02_run01")
    with pytest.raises(InputError, match="as in training"):
        mel = lab.config.mel.model_copy(update={"hop_length": 128})
        exported(lab, lab.model, tmp_path / "out", mel=mel)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("key", ["n_mels", "fmin_hz", "hop_length"])
def test_a_config_with_another_mel_than_the_models_is_refused(key: str) -> None:
    mel = MelConfig()
    refuse_other_mel(mel, {"mel": mel.model_dump(mode="json"), "config": {}})
    other = mel.model_copy(update={key: getattr(mel, key) + 16})
    with pytest.raises(InputError, match=rf"mel\.{key}\]: got {getattr(other, key)}"):
        refuse_other_mel(other, {"mel": mel.model_dump(mode="json"), "config": {}})


def test_the_card_has_the_scores_of_the_model_and_no_others(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    model = Ensemble.of([Seq2Seq(Architecture(2, 80, 8, 4))])
    name = model_digest(model)
    scores = {"model": {"pearson_r": 0.4321, "pearson_r_speech": None, "mcd_db": 5.0}, "ridge": {"pearson_r": 0.3}}
    document = {
        "subjects": {"s1": {"models": ["0" * 64, name], "folds": [{"fold": k, "scores": scores} for k in (0, 1)]}},
        "claims": {"level": "timing", "level_reason": "because", "limits": [{"limit": "one_fold", "reason": "so"}]},
    }
    evaluation = paths.RESULTS / "eval.json"
    evaluation.parent.mkdir()
    assert scores_of(Path("model.ckpt"), name, "s1") == ["None: no `results/eval.json` scores this model."]
    evaluation.write_text(json.dumps(document))
    write_sidecar(paths.EVALUATION_SIDECAR, "evaluate", [evaluation], Provenance("{}", {}, []))
    text = "\n".join(scores_of(Path("model.ckpt"), name, "s1"))
    assert "| 1 (this model) | 0.432 | 0.300 | n/a | 5.000 |" in text
    assert "| 0 | 0.432" in text
    assert "**timing** (because)" in text
    assert "- limit: so" in text
    assert "eval.json` scores this model" in scores_of(Path("model.ckpt"), "f" * 64, "s1")[0]


def test_an_operator_that_onnx_lacks_is_named() -> None:
    class Curvature(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.diff(x, n=2)

    with pytest.raises(InputError, match=r"model\.network.*torch\.diff of higher order.*operators that ONNX has"):
        _onnx(Curvature(), (torch.zeros(1, 5),), ["x"], ["y"])
