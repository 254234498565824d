"""What names and files beside the data do to commands: no escape reaches the terminal, no module of theirs runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from conftest import ROOT
from pipeline.artifacts.core import Provenance, Schema, create
from pipeline.artifacts.memory import remembered
from pipeline.errors import EXIT_CANNOT_WRITE, CannotWriteError, InputError
from pipeline.provenance import outputs
from pipeline.provenance.freshness import described
from pipeline.raw.sheet import read_sheet

#: A command that is asked to end while it clears up, and when it has ended.
IMPATIENCE = """\
import os, signal, sys, time
from pipeline import cli
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
def main():
    try:
        os.kill(os.getpid(), {first})
        time.sleep(9)
    except KeyboardInterrupt:
        os.kill(os.getpid(), {second})
        print("cleared up")
        return 5
cli.main = main
code = cli.command()
os.kill(os.getpid(), {first})
sys.exit(code)
"""
#: Modules that Python, or this package, imports early.
SHADOWED = ["re", "enum", "pathlib", "fnmatch", "ntpath", "types", "functools", "argparse", "json", "typing", "io"]


def pipeline(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As the console command starts: the working directory is not searched."""
    command = [sys.executable, "-P", "-m", "pipeline", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def artifact(path: Path, name: str = "x") -> Path:
    with create(path, Schema("sample", 1, "align"), Provenance()) as writer:
        writer.attributes(label=name)
        writer.table("channels", {"name": [name, name]}, "channel")
    return path


def test_no_escape_reaches_the_terminal(tmp_path: Path) -> None:
    artifact(tmp_path / "a.h5", "\x1b[2J\x1b]0;title\x07\r\x9b1m")
    for arguments in (["inspect", "a.h5"], ["inspect", "a.h5", "--verify"], ["plot", "a.h5"], ["summary\x1b[2J"]):
        result = pipeline(tmp_path, *arguments)
        printed = result.stdout + result.stderr
        assert printed
        assert all(c.isprintable() or c in "\n\t" for c in printed), arguments


def test_a_terminal_of_ascii_shows_what_it_can(tmp_path: Path) -> None:
    artifact(tmp_path / "a.h5", "Schläfe µV")
    result = pipeline(tmp_path, "inspect", "a.h5", PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert r"Schl\xe4fe \xb5V" in result.stdout


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    artifact(tmp_path / "a.h5")
    command = f"{sys.executable} -P -m pipeline inspect a.h5"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    for end in ("| true", ">&-"):
        result = subprocess.run(
            f"{command} {end}", shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert result.stderr == "", end


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_the_standard_output_is_one_error_line(tmp_path: Path) -> None:
    artifact(tmp_path / "a.h5")
    command = f"{sys.executable} -P -m pipeline inspect a.h5 > /dev/full"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        command, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == EXIT_CANNOT_WRITE
    assert result.stderr.startswith("error: what is written to: got No space left on device")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("first", "second"), [(2, 2), (15, 2), (2, 15)])
def test_a_second_signal_does_not_break_off_what_clears_up(first: int, second: int) -> None:
    script = IMPATIENCE.format(first=first, second=second)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (5, "cleared up\n", "")


#: Commands in which an interrupt comes where Python loses it, or turns it into another error.
LOST = {
    "as an object is cleared away": """
    class Cleared:
        def __del__(self):
            os.kill(os.getpid(), 15)
    Cleared()
    time.sleep(9)
""",
    "in a callback of C": """
    try:
        os.kill(os.getpid(), 15)
    except KeyboardInterrupt:
        raise SystemError("returned a result with an exception set")
""",
}


@pytest.mark.parametrize("where", LOST)
def test_an_interrupt_is_heeded_wherever_it_comes(where: str) -> None:
    caught = "    except KeyboardInterrupt:\n        return 5\n"
    body = f"    try:{LOST[where].replace(chr(10), chr(10) + '    ')}\n{caught}"
    script = (
        f"import os, sys, time\nfrom pipeline import cli\ndef main():\n{body}cli.main = main\nsys.exit(cli.command())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr.replace("interrupted\n", "")) == (5, "")


#: Begins a command, in which an interrupt comes as it imports a module.
EARLY = """
import os, runpy, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), 2)
sys.meta_path.insert(0, Finder())
sys.modules.pop("{module}", None)
{begin}
"""
BEGINNINGS = {
    "main.py": f"runpy.run_path({str(ROOT / 'main.py')!r}, run_name='__main__')",
    "console": "from pipeline.__main__ import command\nsys.exit(command())",
    "-m": "runpy.run_module('pipeline', run_name='__main__', alter_sys=True)",
}


@pytest.mark.parametrize("module", ["argparse", "pipeline.errors", "pydantic", "pipeline.run.plan"])
@pytest.mark.parametrize("begin", BEGINNINGS)
def test_an_interrupt_while_a_command_loads_is_no_traceback(tmp_path: Path, begin: str, module: str) -> None:
    script = EARLY.format(module=module, begin=BEGINNINGS[begin])
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", script, *(["--config", "x.yaml"] if begin == "main.py" else ["verify", "."])]
    (tmp_path / "results").mkdir()
    result = subprocess.run(
        command, cwd=tmp_path / "results", env=environment, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr.replace("interrupted\n", "")) == (5, "")


def test_modules_beside_the_data_do_not_run(tmp_path: Path) -> None:
    for name in SHADOWED:
        (tmp_path / f"{name}.py").write_text(f"import sys; sys.stderr.write('ran {name}')")
    artifact(tmp_path / "a.h5")
    result = pipeline(tmp_path, "inspect", "a.h5")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


@pytest.mark.parametrize("text", ["{", "[]", '{"align": 1}', '{"align": {"x": ["y"]}}', "\xff", ""])
def test_a_damaged_list_of_accepted_code_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    outputs.ACCEPTED.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"results/.accepted.json: got damaged JSON"):
        outputs.accepted()


@pytest.mark.parametrize("name", ["inputs", "code_fingerprint", "content_digest"])
@pytest.mark.parametrize("value", [None, "[1]", "{", '[["a"]]', 3])
def test_an_artifact_without_provenance_is_named(tmp_path: Path, name: str, value: object) -> None:
    path = artifact(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value
    with pytest.raises(InputError, match=r"a\.h5"):
        described(str(path))


@pytest.mark.parametrize("store", ["[" * 100_000, "{", "[1]", '{"a": 5}', '{"a": [1]}', "null"])
def test_a_damaged_cache_is_made_again(tmp_path: Path, store: str) -> None:
    (tmp_path / "a").write_text("content")
    (tmp_path / "store.json").write_text(store)
    found = remembered({"a": tmp_path / "a"}, tmp_path / "store.json", lambda _, file: file.read_text())
    assert found == {"a": "content"}
    assert json.loads((tmp_path / "store.json").read_text())["a"][1] == "content"


def test_a_tree_that_cannot_be_written_to_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise CannotWriteError(tmp_path, "read-only file system", "a place to write", "Make the folder writable")

    monkeypatch.setattr("pipeline.artifacts.memory.write_text", refuse)
    (tmp_path / "a").write_text("content")
    assert remembered({"a": tmp_path / "a"}, tmp_path / "store.json", lambda _, file: file.read_text()) == {
        "a": "content"
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [("HOME", "/proc/1/none"), ("HOME", "config.yaml"), ("HOME", "home"), ("XDG_CACHE_HOME", "config.yaml")],
)
def test_without_a_writable_home_a_run_starts(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "config.yaml").write_text("simulate: {minutes: 1.0}\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.cache").touch()
    environment = {key: text for key, text in os.environ.items() if key != "XDG_CACHE_HOME"}
    environment[name] = str(tmp_path / value)
    command = [sys.executable, str(ROOT / "main.py"), "--config", "config.yaml", "--cores", "1", "--dry-run"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr


def test_a_cell_of_any_length_is_read_or_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "eeg.npy", np.zeros((10, 2), np.float32))
    header = "subject\trecording\teeg\teeg_rate_hz\taudio\taudio_rate_hz\ttext\n"
    row = f"s1\tr1\teeg.npy\t1000\tn/a\tn/a\t{'a' * 200_000}\n"
    (tmp_path / "recordings.tsv").write_text(header + row)
    assert len(read_sheet(tmp_path / "recordings.tsv")[0].text or "") == 200_000
    (tmp_path / "recordings.tsv").write_text(header + row.replace("1000", "9" * 5000))
    with pytest.raises(InputError, match="eeg_rate_hz"):
        read_sheet(tmp_path / "recordings.tsv")
