"""Hostile files and arguments: no code runs, and nothing outside of the work directory is read or written.

Each attack would leave a marker beside the work directory, or bring out the text of a secret that lies there.
The readers' own attacks are in test_arrays.py, test_model.py, test_training.py and test_artifacts.py.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
import torch

from conftest import ROOT
from entry import AUDIO_RATE_HZ, PATIENCE_S, Lab, Outcome, brain, stage_config, voice
from pipeline.artifacts import contamination
from pipeline.artifacts.core import LIBVER, Provenance, opened, opened_any
from pipeline.artifacts.paths import EVALUATION_SIDECAR
from pipeline.artifacts.predictions import PREDICTIONS, PredictedBlock, PredictedFold, read_predicted, write_predicted
from pipeline.artifacts.sidecar import damaged_files, write_sidecar
from pipeline.artifacts.windows import Windows, read_windows, write_windows
from pipeline.config.canonical import digest
from pipeline.config.root import Config
from pipeline.errors import InputError
from pipeline.model.model_file import load_model
from pipeline.provenance.freshness import content_of
from pipeline.report.page import TEMPLATES
from pipeline.run.archive import keep_results, kept
from pipeline.run.run_list import list_runs
from pipeline.vocoder.hifigan import load_generator

SECRET = "the-secret-beside-the-work-directory"
#: What the words of an attack may say besides an error: nothing at all.
MARKER = "marker"


class Payload:
    """Unpickled, it would leave the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret.txt").write_text(SECRET)
    return Lab(folder, monkeypatch, capsys)


def outside(lab: Lab) -> dict[str, int]:
    """Everything beside the work directory but the log of a stage, and its size."""
    beside = lab.folder.parent
    return {
        str(p.relative_to(beside)): p.lstat().st_size
        for p in beside.rglob("*")
        if lab.folder not in (p, *p.parents) and p.name != "stage.log"
    }


def harmless(lab: Lab, attack: Callable[[], object]) -> str:
    """Run ``attack``; it may fail, and leaves nothing outside.  Returns what it said."""
    before = outside(lab)
    outcome = attack()
    assert outside(lab) == before
    printed = outcome.errors if isinstance(outcome, Outcome) else str(outcome)
    assert SECRET not in printed
    assert "Traceback" not in printed
    return printed


# --- arrays: nothing is unpickled, no header is evaluated --------------------------------------------------------


def _objects(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([[Payload(marker)], [None]], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _header(marker: Path) -> bytes:
    text = f"{{'descr': __import__('os').mkdir({str(marker)!r}), 'fortran_order': False, 'shape': (5, 4), }}"
    line = text.encode().ljust(1000) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


def _npz(marker: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, eeg=np.array([Payload(marker)], dtype=object))
    return buffer.getvalue()


ARRAYS: dict[str, Callable[[Path], bytes]] = {
    "array of objects": _objects,
    "pickle by the name of an array": lambda marker: pickle.dumps(Payload(marker)),
    "header that calls a function": _header,
    "npz of objects by the name of an array": _npz,
}


@pytest.mark.parametrize("file", ["eeg1.npy", "voice1.npy"])
@pytest.mark.parametrize("name", ARRAYS)
def test_array(lab: Lab, name: str, file: str) -> None:
    (lab.folder / file).write_bytes(ARRAYS[name](lab.folder.parent / MARKER))
    assert "error: " in harmless(lab, lab.main)
    assert "error: " in harmless(lab, lab.ingest)


def test_speech_clips(lab: Lab) -> None:
    (lab.folder / "speech").mkdir()
    (lab.folder / "speech/word.npy").write_bytes(_objects(lab.folder.parent / MARKER))
    (lab.folder / "speech/meta.json").write_text(json.dumps({"clips": [{"name": "../../secret", "rate": 16000}]}))
    printed = harmless(lab, lambda: lab.pipeline("simulate", "--out", "sim", "--speech", "speech"))
    assert "Python objects" in printed
    assert not (lab.folder / "sim").exists()


# --- configs -------------------------------------------------------------------------------------------------------

CONFIGS = {
    "yte": "__use_yte__: true\n__definitions__:\n- import os\n- os.mkdir('{marker}')\n",
    "yte expression": "__use_yte__: true\n? __import__('os').mkdir('{marker}')\n: 1\n",
    "python object": "train: !!python/object/apply:os.mkdir ['{marker}']\n",
    "python name": "train: !!python/name:os.system ''\n",
    "python module": "train: !!python/module:antigravity ''\n",
    "local tag": "train: !include ../secret.txt\n",
    "merge key": "train: {{<<: {{lr: 1}}}}\n",
    "environment": "data: {{sheet: '$(mkdir {marker})'}}\n",
}


@pytest.mark.parametrize("name", CONFIGS)
def test_config(lab: Lab, name: str) -> None:
    lab.config(CONFIGS[name].format(marker=lab.folder.parent / MARKER))
    assert "error: " in harmless(lab, lab.main)
    harmless(lab, lambda: lab.pipeline("config", "my.yaml"))
    harmless(lab, lambda: lab.pipeline("verify", ".", "--config", "my.yaml"))


def test_a_config_reaches_snakemake_only_as_it_was_checked(lab: Lab) -> None:
    """main.py passes its own JSON to Snakemake, without what Snakemake itself would evaluate."""
    lab.settings("fold: 1")
    lab.monkeypatch.setattr(pytest, "fail", lambda _: 0)
    assert lab.main("--config", "my.yaml", "--dry-run").code == 0
    assert json.loads((lab.folder / "results/.dry_run.json").read_text()) == json.loads(
        Config.model_validate({"data": {"sheet": "recordings.tsv"}, "fold": 1}).model_dump_json()
    )


# --- models and checkpoints ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("forced", ["0", "1"])
@pytest.mark.parametrize("name", ["pickle", "header", "tensors", "generator"])
def test_model_file(lab: Lab, name: str, forced: str) -> None:
    payload, model = Payload(lab.folder.parent / MARKER), lab.folder / "model.ckpt"
    if name == "pickle":
        model.write_bytes(pickle.dumps(payload))
    else:
        torch.save({"header": "{}", "tensors": {}, name: payload}, model)
    lab.monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)

    def attack() -> list[str]:
        printed = []
        for load in (lambda: load_model(model), lambda: load_generator(model, None)):  # type: ignore[arg-type]
            with pytest.raises(InputError) as caught:
                load()
            printed.append(str(caught.value))
        return printed

    harmless(lab, attack)


@pytest.mark.parametrize("forced", ["0", "1"])
def test_a_run_with_a_hostile_model_cannot_be_used(lab: Lab, forced: str) -> None:
    """As ``python -m pipeline predict`` in a process of its own would, with the sidecar that vouches for it."""
    run = lab.folder / "results/train/s1/fold0/runs/abcdef0123456789"
    run.mkdir(parents=True)
    torch.save({"header": Payload(lab.folder.parent / MARKER), "tensors": {}}, run / "model.ckpt")
    write_sidecar(run / "model.json", "train", [run / "model.ckpt"], Provenance(), "0")
    lab.monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", forced)
    printed = harmless(lab, lambda: lab.process("-m", "pipeline", "predict", "--run", "abc", "--recording", "run1"))
    assert "model.ckpt: got" in printed


# --- HDF5 ------------------------------------------------------------------------------------------------------------

PLUGIN = """
#include <sys/stat.h>
static void __attribute__((constructor)) loaded(void) { mkdir(MARKER, 0700); }
"""


def _artifact(lab: Lab) -> Path:
    path = lab.folder / "artifact.h5"
    values = {
        "result": "none",
        "channels": {},
        "matrix": np.zeros((4, 4)),
        "frequencies_hz": np.arange(4.0),
        "lags_s": np.arange(4.0),
    }
    contamination.write_contamination(path, values, Provenance())
    return path


def _external_link(file: h5py.File) -> None:
    file["link"] = h5py.ExternalLink("../secret.h5", "/text")


def _external_storage(file: h5py.File) -> None:
    del file["matrix"]
    file.create_dataset("matrix", (len(SECRET),), "S1", external=[("../secret.txt", 0, len(SECRET))])


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((1,), f"S{len(SECRET)}")
    layout[:] = h5py.VirtualSource("../secret.h5", "text", (1,))
    file.create_virtual_dataset("virtual", layout)


def _soft_link(file: h5py.File) -> None:
    file["link"] = h5py.SoftLink("/nowhere")


def _filter(file: h5py.File) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_filter(32004, h5py.h5z.FLAG_OPTIONAL, ())
    dataset = h5py.h5d.create(file.id, b"f", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((4,)), plist)
    dataset.write_direct_chunk((0,), b"abcd")


def _loop(file: h5py.File) -> None:
    file.create_group("a")["b"] = file["/"]


HDF5: dict[str, Callable[[h5py.File], None]] = {
    "external link": _external_link,
    "external storage": _external_storage,
    "virtual source": _virtual,
    "soft link": _soft_link,
    "unknown filter": _filter,
    "group that holds itself": _loop,
}


@pytest.mark.parametrize("name", HDF5)
def test_hdf5(lab: Lab, name: str) -> None:
    """By every way that reads an artifact: a command, a stage, the workflow's comparison of headers."""
    path = _artifact(lab)
    with h5py.File(lab.folder.parent / "secret.h5", "w") as secret:
        secret["text"] = np.array([SECRET.encode()])
    with h5py.File(path, "r+", libver=LIBVER) as file:
        HDF5[name](file)
    for command in (["inspect", "artifact.h5"], ["inspect", "artifact.h5", "--verify", "--plot", "x.png"]):
        assert "error: artifact.h5" in harmless(lab, lambda command=command: lab.pipeline(*command))  # type: ignore[misc]
    arguments = [
        "--windows",
        path.name,
        "--mel",
        path.name,
        "--aligned",
        path.name,
        "--fold",
        "0",
        "--folds",
        "--output",
        "o",
    ]
    assert "error: artifact.h5" in harmless(lab, lambda: lab.script("ridge", stage_config("ridge"), *arguments))
    with pytest.raises(InputError), opened(path, contamination.SCHEMA):
        pass
    lab.monkeypatch.chdir(lab.folder)
    (lab.folder / "results").mkdir()
    path.rename(lab.folder / "results/artifact.h5")
    assert content_of("results/artifact.h5") is None


def test_an_hdf5_filter_loads_no_plugin(lab: Lab, tmp_path: Path) -> None:
    """The library of the filter lies where HDF5 looks for it, and would leave the marker when it is loaded."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the plugin with")
    plugins = lab.folder / "plugins"
    plugins.mkdir()
    (plugins / "p.c").write_text(PLUGIN)
    define = f'-DMARKER="{tmp_path / MARKER}"'
    built = ["-shared", "-fPIC", define, "-o", str(plugins / "libp.so"), str(plugins / "p.c")]
    subprocess.run([compiler, *built], check=True, timeout=PATIENCE_S)
    with h5py.File(_artifact(lab), "r+", libver=LIBVER) as file:
        _filter(file)
    lab.monkeypatch.setenv("HDF5_PLUGIN_PATH", str(plugins))
    lab.monkeypatch.delenv("HDF5_PLUGIN_PRELOAD")  # which the tests' own import of the package has set
    code = "import h5py; f = h5py.File('artifact.h5'); f['f'][:]"
    lab.process("-c", code)
    assert (tmp_path / MARKER).is_dir(), "the plugin must work, or the test shows nothing"
    (tmp_path / MARKER).rmdir()
    printed = harmless(lab, lambda: lab.process("-m", "pipeline", "inspect", "artifact.h5", "--verify"))
    assert "HDF5 filter [32004]" in printed


# --- names: shells, wildcards, paths --------------------------------------------------------------------------------

NAMES = [
    "$(mkdir ..%smarker)",
    "`mkdir ..%smarker`",
    "; mkdir ..%smarker;",
    "'; mkdir ..%smarker; '",
    '"; mkdir ..%smarker; "',
    "| mkdir ..%smarker",
    "--output",
    "-rf *",
    "a\\'b $HOME ~ * ?",
]


@pytest.mark.parametrize("name", ["{recording}", "{PYTHON}", "{{x}}", "a}"])
def test_names_that_are_patterns_of_snakemake(lab: Lab, name: str) -> None:
    (lab.folder / "eeg1.npy").rename(lab.folder / f"{name}.npy")
    lab.cell(eeg=f"{name}.npy")
    assert "Fix: Rename it" in harmless(lab, lab.main)


def _as_file_name(name: str) -> str:
    return name % "\\x2f" if "%s" in name else name


def test_names_of_files_reach_no_shell(lab: Lab) -> None:
    """The real workflow, with raw files of every such name in a folder of such a name, as far as ingest."""
    folder = lab.folder / "raw; mkdir marker; $(mkdir marker) '"
    folder.mkdir()
    lab.rows = []
    for i, name in enumerate(map(_as_file_name, NAMES)):
        np.save(folder / f"{name}.npy", brain(i))
        soundfile.write(folder / f"{name}.wav", voice(i), AUDIO_RATE_HZ)
        files = {"eeg": f"{folder.name}/{name}.npy", "audio": f"{folder.name}/{name}.wav"}
        lab.rows.append({**lab._row(i), **files, "recording": f"r{i}"})
    lab.write_sheet()
    targets = [f"results/recordings/r{i}.h5" for i in range(len(NAMES))]
    before = {p.name for p in lab.folder.iterdir()}
    main = [str(ROOT / "main.py"), "--config", "my.yaml", "--cores", "2"]
    harmless(lab, lambda: lab.process(*main, *targets))
    for target in targets:
        with opened_any(lab.folder / target) as recording:
            assert recording.table("trial_table")["has_audio"] == [True]
    assert {p.name for p in lab.folder.iterdir()} - before == {"results", "logs", ".snakemake"}


IDS = ["../x", "/etc/x", "a/b", "..", "$(mkdir marker)", ";mkdir marker", "-rf", "a\nb", "a\0b", "{subject}", "~", "*"]


@pytest.mark.parametrize("name", IDS)
@pytest.mark.parametrize("column", ["subject", "recording", "session", "task"])
def test_ids_are_no_paths(lab: Lab, column: str, name: str) -> None:
    lab.rows[0][column] = name
    lab.write_sheet()
    assert "error: recordings.tsv" in harmless(lab, lab.main)
    assert not (lab.folder / MARKER).exists()


CONFIG_VALUES = [
    "data.sheet=$(mkdir marker)",
    "data.sheet=../secret.txt",
    "data.sheet=/etc/passwd",
    "simulate.speech=;mkdir marker",
    "train.precision=32; mkdir marker",
    "runtime.log_level=$(mkdir marker)",
    "mel.flavor=`mkdir marker`",
]


@pytest.mark.parametrize("value", CONFIG_VALUES)
def test_config_values_reach_no_shell(lab: Lab, value: str) -> None:
    config = "none.yaml" if value.startswith("simulate") else "my.yaml"
    (lab.folder / "none.yaml").write_text("")
    printed = harmless(
        lab, lambda: lab.process(str(ROOT / "main.py"), "--config", config, "--cores", "1", "--set", value)
    )
    assert "error: " in printed
    assert "root:" not in printed
    assert not (lab.folder / MARKER).exists()


ARGUMENTS = {
    "run that climbs": ["predict", "--run", "../../../..", "--recording", "run1"],
    "run with a pattern": ["predict", "--run", "*/../../*", "--recording", "run1"],
    "recording that climbs": ["predict", "--run", "abc", "--recording", "../../secret"],
    "recording with a root": ["predict", "--run", "abc", "--recording", "/etc/passwd"],
    "stage that climbs": ["accept", "../../x"],
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_are_no_paths(lab: Lab, name: str) -> None:
    assert "error: " in harmless(lab, lambda: lab.pipeline(*ARGUMENTS[name]))


@pytest.mark.parametrize("column", ["channels", "electrodes", "events", "annotations"])
def test_tables_name_no_files(lab: Lab, column: str) -> None:
    """What a table says is text, and what it holds besides is not repeated in an error."""
    header, row = "name\tx\ty\tz\tonset\tduration\tdescription\n", "../../x\t1\t1\t1\tsoon\t1\t$(mkdir ../marker)\n"
    (lab.folder / "t.tsv").write_text(header + row * 4)
    lab.cell(**{column: "t.tsv"})
    harmless(lab, lab.main)
    lab.cell(**{column: "../secret.txt"})
    assert "error: " in harmless(lab, lab.main)


# --- artifacts that lie about themselves ---------------------------------------------------------------------------


def _windows(path: Path, recording: str) -> None:
    empty = np.zeros((1, 2), np.int64)
    write_windows(
        path,
        Windows("s1", (recording,), (recording,), empty, ("",), ("",), (0,), empty, empty[:, :1], (), (), (), (), {}),
        Provenance(),
    )


def _predicted(path: Path, recording: str) -> None:
    block = PredictedBlock(recording, 0, np.zeros(3), {"model": np.zeros((3, 4), np.float32)})
    write_predicted(path, PREDICTIONS, PredictedFold([block], {}), Provenance())


@pytest.mark.parametrize("recording", ["../../x", "/x", "a/b", "..", ""])
def test_artifacts_name_no_paths(tmp_path: Path, recording: str) -> None:
    """Recordings of an artifact become names of the files that a stage writes."""
    _windows(tmp_path / "w.h5", recording)
    _predicted(tmp_path / "p.h5", recording)
    for read in (lambda: read_windows(tmp_path / "w.h5"), lambda: read_predicted(tmp_path / "p.h5", PREDICTIONS)):
        with pytest.raises(InputError, match="no path"):
            read()


@pytest.mark.parametrize("name", ["../secret.txt", "/etc/hostname", "a/../../secret.txt"])
def test_sidecars_describe_only_their_own_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    sidecar_file = folder / "model.json"
    write_sidecar(sidecar_file, "train", [], Provenance())
    values = json.loads(sidecar_file.read_text()) | {"files": {name: "0" * 64}}
    del values["digest"]
    sidecar_file.write_text(json.dumps(values | {"digest": digest(values)}))
    with pytest.raises(InputError, match="files elsewhere"):
        damaged_files(sidecar_file)


@pytest.mark.parametrize("path", ["/etc/x.json", "../x.h5", "results/../../x.h5", "~/x.json"])
def test_what_an_artifact_says_of_files_elsewhere_is_not_followed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.provenance.freshness.described", lambda _: pytest.fail("it was read"))
    assert content_of(path) is None


def test_pruning_follows_no_link(tmp_path: Path) -> None:
    runs = tmp_path / "results/train/s1/fold0/runs"
    runs.mkdir(parents=True)
    (tmp_path / "precious").mkdir()
    (runs / "abc").symlink_to(tmp_path / "precious")
    assert list_runs(results=tmp_path / "results") == []


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", '"><script>'])
def test_texts_in_the_report_are_no_html(text: str) -> None:
    html = TEMPLATES.from_string('<p title="{{ text }}">{{ text }}</p>').render(text=text)
    assert html.count("<") == html.count(">") == 2
    assert html.count('"') == 2


# --- modules in the work directory ------------------------------------------------------------------------------------


def test_modules_in_the_work_directory_are_not_imported(lab: Lab) -> None:
    """Somebody's data folder may hold a numpy.py."""
    code = f"import os; os.makedirs({str(lab.folder.parent / MARKER)!r}, exist_ok=True)"
    for name in ("numpy", "yaml", "torch", "snakemake", "h5py", "argparse", "json", "sitecustomize"):
        (lab.folder / f"{name}.py").write_text(code)
    main = [str(ROOT / "main.py"), "--config", "my.yaml", "--cores", "1", "results/recordings/run1.h5"]
    harmless(lab, lambda: lab.process(*main))
    assert (lab.folder / "results/recordings/run1.h5").is_file()
    harmless(lab, lambda: lab.process("-m", "pipeline", "inspect", "results/recordings/run1.h5"))


# --- links and names in the results folder --------------------------------------------------------------------------


@pytest.fixture
def precious(lab: Lab) -> Path:
    """A folder beside the work directory, which links name."""
    folder = lab.folder.parent / "precious"
    folder.mkdir()
    for name in ("0.input.lock", "letter.txt"):
        (folder / name).write_text(SECRET)
    return folder


LINKS = [".snakemake", ".snakemake/locks", "results/mel", "results/archive", "results/train/s1", "logs/ingest"]


@pytest.mark.parametrize("link", LINKS)
def test_nothing_is_removed_or_written_through_a_link(lab: Lab, precious: Path, link: str) -> None:
    path = lab.folder / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(precious)
    for attack in (lab.main, lambda: lab.main("--config", "my.yaml", "-n"), lambda: lab.pipeline("recover")):
        assert f"error: {link}: got a link to elsewhere" in harmless(lab, attack)


def test_a_log_is_not_written_through_a_link(lab: Lab, precious: Path) -> None:
    (lab.folder / "logs").mkdir()
    (lab.folder / "logs/evaluate.log").symlink_to(precious / "letter.txt")
    assert "error: logs/evaluate.log: got a link" in harmless(lab, lab.main)


def test_a_dry_run_deletes_nothing_and_recovery_only_locks(lab: Lab) -> None:
    locks = lab.folder / ".snakemake/locks"
    locks.mkdir(parents=True)
    for name in ("0.input.lock", "0.output.lock", "notes.txt"):
        (locks / name).write_text("")
    main = [str(ROOT / "main.py"), "--config", "my.yaml", "--cores", "1", "-n"]
    harmless(lab, lambda: lab.process(*main))
    assert {p.name for p in locks.iterdir()} == {"0.input.lock", "0.output.lock", "notes.txt"}
    written = {p.relative_to(lab.folder).parts[1] for p in (lab.folder / "results").rglob("*")}
    assert all(name.startswith(".") for name in written), "no artifact, only what start next remembers"
    assert lab.pipeline("recover").code == 0
    assert {p.name for p in locks.iterdir()} == {"notes.txt"}


@pytest.mark.parametrize("name", ["../../../.ssh", "/tmp/x", "..", "", "ABC", None, 5])
def test_a_digest_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: object) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/eval.json").write_text("{}")
    write_sidecar(EVALUATION_SIDECAR, "evaluate", [Path("results/eval.json")], Provenance())
    values = {k: v for k, v in json.loads(EVALUATION_SIDECAR.read_text()).items() if k != "digest"}
    for change in ({"content_digest": name}, {"inputs": [["results/predictions/a/fold0.h5", name]]}):
        changed = values | change
        EVALUATION_SIDECAR.write_text(json.dumps(changed | {"digest": digest(changed)}))
        with pytest.raises(InputError, match="digests that are none"):
            damaged_files(EVALUATION_SIDECAR)
        assert keep_results() is None
    assert {p.name for p in tmp_path.rglob("*")} == {"results", "eval.json", "eval.provenance.json"}


def test_a_temporary_of_the_archive_that_is_a_link_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results/archive").mkdir(parents=True)
    Path("elsewhere").mkdir()
    Path("results/eval.json").write_text("{}")
    write_sidecar(EVALUATION_SIDECAR, "evaluate", [Path("results/eval.json")], Provenance(), "0123456789abcdef")
    for name in (".0123456789abcdef.tmp", "fedcba9876543210"):
        Path("results/archive", name).symlink_to(tmp_path / "elsewhere")
    assert keep_results() == Path("results/archive/0123456789abcdef")
    assert list(Path("elsewhere").iterdir()) == []
    assert kept() == [Path("results/archive/0123456789abcdef")]
