"""From artifacts to scores and page: what is read, what is refused, and what a change of the config reruns."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import ROOT, SMALL, jobs_run, snakemake
from pipeline.artifacts.aligned import aligned_trials
from pipeline.artifacts.contamination import read_contamination, write_contamination
from pipeline.artifacts.core import Provenance, header
from pipeline.artifacts.windows import ROLE_CODES, BlockRow, SpanRow, Windows, read_windows, write_windows
from pipeline.config.canonical import digest
from pipeline.config.loader import load_config
from pipeline.config.stages import stage_json
from pipeline.data.spans import ReceptiveField, raw_spans
from pipeline.evaluation.levels import CONTENT, LEVELS, MEANINGS, NO_LINK, TIMING
from pipeline.evaluation.scores import WORD_SWAP_NOTE
from pipeline.run.summary import closing_summary

WINDOWS = "results/windows/sim01.h5"


def pipeline(work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline", *arguments]
    return subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)


@pytest.fixture
def own_chain(chain: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may spoil."""
    return Path(shutil.copytree(chain, tmp_path / "copy"))


def closing_summary_of(chain: Path) -> list[str]:
    with next((chain / "results/simulated").glob("*_events.tsv")).open(encoding="utf-8") as handle:
        return [row["label"] for row in csv.DictReader(handle, delimiter="\t")]


def test_events_carry_the_word_and_not_the_trial_type(chain: Path) -> None:
    printed = closing_summary_of(chain)
    labels = [event.label for event in read_windows(chain / WINDOWS).events]
    assert labels == printed[: len(labels)]
    assert len(labels) >= len(printed) - 1
    assert len(set(labels)) > 3


def importance(work: Path) -> dict[str, dict[str, float]]:
    return dict(json.loads((work / "results/eval.json").read_text())["subjects"]["sim01"]["permutation_importance"])


def test_one_shaft_alone_has_no_importance_and_the_report_says_why(chain: Path) -> None:
    assert importance(chain) == {"shaft": {}, "region": {}, "chance": {}, "reasons": {
        "shaft": "LA is the only one", "region": "superior temporal gyrus is the only one"
    }}  # fmt: skip
    assert "Importance by shaft is missing: LA is the only one" in (chain / "results/report.html").read_text()


@pytest.mark.slow
def test_importance_of_every_shaft_and_region_is_reported(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SMALL.replace("channels: 8", "channels: 18"))
    result = snakemake(tmp_path, "results/eval.json")
    assert result.returncode == 0, result.stdout[-3000:]
    [info] = aligned_trials(tmp_path / "results/aligned/sim01_run01.h5")
    used = [name for name, used in zip(info.channels["name"], info.channels["used"], strict=True) if used]
    own = importance(tmp_path)
    assert set(own["shaft"]) == {name.rstrip("0123456789") for name in used}
    assert len(own["shaft"]) == len(own["region"]) > 1
    assert sorted(own["shaft"].values()) == sorted(own["region"].values())  # a simulated shaft lies in one region
    assert max(own["shaft"].values()) > 0.02
    assert own["reasons"] == {}
    assert own["chance"]["shaft"]["pieces"] >= 10
    assert min(own["chance"]["region"]["p_value"].values()) <= 0.05
    assert "By shaft, sim01: loss of r" in (tmp_path / "results/report.html").read_text()


def test_the_page_is_drawn_again_from_the_artifacts(chain: Path, tmp_path: Path) -> None:
    done = pipeline(chain, "report", "--out", str(tmp_path / "again.html"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.html").read_bytes() == (chain / "results/report.html").read_bytes()


def test_a_page_to_share_holds_no_true_sound_no_target_and_no_word(chain: Path, tmp_path: Path) -> None:
    done = pipeline(chain, "report", "--share", "--out", str(tmp_path / "share.html"))
    assert done.returncode == 0, done.stderr
    shared, whole = (tmp_path / "share.html").read_text(), (chain / "results/report.html").read_text()
    assert "Copy for sharing" in shared
    assert (whole.count("<audio"), shared.count("<audio")) == (15, 5)  # a block and four words
    assert "target: true sound" in whole
    assert "target: true sound" not in shared
    assert not [word for word in set(closing_summary_of(chain)) if f">{word}<" in shared]


def test_scores_that_were_edited_are_not_drawn(own_chain: Path, tmp_path: Path) -> None:
    file = own_chain / "results/eval.json"
    file.write_text(file.read_text().replace('"pearson_r": 0.', '"pearson_r": 0.9', 1))
    done = pipeline(own_chain, "report", "--out", str(tmp_path / "x.html"))
    assert done.returncode == 2
    assert "eval.json" in done.stderr
    assert not (tmp_path / "x.html").exists()


def test_scores_are_not_drawn_beside_other_results_than_they_are_of(own_chain: Path, tmp_path: Path) -> None:
    """As a run of another config leaves them that was ended before it scored: each follows from the others."""
    file = own_chain / "results/contamination/sim01_run01.h5"
    made, values = header(file), read_contamination(file)
    provenance = Provenance(made["config_json"], made["code_fingerprint"], made["inputs"], made["output"])
    write_contamination(file, {"matrix": None, **values, "reason": "another"}, provenance)
    done = pipeline(own_chain, "report", "--out", str(tmp_path / "x.html"))
    assert done.returncode == 2
    assert "results/contamination/sim01_run01.h5[content_digest]: got other content than was scored" in done.stderr
    assert not (tmp_path / "x.html").exists()


@pytest.mark.slow
def test_what_only_evaluate_reads_reruns_evaluate_alone(own_chain: Path) -> None:
    config = own_chain / "config.yaml"
    config.write_text(
        SMALL.replace("{bootstrap: 100}", "{bootstrap: 100, report: false}") + "contamination: {alpha: 0.9999}\n"
    )
    result = snakemake(own_chain, "results/eval.json")
    assert result.returncode == 0, result.stdout[-3000:]
    assert jobs_run(result.stdout) == ["evaluate"]
    page = (own_chain / "results/report.html").read_text()
    assert "switched off" in page
    assert "<img" not in page
    found = json.loads((own_chain / "results/eval.json").read_text())["contamination"]
    assert [c["result"] for c in found] == ["suspect" if c["p_adjusted"] < 0.9999 else "no evidence" for c in found]


@pytest.mark.slow
def test_nearest_neighbour_is_scored_on_request(chain: Path, own_chain: Path) -> None:
    assert "nearest_neighbour" not in json.loads((chain / "results/eval.json").read_text())["summary"]
    (own_chain / "config.yaml").write_text(SMALL + "ridge: {nearest_neighbour: true}\n")
    result = snakemake(own_chain, "results/eval.json")
    assert result.returncode == 0, result.stdout[-3000:]
    again = set(jobs_run(result.stdout))
    assert {"evaluate", "ridge"} <= again <= {"ridge", "train", "ensemble", "predict", "vocode", "evaluate"}
    log = (own_chain / "logs/train/sim01/fold0/0-corrector.log").read_text()
    assert "finished already" in log, "the ridge that networks correct is the same"
    summary = json.loads((own_chain / "results/eval.json").read_text())["summary"]
    assert summary["nearest_neighbour"]["role"] == "baseline"
    assert abs(summary["nearest_neighbour"]["pearson_r"]) < 1
    assert 0 < summary["chance"]["by_prediction"]["nearest_neighbour"]["pearson_r"]["p_value"] <= 1
    assert "nearest neighbour" in summary["differences"]["nearest_neighbour"]["sentence"]


# -- a leak, forced -------------------------------------------------------------------------------


def shuffled(windows: Windows, chain: Path) -> Windows:
    """The same windows dealt out at random to the roles of fold 0, and the raw samples that each role then saw."""
    grid = load_config([chain / "config.yaml"]).mel
    infos = [info for s in windows.session_names for info in aligned_trials(chain / f"results/aligned/{s}.h5")]
    attributes = windows.attributes
    seen = ReceptiveField(
        attributes["receptive_field_past_s"],
        attributes["receptive_field_future_s"],
        attributes["receptive_field_audio_s"],
    )
    rng = np.random.default_rng(0)
    roles = windows.roles.copy()
    roles[:, 0] = rng.choice([ROLE_CODES[r] for r in ("train", "validation", "test")], len(roles), p=[0.6, 0.2, 0.2])
    names = {code: name for name, code in ROLE_CODES.items()}
    blocks = [
        BlockRow(0, names[code], recording, start, start + attributes["length_frames"])
        for (recording, start), code in zip(windows.starts.tolist(), roles[:, 0].tolist(), strict=True)
    ]
    spans = [span for block in blocks for span in raw_spans(block, infos[block.recording], seen, grid)]
    others = [b for b in windows.blocks if b.fold != 0], [s for s in windows.spans if s.fold != 0]
    return replace(windows, roles=roles, blocks=(*blocks, *others[0]), spans=(*spans, *others[1]))


def shared_samples(spans: tuple[SpanRow, ...], one: str, two: str) -> int:
    """Raw samples that two roles of fold 0 both saw, counted one by one."""
    total = 0
    for signal in ("neural", "audio"):
        own = [s for s in spans if s.fold == 0 and s.signal == signal]
        masks = {role: np.zeros(max(s.stop for s in own), bool) for role in (one, two)}
        for s in own:
            if s.role in masks:
                masks[s.role][s.start : s.stop] = True
        total += int((masks[one] & masks[two]).sum())
    return total


def test_a_shuffled_split_is_refused_with_the_number_of_shared_samples(own_chain: Path) -> None:
    leaky = shuffled(read_windows(own_chain / WINDOWS), own_chain)
    write_windows(own_chain / WINDOWS, leaky, Provenance())
    before = (own_chain / "results/eval.json").read_bytes()
    config = stage_json("evaluate", load_config([own_chain / "config.yaml"]))
    outputs = [f"results/{name}" for name in ("eval.json", "scores.tsv", "report.html", "eval.provenance.json")]
    command = [sys.executable, str(ROOT / "workflow/scripts/evaluate.py"), "--config", config, "--log", "e.log"]
    command += ["--folds", "sim01/fold0", "--variants", "--sound", "True", "--pooled", "False", "--output", *outputs]
    done = subprocess.run(command, cwd=own_chain, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    for pair in (("train", "validation"), ("train", "test"), ("validation", "test")):
        count = shared_samples(leaky.spans, *pair)
        assert count > 1000
        assert f"[{'/'.join(pair)}]: got {count} raw samples seen by both roles" in done.stderr
    assert (own_chain / "results/eval.json").read_bytes() == before


# -- equal inputs, equal bytes --------------------------------------------------------------------


def test_evaluate_twice_gives_equal_bytes(own_chain: Path) -> None:
    names = ("eval.json", "scores.tsv", "report.html")
    before = {name: (own_chain / "results" / name).read_bytes() for name in names}
    result = snakemake(own_chain, "results/eval.json", "--forcerun", "evaluate")
    assert result.returncode == 0, result.stdout[-3000:]
    assert jobs_run(result.stdout) == ["evaluate"]
    assert {name: (own_chain / "results" / name).read_bytes() for name in names} == before


@pytest.mark.slow
def test_the_whole_chain_twice_gives_equal_bytes(chain: Path, tmp_path: Path) -> None:
    """Trained anew in another folder, with another number of jobs at a time."""
    (tmp_path / "config.yaml").write_text(SMALL)
    result = snakemake(tmp_path, "results/eval.json", "--cores", "1")
    assert result.returncode == 0, result.stdout[-3000:]
    assert "train" in jobs_run(result.stdout)
    for name in ("eval.json", "scores.tsv", "report.html"):
        assert (tmp_path / "results" / name).read_bytes() == (chain / "results" / name).read_bytes(), name


@pytest.mark.slow
def test_independent_brain_signals_score_chance(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench/null.py"), "--seeds", "1", "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    header, row, pooled = ((tmp_path / "null.tsv").read_text().splitlines()[i].split("\t") for i in range(3))
    found = dict(zip(header, row, strict=True))
    for name in ("model", "ridge", "nearest_neighbour"):
        assert float(found[f"{name}_p"]) > 0.01, found
        assert abs(float(found[f"{name}_r"])) < 0.3, found
    assert pooled[header.index("model_p")] == found["model_p"]


def test_a_summary_of_other_scores_than_the_config_gives_says_so(own_chain: Path) -> None:
    plain = pipeline(own_chain, "summary", "--config", "config.yaml")
    assert (plain.returncode, plain.stderr) == (0, "")
    other = pipeline(own_chain, "summary", "--config", "config.yaml", "--set", "evaluate.seed=5")
    assert other.stdout == plain.stdout
    assert other.stderr.startswith("warning: not what the config and the data give now: results/eval.json: made with")
    (own_chain / "config.yaml").write_text("nonsense: 1\n")
    unknown = pipeline(own_chain, "summary", "--config", "config.yaml")
    assert unknown.stdout == plain.stdout
    assert unknown.stderr.endswith("warning: these scores cannot be compared with the config\n")


def test_results_of_another_version_are_named_by_summary_and_report(own_chain: Path) -> None:
    """Scores with other keys, a config that has changed since, and at last a layout of before."""
    scores, sidecar = own_chain / "results/eval.json", own_chain / "results/eval.provenance.json"
    document, made = json.loads(scores.read_text()), json.loads(sidecar.read_text())
    del document["summary"]["chance"]["pearson_r_without_drift"], made["digest"]
    scores.write_text(json.dumps(document))
    made["files"]["eval.json"] = hashlib.sha256(scores.read_bytes()).hexdigest()
    made["config_json"] = made["config_json"].replace('"chance":{', '"chance":{"rotations":9,')
    sidecar.write_text(json.dumps(made | {"digest": digest(made)}))
    commands = {"summary": ["summary"], "report": ["report", "--out", "new.html"]}
    for name, named in (
        ("summary", "eval.json[pearson_r_without_drift]"),
        ("report", "eval.provenance.json[config_json]"),
    ):
        found = pipeline(own_chain, *commands[name])
        assert (found.returncode, found.stdout) == (2, "")
        assert found.stderr.startswith(f"error: results/{named}: got")
    (own_chain / "results/.layout").write_text("1\n")
    assert all("results of layout 1" in pipeline(own_chain, *command).stderr for command in commands.values())


def test_the_last_lines_say_what_may_be_claimed_and_why_no_more(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chain)
    claims = json.loads((chain / "results/eval.json").read_text())["claims"]
    level = claims["level"]
    said = "not testable" if level is None else f"{level}: {MEANINGS[level]}"
    printed = closing_summary()
    assert f"supported claim: {said}\n" in printed
    assert f"({claims['level_reason']})" in " ".join(printed.split())
    for limit in claims["limits"]:
        assert limit["limit"] == "simulated" or f"limit: {limit['reason']}" in " ".join(printed.split())
    assert {"simulated", "few_subjects", "no_speaker_column"} <= {limit["limit"] for limit in claims["limits"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "at_most"), [("null", NO_LINK), ("onset-only", TIMING), ("linked", CONTENT), ("contaminated", NO_LINK)]
)
def test_a_simulated_subject_claims_no_more_than_it_knows(tmp_path: Path, mode: str, at_most: str) -> None:
    simulate = {"mode": mode, "minutes": 2.0, "channels": 16}
    config = {"simulate": simulate, "split": {"folds": 3}, "model": {"preset": "tiny"}, "export": {"audio": "none"}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    done = snakemake(tmp_path, "results/eval.json")
    assert done.returncode == 0, done.stdout[-3000:]
    document = json.loads((tmp_path / "results/eval.json").read_text())
    level = document["claims"]["level"]
    assert level is None or LEVELS.index(level) <= LEVELS.index(at_most), document["claims"]
    words = document["summary"]["words"]
    if mode == "onset-only":
        swaps = words["by_prediction"]["model"]
        assert document["summary"]["chance"]["p_value"] < 0.01
        assert max(swaps["swap_annotated_onset"]["p_value"], swaps["swap_sound_onset"]["p_value"]) > 0.05
    assert words["note"] == WORD_SWAP_NOTE
