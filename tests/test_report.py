"""The report and the leak audit: self-contained, escaped, honest about what is missing, safe to share."""

from __future__ import annotations

import base64
import io
import json
import re
import runpy
from dataclasses import fields, is_dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from jinja2 import UndefinedError
from matplotlib import colormaps
from matplotlib.image import imread

from pipeline.artifacts.aligned import Event
from pipeline.artifacts.paths import subject_pages
from pipeline.config.base import pick
from pipeline.config.evaluate import ChanceConfig, EvaluateConfig, EvaluateStage
from pipeline.config.loader import load_config
from pipeline.errors import InputError
from pipeline.evaluation.audit import Span, audit_inner_folds, audit_spans, refuse_leak
from pipeline.evaluation.contamination import Contamination
from pipeline.evaluation.inputs import Scope, read_inputs
from pipeline.evaluation.levels import MEANINGS
from pipeline.evaluation.scores import WORD_SWAP_NOTE, RunContext, document_json, score, why_missing
from pipeline.evaluation.types import FoldPredictions, Sound, TestBlock
from pipeline.report import figures, page, view_chance, view_scores
from pipeline.report.command import draw_report
from pipeline.report.extras import Attention, Contacts, LearningCurve, Recorded, ReportExtras, read_extras
from pipeline.report.listening import flac_bytes, wav_bytes
from pipeline.report.page import OF_SUBJECT, report_html, subject_html
from pipeline.report.view import ci_text
from pipeline.report.view_checks import recordings_row
from pipeline.report.view_model import importance

RATE_HZ = 86.1328125
FRAMES = 3600
CONFIG = EvaluateConfig(bootstrap=100, stoi=False, report_excerpt_s=2.0, report_examples=1)
NASTY = "<script>alert(1)</script>&\"'"


def make_fold(fold: int = 0, subject: str = "sub1") -> FoldPredictions:
    """Frames with words labelled so that a leak of labels or an unescaped one shows."""
    rng = np.random.default_rng(fold)
    target = np.cumsum(rng.normal(0, 0.3, (FRAMES, 8)), axis=0).astype(np.float32)
    target -= target.mean(axis=0)
    predictions = {
        "model": (target + rng.normal(0, 1, target.shape)).astype(np.float32),
        "ridge": (target + rng.normal(0, 2, target.shape)).astype(np.float32),
        "mean_spectrum": np.zeros_like(target),
    }
    events = tuple(Event(0.5 + k, 0.5, f"secretword{NASTY}{k}") for k in range(40))
    samples = (FRAMES - 1) * 256
    waves = [rng.normal(0, 0.1, samples).astype(np.float32) for _ in range(3)]
    block = TestBlock(
        f"rec{NASTY}", 0, np.arange(FRAMES) / RATE_HZ, target, predictions, np.zeros(FRAMES, bool), events,
        Sound(22050, *waves),
    )  # fmt: skip
    return FoldPredictions(subject, fold, 0, RATE_HZ, (block,), 0.0, missing={"mean_template": "no events"})


def cut(fold: FoldPredictions, frames: int) -> FoldPredictions:
    """The first frames of a fold, without sound and words."""
    own = fold.blocks[0]
    predictions = {name: mel[:frames] for name, mel in own.predictions.items() if mel is not None}
    block = replace(
        own, times_s=own.times_s[:frames], target=own.target[:frames], bad=own.bad[:frames], events=(), sound=None,
        predictions=predictions,
    )  # fmt: skip
    return replace(fold, blocks=(block,))


def make_extras() -> ReportExtras:
    steps = np.arange(0.0, 100, 10)
    frequencies_hz, lags_s = np.arange(70.0, 171, 5), np.arange(-0.5, 0.6, 0.25)
    tested = (0.1, 0.3, 0.3, 2, frequencies_hz, lags_s, np.ones((21, 5)))
    channels = {"name": ["a", "b", "c"], "use": ["used"] * 3, "p": [1.0, 1.0, 0.3]}
    found = Contamination("rec1", "no evidence", None, *tested, channels=channels)
    return ReportExtras(
        curves={("sub1", 0): {"0-tiny": LearningCurve(steps, {"val_loss": 1 / (1 + steps)})}},
        attention={
            ("sub1", 0): Attention(np.random.default_rng(0).random((2, 6, 20)), np.arange(6.0), np.arange(20.0))
        },
        contacts={"sub1": Contacts(np.eye(3), {"shaft": [NASTY] * 3, "region": ["STG"] * 3})},
        contamination=[found],
        recorded=[Recorded("sub1", "ses1", 3, 2.04, 1024.0, 48000.0, {"a": "used", NASTY: "bad", "c": "used"})],
        code="0123456789abcdef",
        config_text="train:\n  lr: 0.002 # " + NASTY,
        provenance={"code": "abc" + NASTY},
        versions={"numpy": {"1.26.4": 9}, "torch": {"2.4.0": 8, "2.5.1": 1}},
    )


def make_page(
    extras: ReportExtras | None = None, *, share: bool = False, simulated: bool = False, full: bool = True
) -> str:
    folds = [make_fold(k) for k in range(2)]
    clean = audit_spans({"train": [Span("r", "neural", 0, 10, 10.0)], "test": [Span("r", "neural", 20, 30, 10.0)]})
    latency = {"lags_s": [-0.1, 0.0, 0.1], "r": [0.1, 0.2, 0.3], "best_s": 0.1}
    tested = {"p95": 0.05, "p_value": {NASTY: 0.03, "STG": 0.004}, "pieces": 10, "reason": None}
    importance = {"shaft": {NASTY: 0.1}, "region": {"STG": 0.2}, "chance": {"shaft": tested, "region": tested}}
    importance["reasons"] = {}
    attributes = RunContext(
        {"simulated": simulated, "split_by": NASTY},
        {("sub1", k): clean for k in range(2)} if full else {},
        extras.contamination if extras else (),
        {"sub1": {"latency": latency, "permutation_importance": importance}} if full else {},
    )
    document = score(folds, CONFIG, ChanceConfig(), attributes)
    return report_html(document, folds, extras or ReportExtras(), CONFIG, share=share)


class Page(HTMLParser):
    """Collects what a browser would load, and the nesting of tags."""

    VOID = frozenset({"meta", "img", "br", "link", "hr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [v or "" for k, v in attrs if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def full() -> str:
    return make_page(make_extras(), simulated=True)


def test_what_was_recorded_and_by_what_it_was_scored_stands_before_the_scores(full: str) -> None:
    own = full.split('<section id="recordings">')[1].split("</section>")[0]
    assert full.index('id="recordings"') < full.index('id="scores"')
    cells = re.findall(r"<td>(.*?)</td>", own)
    assert cells[:7] == ["sub1", "ses1", "3", "2.0", "1024", "48000", "2 of 3"]
    assert cells[7].startswith("bad: &lt;script&gt;")
    assert "code 0123456789ab." in own


def test_rates_that_no_fold_tells_are_dashes() -> None:
    own = Recorded("sub1", "ses1", 3, 2.04, None, None, {})
    assert recordings_row(own)[4:] == ["–", "–", "features as given", "none"]


def test_a_session_of_a_run_is_listed_with_its_rates_and_channels(chain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(chain)
    config = pick(EvaluateStage, load_config([Path("config.yaml")]))
    (own,) = read_extras(read_inputs(Scope.of_last_run(), config), config).recorded
    simulated = load_config([Path("config.yaml")]).simulate
    assert (own.session, own.trials, own.signal_hz) == ("sim01_run01", 1, simulated.eeg_rate_hz)
    assert own.sound_hz == simulated.audio_rate_hz
    assert own.minutes == pytest.approx(simulated.minutes, abs=0.05)
    assert len(own.channels) == simulated.channels


def test_regions_stand_in_a_table_with_their_loss_and_p(full: str) -> None:
    assert "<th>Region, sub1</th><th>loss of r</th><th>p</th>" in full
    assert "<td>STG</td><td>0.200</td><td>0.004</td>" in full


def test_over_people_regions_are_averaged_and_shafts_are_not() -> None:
    def own(shaft: float, region: float, p: float) -> dict[str, Any]:
        chance = {kind: {"p95": 0.1, "p_value": {"LA": p, "STG": p}} for kind in ("shaft", "region")}
        return {"shaft": {"LA": shaft}, "region": {"STG": region}, "chance": chance, "reasons": {}}

    subjects = {"one": own(0.1, 0.2, 0.01), "two": own(0.3, 0.4, 0.2)}
    document = {"subjects": {name: {"permutation_importance": each} for name, each in subjects.items()}}
    found = importance(document, {})
    assert [table.rows for table in found.tables] == [
        [["LA", "0.100", "0.01"]], [["LA", "0.300", "0.2"]], [["STG", "0.300", "2", "1"]],
    ]  # fmt: skip
    assert [table.head[0] for table in found.tables] == ["Shaft, one", "Shaft, two", "Region"]
    assert [picture.caption.split(":")[0] for picture in found.pictures] == [
        "By shaft, one", "By shaft, two", "By region, mean over 2 subjects",
    ]  # fmt: skip
    summary = importance(document, {}, summary=True)
    assert [picture.caption.split(":")[0] for picture in summary.pictures] == ["By region, mean over 2 subjects"]


def test_contacts_are_coloured_by_the_loss_of_their_shaft_else_of_their_region(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(figures, "contacts", lambda position, values, label: drawn.append(values) or "data:,")
    contacts = Contacts(np.arange(9.0).reshape(3, 3), {"shaft": ["LA", "LA", ""], "region": ["", "STG", "STG"]})
    chance = {kind: {"p95": 0.1, "p_value": {}} for kind in ("shaft", "region")}
    for shaft, expected in (({"LA": 0.3}, [0.3, 0.3, np.nan]), ({}, [np.nan, 0.2, 0.2])):
        own = {"shaft": shaft, "region": {"STG": 0.2}, "chance": chance, "reasons": {}}
        document = {"subjects": {"one": {"permutation_importance": own}}}
        (shown,) = importance(document, {"one": contacts}).contacts
        np.testing.assert_array_equal(drawn.pop(), expected)
        assert shown.caption.startswith("one: contacts")


def test_contacts_are_drawn_in_three_projections() -> None:
    position = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    figure = figures.contacts_figure(position, np.array([0.1, 0.2, np.nan, np.nan, -0.1, 0.0]), "loss of r")
    coronal, sagittal, axial, *_ = figure.axes
    for panel, (across, up) in zip((coronal, sagittal, axial), ((0, 2), (1, 2), (0, 1)), strict=True):
        unknown, known = (np.asarray(drawn.get_offsets()) for drawn in panel.collections)
        np.testing.assert_allclose(unknown, position[2:4][:, [across, up]])
        np.testing.assert_allclose(known, position[[0, 1, 4, 5]][:, [across, up]])
        assert (panel.get_xlabel(), panel.get_ylabel()) == ("xyz"[across], "xyz"[up])


def test_the_draws_of_a_null_are_shown_with_what_was_observed(full: str) -> None:
    folds = [make_fold(k, subject) for subject in ("a", "b") for k in range(2)]
    document = json.loads(document_json(score(folds, CONFIG, ChanceConfig(), RunContext({}))))
    over = document["summary"]["chance"]
    own = [document["subjects"][s]["chance"]["model"]["pearson_r"] for s in ("a", "b")]
    for null in (over, *own):
        counts, edges = null["histogram"]["counts"], null["histogram"]["edges"]
        assert len(edges) == len(counts) + 1
        assert edges[-1] < null["pearson_r_without_drift"]
    assert [sum(null["histogram"]["counts"]) for null in own] == [null["independent"] for null in own]
    assert sum(over["histogram"]["counts"]) == min(null["independent"] for null in own)
    assert "sub1: r without slow drift of " in full
    figure = figures.histogram_figure(np.array([1, 3]), np.array([0.0, 0.1, 0.2]), 0.5, 0.15, "r")
    assert [line.get_xdata()[0] for line in figure.axes[0].lines] == [0.15, 0.5]


def test_the_mean_null_stands_beside_what_its_own_subjects_have() -> None:
    """A subject with too little sound cannot be tested: it counts for neither the draws nor what was observed."""
    folds = [make_fold(k, subject) for subject in ("a", "b") for k in range(2)]
    short = [cut(make_fold(k, "short"), 400) for k in range(2)]
    document = score([*folds, *short], CONFIG, ChanceConfig(), RunContext({}))
    chance = document["summary"]["chance"]
    alone = score(folds, CONFIG, ChanceConfig(), RunContext({}))["summary"]["chance"]
    assert (chance["subjects_tested"], chance["subjects"]) == (2, 3)
    assert chance["pearson_r_without_drift"] == pytest.approx(alone["pearson_r_without_drift"])
    assert view_chance.histograms(document)[0].caption.startswith("Mean over 2 testable subjects: ")
    (note,) = (t.note for t in view_scores.head(document, share=False).tiles if t.label.startswith("Chance"))
    assert note.startswith("r without slow drift of 2 testable subjects ")


def test_a_fold_without_words_stands_beside_one_with_words() -> None:
    with_words, without = make_fold(0), make_fold(1)
    without = replace(without, blocks=(replace(without.blocks[0], events=()),))
    words = score([with_words, without], CONFIG, ChanceConfig(), RunContext({}))["summary"]["words"]
    assert words["by_prediction"]["model"]["unseen"]["rank_accuracy"] is not None


def at_chance(fold: FoldPredictions) -> FoldPredictions:
    """The fold with a model that knows nothing of the target."""
    block = fold.blocks[0]
    noise = np.cumsum(np.random.default_rng(20 + fold.fold).normal(0, 0.3, block.target.shape), axis=0)
    predictions = {**block.predictions, "model": noise.astype(np.float32)}
    return replace(fold, blocks=(replace(block, predictions=predictions),))


def pages(n_subjects: int, unlinked: str = "", suspect: str = "") -> tuple[str, str]:
    """The report of some subjects, and the page of the second one; each has a session without a test block, too."""
    folds = [make_fold(fold, f"sub{k}") for k in range(n_subjects) for fold in range(2)]
    folds = [at_chance(fold) if fold.subject in unlinked.split() else fold for fold in folds]
    folds = [replace(f, blocks=(replace(f.blocks[0], session=f"{f.subject}_s"),)) for f in folds]
    sessions = {f"sub{k}": [f"sub{k}_s", f"sub{k}_training"] for k in range(n_subjects)}
    found = [replace(make_extras().contamination[0], recording=s) for own in sessions.values() for s in own]
    found = [
        replace(c, result="suspect", p_adjusted=0.001, lag_s=0.0) if suspect and c.recording.startswith(suspect) else c
        for c in found
    ]
    extras = replace(make_extras(), contamination=found, curves={}, attention={}, sessions=sessions)
    document = score(folds, CONFIG, ChanceConfig(), RunContext({}, contamination=found, sessions=sessions))
    return report_html(document, folds, extras, CONFIG), subject_html(
        document, folds, extras, CONFIG, "sub1", "all.html"
    )


def test_many_subjects_have_a_page_each_and_few_have_none() -> None:
    report, own = pages(4)
    assert set(re.findall(r'alt="(.*?): r without slow drift of', report)) == {"Mean over 4 testable subjects"}
    assert set(re.findall(r'alt="(.*?): r without slow drift of', own)) == {"sub1"}
    links = {source for source in Page(report).sources if not source.startswith(("data:", "#"))}
    assert (
        links
        == {f"report_sub{k}.html" for k in range(4)}
        == {p.name for p in subject_pages(f"sub{k}" for k in range(4)).values()}
    )
    assert {source for source in Page(own).sources if not source.startswith(("data:", "#"))} == {"all.html"}
    assert all(source.startswith(("data:", "#")) for source in Page(pages(3)[0]).sources)


@pytest.mark.parametrize("share", [False, True])
def test_a_report_is_not_written_where_a_subjects_page_would_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: bool
) -> None:
    monkeypatch.setattr(Scope, "of_last_run", lambda: SimpleNamespace(subjects=list("abcd")))
    monkeypatch.chdir(tmp_path)
    said = "another name" if not share else "no such file|no provenance"
    with pytest.raises(InputError, match=said):
        draw_report(tmp_path / "report_c.html", share=share)


def test_a_subjects_page_holds_what_is_its_own_and_nothing_of_others() -> None:
    _, own = pages(4)
    assert set(re.findall(r'<section id="(\w+)"', own)) == set(OF_SUBJECT)
    assert "Supported claim for sub1" in own
    assert "<td>sub1_s</td>" in own
    assert "<td>sub1_training</td>" in own, "a session that was never tested"
    assert not re.search(r"sub[023]\b", own)
    assert Page(own).open == []


def test_a_subjects_page_has_no_number_of_the_group() -> None:
    """Whether the other subjects have a link changes nothing on it."""
    report, own = pages(4, unlinked="sub1")
    other_report, other = pages(4, unlinked="sub0 sub1 sub2 sub3")
    assert report != other_report
    assert own == other
    assert "Supported claim for sub1: no link: no link between prediction and sound was shown." in own
    assert "<h3>Latency of the brain activity</h3>" in own
    for of_all in ("subjects testable", "smallest possible p", "Model minus", "Words seen", "retrained models"):
        assert of_all in report
        assert of_all not in own


def test_a_leak_is_told_on_the_pages_of_those_whom_it_concerns() -> None:
    for suspect, told in (("sub1", True), ("sub2", False)):
        report, own = pages(4, suspect=suspect)
        assert "Sound may have leaked" in report
        assert ("Sound may have leaked" in own) == told


def test_a_shared_copy_stands_alone_and_a_summary_does_not() -> None:
    folds = [make_fold(fold, f"sub{k}") for k in range(4) for fold in range(2)]
    document = score(folds, CONFIG, ChanceConfig(), RunContext({}))
    del document["subjects"]["sub3"]["chance"]["model"]
    shown = [report_html(document, folds, ReportExtras(), CONFIG, share=share) for share in (False, True)]
    drawn = [len(re.findall(r'alt=".*?: r without slow drift of', html)) for html in shown]
    assert drawn == [1, 4]


def test_versions_are_listed_and_a_mixture_is_told(full: str) -> None:
    assert "<td>numpy</td><td>1.26.4 (9 outputs)</td>" in full
    assert "<td>torch</td><td>2.4.0 (8 outputs), 2.5.1 (1 output)</td>" in full
    assert "The results were made with different versions of torch." in full
    one = make_page(replace(make_extras(), versions={"numpy": {"1.26.4": 9}}))
    assert "different versions" not in one
    assert "list of versions is missing" not in one


def test_page_is_self_contained_and_well_formed(full: str) -> None:
    page = Page(full)
    assert full.startswith("<!doctype html>\n")
    assert page.open == []
    assert page.sources
    assert all(source.startswith(("data:", "#")) for source in page.sources)
    assert "script" not in page.tags
    assert not re.search(r"url\(|@import|https?://", re.sub(r"data:[^\"]*", "", full))
    assert page.tags.count("audio") == 3 + 4 * 3


def test_everything_is_escaped(full: str) -> None:
    assert "<script>" not in full
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;&#34;&#39;" in full


def with_text(value: Any, text: str) -> Any:
    """A part of the page with each of its texts replaced."""
    if isinstance(value, str):
        return text
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: with_text(getattr(value, f.name), text) for f in fields(value)})
    if isinstance(value, dict):
        return {with_text(k, text): with_text(v, text) for k, v in value.items()}
    return [with_text(v, text) for v in value] if isinstance(value, list | tuple) else value


def test_no_text_that_the_template_takes_is_html(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each place of the template at once, the pictures' addresses and the classes included."""
    made: list[page.Page] = []
    make = page.Page
    monkeypatch.setattr(page, "Page", lambda **parts: made.append(make(**parts)) or made[-1])
    make_page(make_extras())
    plain, nasty = (
        Page(page.TEMPLATES.get_template("page.html.j2").render(page=replace(with_text(own, text), sections=headings)))
        for own in made
        for text in ("plain", NASTY)
        for headings in [dict.fromkeys(own.sections, text)]
    )
    assert nasty.tags == plain.tags
    assert NASTY in nasty.sources


def test_every_section_has_a_link_and_every_link_a_section(full: str) -> None:
    assert re.findall(r'<section id="(\w+)">', full) == re.findall(r'<a href="#(\w+)">', full)
    assert len(re.findall("<section", full)) == 13


def test_a_name_that_the_template_lacks_is_no_empty_text() -> None:
    with pytest.raises(UndefinedError, match="heading"):
        page.TEMPLATES.from_string("{{ page.heading }}").render(page=object())


def test_simulated_data_carry_a_banner(full: str) -> None:
    assert "Simulated data" in full
    assert "Simulated data" not in make_page(simulated=False)


def test_the_page_says_what_may_be_claimed_and_why_no_more(full: str) -> None:
    claim = re.search(r"<li>Supported claim: (.+?): (.+?) \((.+?)\)\.</li>", full)
    assert claim
    level = claim[1].replace(" ", "_")
    assert claim[2] == MEANINGS[level]
    assert "each tested at 0.01" in claim[3]
    assert "<li>Limit: " in full
    assert f"timing; {WORD_SWAP_NOTE}." in " ".join(full.split()), "beside the table of nulls"
    assert "Levels of a claim" in full
    assert "may be claimed" not in full


def test_missing_parts_are_named() -> None:
    html = make_page(full=False)
    for part in ("Attention", "Learning curves", "Permutation importance", "Latency", "The leak audit",
                 "The contamination check", "Provenance"):  # fmt: skip
        assert f"{part} is missing" in html or f"{part} are missing" in html, part
    assert "is missing" not in make_page(make_extras()).split('id="training"')[1].split("</section>")[0]


def test_shared_copy_leaves_out_what_identifies(full: str) -> None:
    shared = make_page(make_extras(), share=True, simulated=True)
    assert Page(shared).tags.count("audio") == 1 + 4
    assert "word 4" in shared
    assert "target: true sound; prediction of the model, free-running; prediction of the ridge" in full
    assert "target: true sound" not in shared
    assert "secretword" not in shared
    assert Page(shared).tags.count("img") == Page(full).tags.count("img") - 1
    assert "contacts where the table" in full
    assert "contacts where the table" not in shared
    assert "word labels and places of contacts are left out" in shared


def test_the_gallery_is_of_a_simulated_run_that_has_all_pictures() -> None:
    draw = runpy.run_path(str(Path(__file__).parents[1] / "tools/gallery.py"))["pictures"]
    for simulated, refused in ((False, "this run is of recordings"), (True, "no picture of: contacts, importance, ")):
        document = score([make_fold()], CONFIG, ChanceConfig(), RunContext({"simulated": simulated}))
        with pytest.raises(SystemExit, match=refused):
            draw(document, [make_fold()], make_extras(), CONFIG)


def test_players_of_words_can_be_bounded_and_need_sound() -> None:
    fold = make_fold()
    document = score([fold], CONFIG, ChanceConfig(), RunContext({}))
    none = CONFIG.model_copy(update={"report_words": 0})
    assert Page(report_html(document, [fold], ReportExtras(), none)).tags.count("audio") == 3
    silent = replace(fold, blocks=(replace(fold.blocks[0], sound=None),))
    without = report_html(document, [silent], ReportExtras(), CONFIG)
    assert Page(without).tags.count("audio") == 0
    assert "export.audio: predicted makes the predicted sound" in without


def test_pictures_of_shared_copy_hold_no_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[object, ...]] = []
    monkeypatch.setattr(
        "pipeline.report.figures.spectrograms",
        lambda mels, times, limits, events, band_hz: drawn.append((mels, events)) or "data:,",
    )
    make_page(share=True)
    assert len(drawn) == 1
    assert [name.split()[0] for name in drawn[0][0]] == ["prediction", "prediction"]
    assert drawn[0][1] == ()
    make_page(share=False)
    assert len(drawn) == 2
    assert next(iter(drawn[1][0])).startswith("target")
    assert drawn[1][1]


def svg_of(uri: str) -> ElementTree.Element:
    """The picture that a data URI holds."""
    head, _, text = uri.partition(",")
    assert head == "data:image/svg+xml"
    return ElementTree.fromstring(unquote(text))


def elements(picture: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return list(picture.iter(f"{{http://www.w3.org/2000/svg}}{name}"))


def test_bands_are_labelled_by_frequency_where_it_is_known() -> None:
    band_hz = np.array([100.0, 300, 500, 900, 1100, 3000, 5000, 9000])
    ticks, label = figures.band_ticks(8, band_hz)
    expected = {"0.5": 2.0, "1": 3.5, "2": pytest.approx(4 + 900 / 1900), "4": 5.5, "7.5": 6.625}
    assert {name: place for place, name in ticks} == expected
    mel, times = np.random.default_rng(0).random((50, 8)).astype(np.float32), np.arange(50) / RATE_HZ
    for hz, shown in ((band_hz, {*expected, label}), (None, {"0", "2", "4", "6", "mel band, low to high"})):
        picture = svg_of(figures.spectrograms({"a": mel}, times, (0.0, 1.0), (), hz))
        assert shown <= {text.text for text in elements(picture, "text")}


def test_a_spectrogram_is_a_pixel_for_each_value_with_the_highest_band_on_top() -> None:
    rng, times = np.random.default_rng(0), np.arange(500) / RATE_HZ
    mels = {name: rng.random((500, 80)).astype(np.float32) for name in ("true", "model", "ridge")}
    uri = figures.spectrograms(mels, times, (0.0, 1.0))
    drawn = [image.get("href", "") for image in elements(svg_of(uri), "image")]
    assert len(drawn) == len(mels) + 1  # and the scale of colours
    magma = colormaps["magma"](np.arange(256), bytes=True)[:, :3]
    for mel, href in zip(mels.values(), drawn, strict=False):
        pixels = np.rint(255 * imread(io.BytesIO(base64.b64decode(href.partition(",")[2]))))[..., :3]
        np.testing.assert_array_equal(pixels, magma[(mel.T[::-1] * 256).astype(int)])
    assert len(uri) < 3 * 500 * 80 * 4 / 3 + 16_000, "a byte for each value, as text, and the axes"


@pytest.mark.filterwarnings("ignore:Glyph")
def test_labels_stay_text_in_every_picture() -> None:
    """A label may hold anything, XML's forbidden characters included; an image that is no XML is not shown."""
    label, mel = f"\x00{NASTY}]]>\ufffe", np.zeros((50, 8), np.float32)
    spectrogram = figures.spectrograms({"a": mel}, np.arange(50) / RATE_HZ, (0.0, 0.0), [Event(0.1, 0.2, label)])
    line = figures.lines({label: (np.arange(3.0), np.arange(3.0))}, "x", "y")
    for uri in (spectrogram, line, figures.bars({label: 0.1}, "x")):
        assert not set(uri) & set("<>\"'&#\n")
        picture = svg_of(uri)
        assert elements(picture, "script") == []
        assert f"\ufffd{NASTY}]]>\ufffd" in {text.text for text in elements(picture, "text")}


def test_a_page_of_one_subject_draws_nothing_that_it_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    for name in ("intervals", "by_band", "by_subject"):
        monkeypatch.setattr(figures, name, lambda *_, name=name: drawn.append(name) or "data:,")
    folds = [make_fold(k) for k in range(2)]
    document = score(folds, CONFIG, ChanceConfig(), RunContext({}))
    subject_html(document, folds, ReportExtras(), CONFIG, "sub1", "all.html")
    assert drawn == ["by_subject"]


def test_players_hold_what_was_made_in_half_of_the_bytes() -> None:
    """Of a sound like a voice: FLAC, to 13 bits of its loudest sample, 80 dB below which nothing is heard."""
    time_s = np.arange(2 * 22050) / 22050
    harmonics = sum(np.sin(2 * np.pi * 120 * k * time_s + k) / k for k in range(1, 30))
    hiss = np.random.default_rng(0).normal(0, 0.02, len(time_s))
    voice = (0.2 * np.sin(2 * np.pi * 2 * time_s) ** 2 * (harmonics + hiss)).astype(np.float32)
    wav, flac = wav_bytes(voice, 22050), flac_bytes(voice, 22050)
    assert len(flac) < len(wav) / 2
    assert flac == flac_bytes(voice, 22050)
    heard, rate_hz = soundfile.read(io.BytesIO(flac), dtype="float32")
    assert rate_hz == 22050
    assert np.abs(heard - voice).max() <= np.abs(voice).max() * 2**-13 + 2**-15
    assert 10 * np.log10((voice**2).mean() / ((heard - voice) ** 2).mean()) > 55


@pytest.mark.parametrize("sound", [[], [0.0] * 9, [1.0, -1.0] * 99, [3.0, -2.0] * 99, [1e-4, -1e-4] * 99])
def test_silence_and_extremes_are_played_as_they_are(sound: list[float]) -> None:
    given = np.array(sound, np.float32)
    kept = given / max(1.0, float(np.abs(given).max(initial=0.0)))
    heard, _ = soundfile.read(io.BytesIO(flac_bytes(given, 16000)), dtype="float32")
    np.testing.assert_allclose(heard, kept if sound else [0.0], rtol=2**-13, atol=2**-15)


def test_nearest_neighbour_is_among_the_baselines() -> None:
    fold = make_fold()
    block = fold.blocks[0]
    found = {**block.predictions, "nearest_neighbour": block.predictions["ridge"]}
    folds = [replace(fold, blocks=(replace(block, predictions=found),))]
    document = score(folds, CONFIG, ChanceConfig(), RunContext({}))
    assert document["summary"]["nearest_neighbour"]["role"] == "baseline"
    head = report_html(document, folds, ReportExtras(), CONFIG).split("<nav>")[0]
    assert "nearest neighbour" in head


def test_a_curve_for_each_network() -> None:
    extras = make_extras()
    curve = extras.curves["sub1", 0]["0-tiny"]
    both = replace(extras, curves={("sub1", 0): {"0-tiny": curve, "1-strong": curve}})
    pages = [make_page(e).split('id="training"')[1].split("</section>")[0] for e in (extras, both)]
    assert pages[0].count("<img") == pages[1].count("<img") == 1
    assert pages[0] != pages[1]


def test_a_curve_of_one_point_is_seen_and_a_longer_one_is_a_line() -> None:
    one, two = np.array([40.0]), np.array([40.0, 80.0])
    figure = figures.lines_figure({"short": (one, one), "long": (two, two)}, "x", "y")
    assert [line.get_marker() for line in figure.axes[0].lines] == ["o", "None"]


@pytest.mark.parametrize("subject", ["P01", "sub01", "sub-01_task-words_acq-long"])
@pytest.mark.parametrize("count", [5, 12, figures.MOST_NAMED])
def test_a_legend_lies_beside_its_lines_and_within_its_picture(subject: str, count: int) -> None:
    step = np.arange(3.0)
    names = [f"{subject}, fold {k} 0-corrector" for k in range(count)]
    figure = figures.styled(figures.lines_figure)({name: (step, step) for name in names}, "x", "y")
    figure.draw_without_rendering()
    (legend,) = figure.legends
    around, lines = legend.get_window_extent(), figure.axes[0].get_window_extent()
    assert around.x1 <= figure.bbox.x1
    assert around.y1 <= figure.bbox.y1
    assert lines.y1 <= around.y0
    assert lines.height > 0.9 * figure.dpi  # an inch, or nearly
    assert len({(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}) == count


def test_lines_that_are_too_many_to_name_are_counted(full: str) -> None:
    extras = make_extras()
    curve = extras.curves["sub1", 0]
    many = replace(extras, curves={("sub1", k): curve for k in range(figures.MOST_NAMED + 1)})
    assert "22 lines, too many to name: metrics.csv beside each network has them." in make_page(many)
    assert "too many to name" not in full


def test_why_the_contamination_check_says_so_wraps(full: str) -> None:
    assert '<table class="why">' in full.split('id="contamination"')[1].split("</section>")[0]
    assert re.search(r"table\.why td:last-child[^}]*white-space: normal", full)


def test_that_the_true_sound_was_not_vocoded_is_a_choice_of_the_config() -> None:
    assert "export.audio is not all" in why_missing([], "vocoded_true", "pearson_r")


def test_equal_input_gives_equal_page(full: str) -> None:
    assert full == make_page(make_extras(), simulated=True)


def test_a_short_test_has_two_decimals_and_no_row_of_dashes() -> None:
    folds = [make_fold(k) for k in range(2)]
    document = score(folds, CONFIG, ChanceConfig(), RunContext({"simulated": False}))
    r = document["summary"]["model"]["pearson_r"]
    assert document["summary"]["mean_template"]["mse"] is None
    table, head = view_scores.scores(document).table, view_scores.head(document, share=False)
    assert [row[0] for row in table.rows] == ["Model", "Ridge regression", "Mean spectrum"]
    assert table.rows[0][1] == head.tiles[0].value == f"{r:.2f}"
    of_fold = document["subjects"]["sub1"]["folds"][0]["scores"]["model"]["pearson_r"]
    assert view_scores.subjects(document, tested=True).folds.rows[0][5] == f"{of_fold:.2f}"
    null = document["summary"]["chance"]["pearson_r_without_drift"]
    drawn = view_chance.chance(document, summary=False)
    assert drawn.table
    assert drawn.table.rows[0][1] == f"{null:.2f}"
    assert f"({null:.2f}, p" in drawn.pictures[0].caption
    for fold in document["subjects"]["sub1"]["folds"]:
        fold["duration_s"] = 600.0
    assert view_scores.scores(document).table.rows[0][1] == f"{r:.3f}"
    assert view_scores.subjects(document, tested=True).folds.rows[0][5] == f"{of_fold:.3f}"


def test_that_no_sound_was_made_is_said_once() -> None:
    folds = [replace(fold, blocks=(replace(fold.blocks[0], sound=None),)) for fold in map(make_fold, range(2))]
    document = score(folds, CONFIG, ChanceConfig(), RunContext({"simulated": False}))
    found = report_html(document, folds, ReportExtras(), CONFIG.model_copy(update={"report_examples": 2}))
    assert found.count("<h3>sub1, fold") == 2
    assert found.count("Sound is missing: none was made: export.audio: predicted") == 1


@pytest.mark.parametrize(
    ("ci95", "spread", "text"),
    [
        ([0.1, 0.2], [0.0, 0.3], "95 % 0.100 to 0.200"),
        (None, [0.0, 0.3], "folds 0.000 to 0.300"),
        (None, None, "no interval"),
    ],
)
def test_without_an_interval_the_spread_over_folds_is_called_so(
    ci95: list[float] | None, spread: list[float] | None, text: str
) -> None:
    assert ci_text(ci95, spread) == text


def test_page_of_a_model_without_a_score() -> None:
    """A constant model, no events, no sound: still a page, without NaN."""
    fold = make_fold()
    block = replace(fold.blocks[0], predictions={"model": np.zeros((FRAMES, 8), np.float32)}, events=(), sound=None)
    folds = [replace(fold, blocks=(block,))]
    document = score(folds, CONFIG, ChanceConfig(), RunContext({}))
    html = report_html(document, folds, ReportExtras(), CONFIG)
    assert not re.search(r"\bnan\b", re.sub(r"data:[^\"]*", "", html), re.IGNORECASE)
    assert "constant" in html


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("frames", [[1], [10], [172] * 6, [3, 900]])
def test_short_recordings_still_give_a_page(frames: list[int]) -> None:
    whole = make_fold().blocks[0]
    blocks = tuple(
        replace(
            whole, recording=f"rec{k}", session="one", times_s=whole.times_s[:n], target=whole.target[:n],
            bad=whole.bad[:n],
            predictions={name: mel[:n] for name, mel in whole.predictions.items() if mel is not None},
            events=tuple(e for e in whole.events if e.onset_s < n / RATE_HZ), sound=None,
        )
        for k, n in enumerate(frames)
    )  # fmt: skip
    folds = [replace(make_fold(), blocks=blocks)]
    document = score(folds, CONFIG, ChanceConfig(), RunContext({}))
    assert Page(report_html(document, folds, ReportExtras(), CONFIG)).open == []
    assert (document["summary"]["chance"]["p_value"] is None) == (len(frames) < 6), "six trials exchange partners"


# -- leak audit -----------------------------------------------------------------------------------


def test_clean_split_passes_with_its_smallest_gap() -> None:
    found = audit_spans(
        {
            "train": [Span("r1", "neural", 0, 1000, 100.0), Span("r1", "neural", 2000, 3000, 100.0)],
            "validation": [Span("r1", "neural", 1100, 1500, 100.0)],
            "test": [Span("r1", "neural", 1550, 1900, 100.0), Span("r2", "neural", 0, 3000, 100.0)],
        }
    )
    assert found.passed
    assert (found.repeated_stimuli, found.repeated_words) == (0, 0), "samples tell of no stimuli"
    assert found.smallest_gap_s == pytest.approx(0.5)
    assert found.pairs["train/validation"].smallest_gap_s == pytest.approx(1.0)
    assert found.pairs["train/test"].smallest_gap_s == pytest.approx(1.0)


def test_deliberate_leak_is_counted_and_refused() -> None:
    """Windows dealt out at random overlap: the audit counts each shared sample once."""
    rng = np.random.default_rng(0)
    starts = np.arange(0, 5000, 10)
    role = rng.integers(0, 3, len(starts))
    spans = {
        name: [Span("r", "audio", int(s), int(s) + 100, 16000.0) for s in starts[role == k]]
        for k, name in enumerate(("train", "validation", "test"))
    }
    found = audit_spans(spans)
    seen = {name: {n for s in own for n in range(s.start, s.stop)} for name, own in spans.items()}
    assert found.pairs["train/test"].shared_samples == len(seen["train"] & seen["test"])
    assert found.pairs["train/validation"].shared_samples == len(seen["train"] & seen["validation"])
    with pytest.raises(InputError, match="raw samples seen by both roles") as caught:
        refuse_leak(found, "windows.h5")
    assert len(caught.value.problems) == 3


def test_a_leak_of_an_inner_fold_is_a_leak_of_its_fold() -> None:
    test = [Span("r", "neural", 200, 300, 100.0)]
    clean = audit_spans({"train": [Span("r", "neural", 0, 150, 100.0)], "test": test})
    leaky = audit_spans({"train": [Span("r", "neural", 0, 207, 100.0)], "test": test})
    found = audit_inner_folds([clean, leaky])
    assert (found.passed, found.shared_samples, found.smallest_gap_s) == (False, 7, -0.07)
    with pytest.raises(InputError, match=r"train/test, inner fold 1\]: got 7 raw samples"):
        refuse_leak(found, "windows.h5")
    assert audit_inner_folds([clean, clean]).passed


def test_one_shared_sample_is_a_leak() -> None:
    found = audit_spans({"train": [Span("r", "neural", 0, 101, 100.0)], "test": [Span("r", "neural", 100, 200, 100.0)]})
    assert (found.shared_samples, found.smallest_gap_s) == (1, pytest.approx(-0.01))
    touching = audit_spans(
        {"train": [Span("r", "neural", 0, 100, 100.0)], "test": [Span("r", "neural", 100, 200, 100.0)]}
    )
    assert (touching.shared_samples, touching.smallest_gap_s) == (0, 0.0)


def test_neural_and_audio_are_different_samples() -> None:
    found = audit_spans({"train": [Span("r", "neural", 0, 100, 100.0)], "test": [Span("r", "audio", 0, 100, 100.0)]})
    assert found.passed
    assert found.smallest_gap_s is None
