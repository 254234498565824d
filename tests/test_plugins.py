"""Plug-ins: the package of the documentation, installed by pip, and what is not one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from conftest import ROOT, jobs_run, snakemake
from pipeline import plugins
from pipeline.config.align import AlignConfig
from pipeline.config.loader import load_config
from pipeline.config.mel_grid import MelGrid
from pipeline.config.model import NetworkConfig
from pipeline.config.train import TrainConfig
from pipeline.errors import InputError
from pipeline.live.export import _features
from pipeline.live.graph import of_subject, step_graphs, window_graph
from pipeline.model.ensemble import Ensemble
from pipeline.model.inference import latency_frames, predict_continuous
from pipeline.model.model_file import load_model, save_model
from pipeline.model.network import Seq2Seq, make_network
from pipeline.model.presets import Architecture, NetworkRole
from pipeline.provenance.fingerprint import plugin_code
from pipeline.run.plan import load_plan
from pipeline.signal.blocks import array_reader
from pipeline.signal.features.stack import Features
from pipeline.training.initial import Initial, start_from

FEATURE, NETWORK = "mylab.features:LineLength", "mylab.network:Convolutions"
A = Architecture(3, 7, 24, 6, encoder_width=8, encoder_hidden=4, decoder_hidden=8, heads=2, network=NETWORK)
CONFIG = {
    "fold": 0,
    "simulate": {"minutes": 0.6, "channels": 6, "noisy_channels": 0},
    "split": {"folds": 2, "validation_fraction": 0.2},
    "align": {"features": [{"kind": "band_envelope"}, {"kind": FEATURE, "frame_length_s": 0.1}]},
    "model": {"preset": "tiny", "network": NETWORK},
    "train": {"max_steps": 2, "steps_per_epoch": 1},
    "predict": {"importance": False, "attention_windows": 1},
    "export": {"audio": "none"},
    "evaluate": {"bootstrap": 100, "stoi": False, "measures": False},
}


def documented() -> dict[str, str]:
    """The files of the package that the documentation shows."""
    text = "".join((ROOT / "docs" / page).read_text() for page in ("own_feature.md", "own_model.md"))
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', text, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source tree of the package."""
    folder = tmp_path_factory.mktemp("tree") / "mylab"
    for name, text in documented().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def site(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with this one."""
    folder = tmp_path_factory.mktemp("site") / "site"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", folder, tree], check=True)
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """This process sees the installed package; what it imports of it is forgotten again."""
    monkeypatch.syspath_prepend(str(site))
    yield site
    for name in [name for name in sys.modules if name.split(".")[0] == "mylab"]:
        del sys.modules[name]


# --- what is one ----------------------------------------------------------------------------------------------------


def test_an_installed_plugin_is_found_with_its_version_and_files_and_nothing_is_imported(installed: Path) -> None:
    found = plugins.find(FEATURE)
    assert (found.distribution, found.version, found.folder) == ("mylab", "1.0", installed)
    assert set(found.files()) == {"mylab/__init__.py", "mylab/features.py", "mylab/network.py"}
    assert not any(name.split(".")[0] == "mylab" for name in sys.modules)


def test_files_of_an_editor_and_mistakes_in_other_modules_are_no_end(installed: Path, tmp_path: Path) -> None:
    """The code of a package is that of its files, also where one of them is no Python; hidden files are none of it."""
    before = plugin_code([FEATURE])
    place, added = installed / "mylab", []
    for name in (".network.py.swp", "network.py~", ".ipynb_checkpoints/network-checkpoint.py", "__pycache__/x.pyc"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("def b(:")
        added.append(place / name)
    assert plugin_code([FEATURE]) == before
    added.append(place / "template.py")
    added[-1].write_text("def b(:")
    assert plugin_code([FEATURE]).keys() - before.keys() == {"mylab/template.py"}
    for file in added:
        file.unlink()


def test_a_package_without_init_is_named_as_such(installed: Path) -> None:
    init = installed / "mylab" / "__init__.py"
    text = init.read_text()
    init.unlink()
    with pytest.raises(InputError, match=r"no package mylab with __init__\.py"):
        plugins.find(FEATURE)
    init.write_text(text)


def test_a_missing_plugin_stands_among_the_other_problems_of_a_config(installed: Path, tmp_path: Path) -> None:
    (config := tmp_path / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "align": {"features": [{"kind": "nolab.features:A"}, {"kind": FEATURE, "frame_length_s": -1.0}]},
                "model": {"network": "nolab.network:B"},
                "train": {"lr": -1.0},
            }
        )
    )
    with pytest.raises(InputError) as error:
        load_config([config])
    found = [str(problem) for problem in error.value.problems]
    assert len(found) == 4, found
    for part in ("nolab.features:A", "nolab.network:B", "train.lr", "the documentation of the plug-in"):
        assert sum(part in text for text in found) == 1, (part, found)


def test_a_model_of_other_plugin_code_is_refused(installed: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_model(path := tmp_path / "model.ckpt", Ensemble.of([make_network(A)]), {})
    load_model(path)
    module = installed / "mylab" / "network.py"
    text = module.read_text()
    module.write_text(text + "\n# a remark\n")
    load_model(path)
    module.write_text(text + "\nMORE = 1\n")
    with pytest.raises(InputError, match=r"mylab\.network:Convolutions.*other code in mylab/network\.py"):
        load_model(path)
    module.write_text(text)


def test_the_working_directory_never_counts(
    site: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither metadata that lie there, nor a package of the same name beside an installed one."""
    for place, entries in ((site, ["", str(site)]), (tree / "src", [str(tree / "src")])):
        monkeypatch.chdir(place)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [*entries, *sys.path])
            with pytest.raises(InputError, match=r"plug-in\[mylab.*no installed distribution.*pip install"):
                plugins.find(FEATURE)
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "__init__.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), *sys.path, str(site)])
    try:
        assert sys.modules[plugins.load(FEATURE).__module__].__file__ == str(site / "mylab" / "features.py")
        assert sys.path[:2] == ["", str(tmp_path)]
    finally:
        for name in ("mylab", "mylab.features"):
            del sys.modules[name]


def test_a_package_counts_only_where_it_declares_the_class(installed: Path) -> None:
    for other in ("numpy:ndarray", "mylab.features:Steps", "os:system", "subprocess:Popen"):
        with pytest.raises(InputError, match=r"installed are mylab\.features:LineLength, mylab\.network:Conv"):
            plugins.find(other)


def editable(site: Path, tree: Path, folder: Path) -> Path:
    """Metadata as ``pip install -e`` writes them, without the modules."""
    name = "mylab-1.0.dist-info"
    (folder / name).mkdir(parents=True)
    for file in ("METADATA", "entry_points.txt", "RECORD"):
        (folder / name / file).write_text((site / name / file).read_text())
    (folder / name / "direct_url.json").write_text(json.dumps({"dir_info": {"editable": True}, "url": tree.as_uri()}))
    return folder


def test_an_editable_installation_counts_where_its_metadata_say_that_the_tree_lies(
    site: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where that is the working directory."""
    monkeypatch.syspath_prepend(str(editable(site, tree, tmp_path / "metadata")))
    monkeypatch.chdir(tree)
    assert plugins.find(NETWORK).folder == tree / "src"
    assert set(plugins.find(NETWORK).files()) == {"mylab/__init__.py", "mylab/features.py", "mylab/network.py"}


def test_metadata_that_no_installer_wrote_do_not_count(
    site: Path, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = editable(site, tree, tmp_path / "metadata")
    (folder / "mylab-1.0.dist-info" / "RECORD").unlink()
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(InputError, match="no installed distribution"):
        plugins.find(FEATURE)


def test_a_plugin_that_cannot_be_imported_is_named(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    (tree / "mylab").mkdir(parents=True)
    (tree / "mylab" / "__init__.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(str(editable(site, tree, tmp_path / "metadata")))
    with pytest.raises(InputError, match=r"plug-in\[mylab\.features:LineLength\].*No module named 'no_such_package'"):
        load_config([], [CONFIG])
    assert "mylab" not in sys.modules


# --- a feature ------------------------------------------------------------------------------------------------------


def test_keys_of_a_plugin_are_checked_as_those_of_built_in_kinds(installed: Path) -> None:
    entry = {"kind": FEATURE, "frame_length_s": -1.0, "frame_lenght_s": 0.1}
    with pytest.raises(InputError) as caught:
        load_config([], [{"align": {"features": [entry]}, "train": {"lr": -1}}])
    length, unknown, lr = caught.value.problems
    assert (length.field, length.got) == (f"align.features.0.{FEATURE}.frame_length_s", "-1.0")
    assert (unknown.got, unknown.fix) == ("an unknown key", "Did you mean frame_length_s?")
    assert lr.field == "train.lr"
    config = load_config([], [CONFIG])
    assert load_config([], [json.loads(config.model_dump_json())]) == config
    assert config.align.features[1].model_dump() == {"kind": FEATURE, "frame_length_s": 0.1}
    with pytest.raises(InputError, match="a class without a section of keys"):
        load_config([], [{"align": {"features": [{"kind": NETWORK}]}}])


def features(causal: bool) -> tuple[Features, np.ndarray, np.ndarray]:
    """Made of noise of three channels, with the times of frames."""
    config = AlignConfig.model_validate({"features": [{"kind": FEATURE, "frame_length_s": 0.1}]})
    return (
        Features(config, MelGrid(), 1000.0),
        np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32),
        np.arange(20, 380) / 100,
    )


@pytest.mark.parametrize("causal", [False, True])
def test_a_feature_depends_on_its_support_alone(installed: Path, causal: bool) -> None:
    made, samples, times_s = features(causal)
    ((_, before),) = made.blocks(array_reader(samples), len(samples), times_s, causal)
    samples[2000] += 100
    ((_, after),) = made.blocks(array_reader(samples), len(samples), times_s, causal)
    changed = times_s[(before != after).any(axis=1)]
    past_s, future_s = made.support_s(causal)
    assert 2.0 - future_s <= changed[0] + 1e-9
    assert changed[-1] <= 2.0 + past_s + 1e-9
    assert len(changed) >= 9


def test_a_feature_streams_and_is_not_exported(installed: Path) -> None:
    made, samples, times_s = features(True)
    ((_, whole),) = made.blocks(array_reader(samples), len(samples), times_s, causal=True)
    stream = made.stream(lambda start, stop: times_s[start:stop])
    parts = [stream.push(part) for part in np.array_split(samples, 37)]
    np.testing.assert_allclose(np.concatenate(parts), whole[: sum(map(len, parts))], rtol=1e-5)
    assert sum(map(len, parts)) >= 359
    with pytest.raises(InputError, match=rf"{FEATURE}, expected a feature that can be exported"):
        _features(made.kinds)


def test_a_filter_with_frames_of_its_own_has_no_stream_that_differs() -> None:
    from pipeline.config.features import LowPassConfig
    from pipeline.signal.features.base import FeatureKind, Sampling
    from pipeline.signal.features.low_pass import LowPass

    class Squared(LowPass):
        def blocks(self, *arguments, **named):
            return ((start, block**2) for start, block in super().blocks(*arguments, **named))

    assert Squared.stream is FeatureKind.stream
    with pytest.raises(InputError, match="a feature that can be streamed"):
        Squared(LowPassConfig(), Sampling(1000.0, 100.0, 86.0, 0.0, 4.0)).stream(lambda a, b: np.zeros(0))


# --- a network ------------------------------------------------------------------------------------------------------


def model(causal: bool = False, **changes: object) -> Ensemble:
    torch.manual_seed(0)
    return Ensemble.of([make_network(Architecture(**{**A.as_dict(), "causal": causal, **changes})).eval()])


@pytest.mark.parametrize("key", [k for k in NetworkConfig.model_fields if k not in ("preset", "network")])
def test_every_key_of_model_reaches_the_network(installed: Path, key: str) -> None:
    from pipeline.training.network import build_network
    from test_training import make_data

    default = getattr(NetworkConfig(), key)
    other = not default if isinstance(default, bool) else 0.4 if isinstance(default, float) else 7
    built = [
        build_network(make_data(), NetworkRole(0, True), config, TrainConfig(), causal=False)
        for config in (NetworkConfig(network=NETWORK), NetworkConfig(network=NETWORK, **{key: other}))
    ]
    assert {type(network).__name__ for network in built} == {"Convolutions"}
    differing = [name for name, value in built[1].a.as_dict().items() if value != built[0].a.as_dict()[name]]
    assert differing == [key.replace("_s", "_frames") if key.endswith("_s") else key]


def test_a_model_file_names_its_plugin_and_holds_no_code(installed: Path, tmp_path: Path) -> None:
    whole = model()
    save_model(tmp_path / "m.ckpt", whole, {})
    loaded, _ = load_model(tmp_path / "m.ckpt")
    assert type(loaded.networks[0]).__name__ == "Convolutions"
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    np.testing.assert_array_equal(*(predict_continuous(m, x, 0, 90, hop=6).mel for m in (whole, loaded)))
    sys.path.remove(str(installed))
    with pytest.raises(InputError, match=rf"^error: plug-in\[{NETWORK}\]: got no installed distribution"):
        load_model(tmp_path / "m.ckpt")


def test_a_class_that_is_no_network_is_refused(installed: Path) -> None:
    with pytest.raises(InputError, match="a class LineLength, expected a Seq2Seq"):
        make_network(Architecture(**{**A.as_dict(), "network": FEATURE}))


def test_a_causal_plugin_is_predicted_in_windows_and_not_run_step_by_step(installed: Path) -> None:
    whole = model(causal=True)
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    before = predict_continuous(whole, x, 0, 90, hop=6).mel
    x[60:] += 1
    after = predict_continuous(whole, x, 0, 90, hop=6).mel
    np.testing.assert_array_equal(before[:60], after[:60])
    assert (before[60:] != after[60:]).any()
    assert latency_frames(whole) is None
    with pytest.raises(InputError, match=rf"plug-in\[{NETWORK}\].*step by step"):
        step_graphs(whole, 3)


def test_a_plugin_that_looks_ahead_is_exported(installed: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert window_graph(of_subject(model(), 0), 3).difference < 1e-4


def test_training_starts_from_no_other_network(installed: Path) -> None:
    built_in = Ensemble.of([Seq2Seq(Architecture(**{**A.as_dict(), "network": ""})).eval()])
    with pytest.raises(InputError) as caught:
        start_from(model().networks[0], Initial(Path("m"), built_in, {}), NetworkRole(0, True), [])
    texts = str(caught.value)
    assert "m[model.network]: got null, expected mylab.network:Convolutions" in texts
    assert f"plug-in[{NETWORK}]: got another encoder" in texts


# --- a run ----------------------------------------------------------------------------------------------------------


def changed(site: Path, config: dict, file: str) -> set[str]:
    """The stages whose code is another once a line is added to a file of the package."""
    path, text = site / "mylab" / file, (site / "mylab" / file).read_text()
    codes = []
    try:
        for content in (text, f"{text}\nOTHER = 1\n", f"{text}\n# A comment.\n"):
            path.write_text(content)
            codes.append(load_plan(ROOT, [], [config], is_job=False).present_code)
    finally:
        path.write_text(text)
    before, edited, commented = codes
    assert before == commented
    return {stage for stage in before if before[stage] != edited[stage]}


def test_an_edit_changes_the_code_of_the_stages_that_use_the_plugin(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with_feature = {name: values for name, values in CONFIG.items() if name != "model"}
    with_network = {name: values for name, values in CONFIG.items() if name != "align"}
    for file in ("features.py", "network.py", "__init__.py"):
        assert changed(installed, with_feature, file) == {"align"}
        assert changed(installed, with_network, file) == {"train", "ensemble", "predict"}
        assert changed(installed, {}, file) == set()


def test_a_run_with_plugins_and_after_an_edit(site: Path, tree: Path, tmp_path: Path) -> None:
    (work := tmp_path / "work").mkdir()
    (work / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (work / "mylab").mkdir()
    (work / "mylab" / "__init__.py").write_text("raise SystemExit('hijacked')")
    environment = {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT / "src")])}

    missing = snakemake(work, "results/eval.json", environment={"PYTHONPATH": str(ROOT / "src")})
    assert missing.returncode
    assert f"plug-in[{FEATURE}]: got no installed distribution" in missing.stdout
    main = [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml"]
    assert subprocess.run(main, cwd=work, capture_output=True, check=False).returncode == 2
    assert not (work / "results").exists()

    result = snakemake(work, "results/eval.json", environment=environment)
    assert result.returncode == 0, result.stdout[-3000:]
    methods = json.loads((work / "results/eval.json").read_text())["methods"]
    assert f"those of the plug-in {FEATURE} (frame_length_s 0.1)" in methods
    assert f"of the plug-in {NETWORK}" in methods
    assert "mylab 1.0" in methods.split("Software.")[1]
    report = (work / "results/report.html").read_text()
    assert re.search(r"mylab</t[hd]>\s*<td[^>]*>1\.0 \(\d+ outputs\)", report)

    def rerun() -> set[str]:
        return set(jobs_run(snakemake(work, "-n", "results/eval.json", environment=environment).stdout)) - {"all"}

    module = site / "mylab" / "network.py"
    text = module.read_text()
    module.write_text(text.replace('"""', '"""Another word. ', 1) + "\n# A comment.\n")
    assert rerun() == set()
    module.write_text(text.replace("F.gelu(self.second(x))", "F.relu(self.second(x))"))
    config = {**CONFIG, "align": {}}
    try:
        everything = {"align", "mel", "window", "repeats", "ridge", "train", "ensemble", "predict", "evaluate"}
        assert rerun() == everything
        (work / "config.yaml").write_text(yaml.safe_dump(config))
        assert snakemake(work, "results/eval.json", environment=environment).returncode == 0
        module.write_text(text)
        assert rerun() == {"train", "ensemble", "predict", "evaluate"}
    finally:
        module.write_text(text)


# --- what else a package may do -------------------------------------------------------------------------------------


def distribution(folder: Path, **files: str | bytes) -> Path:
    """A distribution ``other`` with a class other:Mine and whole metadata, but for ``files``."""
    given: dict[str, str | bytes] = {
        "METADATA": "Name: other\nVersion: 2\n",
        "RECORD": "other/__init__.py,,\n",
        "entry_points.txt": "[seeg_to_audio.plugins]\nmine = other:Mine\n",
        "__init__.py": "class Mine: pass\n",
    } | {name.replace("_json", ".json"): content for name, content in files.items()}
    for name, content in given.items():
        file = folder / ("other" if name.endswith(".py") else "other-2.dist-info") / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


@pytest.fixture
def other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield tmp_path / "site"
    sys.modules.pop("other", None)


BROKEN: dict[str, dict[str, str | bytes]] = {
    "no texts": {"RECORD": b"\xff"},
    "entries without values": {"entry_points.txt": "[seeg_to_audio.plugins]\nmine\n"},
    "entries in another encoding": {"entry_points.txt": b"\xff\xfe"},
    "no name": {"METADATA": "Version: 2\n"},
    "no version": {"METADATA": "Name: other\n"},
    "a list": {"direct_url_json": "[]"},
    "no place": {"direct_url_json": '{"dir_info": {"editable": true}}'},
    "a place that is a number": {"direct_url_json": '{"dir_info": {"editable": true}, "url": 5}'},
    "brackets without end": {"direct_url_json": "[" * 100_000},
    "no JSON": {"direct_url_json": "{"},
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_metadata_are_named_and_hide_no_other_plugin(installed: Path, other: Path, name: str) -> None:
    distribution(other, **BROKEN[name])
    assert plugins.find(FEATURE).version == "1.0"
    with pytest.raises(InputError, match=r"metadata that cannot be read in .*site: .*Error"):
        plugins.find("other:Mine")


ENDS = {
    "exit": ("import sys\nsys.exit(0)", "SystemExit: 0"),
    "an end of its own": ("class End(BaseException): pass\nraise End", "End"),
    "an error without a text": ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E", "E"),
    "an error of many words": ("raise ValueError('x' * 10_000)", f"ValueError: {'x' * 200}"),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_module_that_ends_the_process_is_an_error(other: Path, name: str) -> None:
    code, said = ENDS[name]
    distribution(other, **{"__init__.py": code})
    with pytest.raises(InputError, match=rf"^error: plug-in\[other:Mine\]: got {said}, expected a module that can be"):
        plugins.load("other:Mine")


def test_what_a_module_prints_is_no_output_of_a_command(other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distribution(other, **{"__init__.py": "print('hello')\nclass Mine: pass\n"})
    plugins.load("other:Mine")
    assert capsys.readouterr() == ("", "hello\n")


def test_linked_packages_count_and_links_in_circles_end(other: Path, tmp_path: Path) -> None:
    """Also a module whose expressions no syntax tree can hold."""
    distribution(other)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "__init__.py").write_text("A = 1\n")
    (other / "other" / "inner").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(other / "other")
    (other / "other" / "above").symlink_to("..")
    (other / "other" / "deep.py").write_text(f"x = {'+'.join('1' * 20_000)}\n")
    before = plugin_code(["other:Mine"])
    assert set(before) == {"other/__init__.py", "other/deep.py", "other/inner/__init__.py"}
    (tmp_path / "elsewhere" / "__init__.py").write_text("A = 2\n")
    assert plugin_code(["other:Mine"])["other/inner/__init__.py"] != before["other/inner/__init__.py"]


KEYS = """
from pydantic import Field, model_validator
from pipeline.config.features import FeatureSection
class Keys(FeatureSection):
    value: object = None
{body}
class Mine:
    section = Keys
"""
SECTIONS = {
    "labels that fail": ("    @property\n    def labels(self): raise RuntimeError('no labels')", "no labels"),
    "labels of numbers": ("    @property\n    def labels(self): return (1, 2)", r"labels \(1, 2\)"),
    "no labels": ("    @property\n    def labels(self): return ()", r"labels \(\)"),
    "a reason that fails": ("    def why_not(self, rate): raise RuntimeError('no reason')", "no reason"),
    "a check that fails": (
        "    @model_validator(mode='after')\n    def c(self): raise TypeError('no check')",
        "no check",
    ),
    "a check without words": (
        "    @model_validator(mode='after')\n    def c(self): raise ValueError",
        "values that do not",
    ),
    "a default that is no text": ("    mine: object = object()", "Unable to serialize"),
}


@pytest.mark.parametrize("name", SECTIONS)
def test_keys_that_cannot_be_used_are_named(other: Path, name: str) -> None:
    body, said = SECTIONS[name]
    distribution(other, **{"__init__.py": KEYS.format(body=body)})
    with pytest.raises(InputError, match=said):
        load_config([], [{"align": {"features": [{"kind": "other:Mine"}]}}])


def refused(installed: Path, change: str, instead: str, said: str) -> None:
    """The documented feature with another line is refused when it is used."""
    for name in [name for name in sys.modules if name.split(".")[0] == "mylab"]:
        del sys.modules[name]
    file = installed / "mylab" / "features.py"
    text = file.read_text()
    assert change in text
    file.write_text(text.replace(change, instead))
    try:
        made, samples, times_s = features(True)
        with pytest.raises(InputError, match=said):
            made.support_s(True)
            list(made.blocks(array_reader(samples), len(samples), times_s, True))
    finally:
        file.write_text(text)


YIELD = "yield start, framing.matrix(times_s, first, len(steps)) @ steps"
MADE = "framing.matrix(times_s, first, len(steps)) @ steps"
BLOCKS = {
    "NaN": (f"made = {MADE}; made[3] = np.nan; yield start, made", "got NaN or infinity"),
    "too large for float32": (f"yield start, 1e300 * ({MADE}).astype(float)", "got NaN or infinity"),
    "too few frames": (f"yield start, ({MADE})[:-5]", "got 355 frames, expected 360"),
    "too many frames": (f"yield start, {MADE}; yield start + 360, {MADE}", "got 720 frames, expected 360"),
    "another place": (f"yield start + 1, {MADE}", "got row 1 after 0 rows"),
    "too few columns": (f"yield start, ({MADE})[:, 1:]", r"got a block \(360, 2\) of float32, expected \(frame, 3\)"),
    "one axis": (f"yield start, ({MADE})[:, 0]", r"got a block \(360,\)"),
    "objects": (f"yield start, ({MADE}).astype(object)", "of object"),
    "no pair": (f"yield {MADE}", "got a ndarray of blocks"),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_a_plugin_are_checked(installed: Path, name: str) -> None:
    refused(installed, YIELD, *BLOCKS[name])


@pytest.mark.parametrize(
    "support", ["(float('nan'), 0.0)", "(-1.0, 0.0)", "(1.0, float('inf'))", "(1.0, 0.1)", "'long'"]
)
def test_a_support_that_is_no_time_is_refused(installed: Path, support: str) -> None:
    """The purge gap between blocks follows from it."""
    refused(installed, "return past_s + 1 / self.sampling.rate_hz, future_s", f"return {support}", "got a support of")


def test_a_plugin_changes_nothing_that_others_read(installed: Path) -> None:
    made, samples, times_s = features(True)
    stream = made.stream(lambda start, stop: times_s[start:stop])
    inner = stream._parts[0]
    given: list[np.ndarray] = []
    inner.push = lambda samples, push=inner.push: (given.append(samples), push(samples))[1]  # type: ignore[method-assign]
    stream.push(samples)
    assert not given[0].flags.writeable
    assert samples.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        refused(installed, "framing = self._framing(causal)", "frame_times_s += 1", "never")


def test_an_error_of_a_plugin_is_named_by_file_and_line(installed: Path) -> None:
    made, samples, times_s = features(True)
    made.kinds[0].sampling = None  # type: ignore[assignment]
    with pytest.raises(AttributeError) as caught:
        list(made.blocks(array_reader(samples), len(samples), times_s, True))
    assert re.fullmatch(
        r"error: plug-in\[mylab 1\.0\]: got AttributeError: .* \(mylab/features\.py, line \d+\), expected .*",
        str(plugins.raised_in(caught.value)),
    )
    assert plugins.raised_in(ValueError()) is None
    for ran_out in (MemoryError(), type("OutOfMemoryError", (RuntimeError,), {})()):
        assert plugins.raised_in(ran_out.with_traceback(caught.tb)) is None, "a code of its own"
