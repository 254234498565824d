"""channels.tsv and electrodes.tsv on their way through the stages: which shaft and region a channel has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from entry import Lab, stage_config
from pipeline.artifacts.aligned import aligned_trials, feature_columns, read_features
from pipeline.doctor.command import session_text, settings_of
from pipeline.doctor.recordings import Examined, examine
from pipeline.evaluation.importance import channel_groups
from pipeline.raw.bids import electrode_warnings, is_bad
from pipeline.run.plan import load_plan

#: Names whose letters are no shaft: the letters put all four channels of the array on one.
CHANNELS = "name\ttype\tgroup\ne1\tSEEG\tleft\ne2\tSEEG\tleft\ne3\tSEEG\tright\ne4\tSEEG\tright\n"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lab:
    folder = tmp_path / "work"
    folder.mkdir()
    return Lab(folder, monkeypatch, capsys)


def with_table(lab: Lab, column: str, text: str) -> None:
    (lab.folder / f"{column}.tsv").write_text(text)
    lab.cell(**{column: f"{column}.tsv"})


def aligned(lab: Lab, reference: str) -> Path:
    """The first recording through ingest and align."""
    assert lab.ingest().code == 0
    config = stage_config("align", f"align: {{reference: {reference}}}")
    outcome = lab.script("align", config, "--recording", "out.h5", "--output", "aligned.h5")
    assert outcome.code == 0, outcome.errors
    return lab.folder / "aligned.h5"


def examined(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Examined:
    """The first recording as the doctor sees it."""
    monkeypatch.chdir(lab.folder)
    plan = load_plan(Path(), [Path("my.yaml")], [], is_job=False)
    return examine(next(iter(plan.sessions.values())), settings_of(plan))


def _features(path: Path) -> np.ndarray:
    return next(read_features(path, ["run1"]))


def column_names(reference: str, lab: Lab) -> list[str]:
    """Referenced channels, without the bands that the features add to their names."""
    return list(dict.fromkeys(name.split()[0] for name in feature_columns(aligned(lab, reference))))


def test_the_group_of_the_channel_table_is_the_shaft(lab: Lab) -> None:
    with_table(lab, "channels", CHANNELS)
    assert column_names("bipolar", lab) == ["e1-e2", "e3-e4"]


@pytest.mark.parametrize("reference", ["shaft", "laplacian"])
def test_two_channels_of_a_shaft_are_referred_to_each_other(lab: Lab, reference: str) -> None:
    """Then one is minus the other, and their envelopes are the same."""
    with_table(lab, "channels", CHANNELS)
    features = _features(aligned(lab, reference)).reshape(-1, 4)
    np.testing.assert_allclose(features[:, 0], features[:, 1], rtol=1e-3)
    np.testing.assert_allclose(features[:, 2], features[:, 3], rtol=1e-3)
    assert not np.allclose(features[:, 0], features[:, 2], rtol=0.1)


def test_a_channel_without_a_group_goes_by_its_letters(lab: Lab) -> None:
    with_table(lab, "channels", "name\tgroup\nLA1\tn/a\nLA2\t\n1\tright\n2\tright\n")
    assert column_names("bipolar", lab) == ["LA1-LA2", "1-2"]


def test_a_shaft_reference_needs_no_contact_number_where_the_group_is_named(lab: Lab) -> None:
    with_table(lab, "channels", "name\tgroup\ntip\tleft\nbase\tleft\nLA1\tn/a\nLA2\tn/a\n")
    assert column_names("shaft", lab) == ["tip", "base", "LA1", "LA2"]


def test_the_fix_that_the_error_names_works(lab: Lab) -> None:
    with_table(lab, "channels", "name\n1\n2\n3\n4\n")
    assert lab.ingest().code == 0
    config = stage_config("align", "align: {reference: bipolar}")
    refused = lab.script("align", config, "--recording", "out.h5", "--output", "aligned.h5")
    assert refused.code == 2
    assert "column group of channels.tsv" in refused.errors
    with_table(lab, "channels", "name\tgroup\n1\tL\n2\tL\n3\tR\n4\tR\n")
    assert column_names("bipolar", lab) == ["1-2", "3-4"]


def test_importance_goes_by_the_group_too(lab: Lab) -> None:
    with_table(lab, "channels", CHANNELS)
    path = aligned(lab, "none")
    groups = channel_groups(["e1", "e2", "e3", "e4"], aligned_trials(path)[0])
    assert groups["shaft"] == {"left": [0, 1], "right": [2, 3]}
    assert channel_groups(["e1-e2", "e3-e4"], aligned_trials(path)[0])["shaft"] == {"left": [0], "right": [1]}


def test_the_doctor_refers_as_align_does(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(lab, "channels", CHANNELS)
    lab.settings("align: {reference: bipolar, features: [{kind: signal}]}")
    found = examined(lab, monkeypatch)
    assert (found.problems, found.n_columns) == ([], 2)


# --- electrodes that are no channels -------------------------------------------------------------------


def electrodes(*names: str) -> str:
    return "name\tx\ty\tz\tregion\n" + "".join(f"{name}\t1\t2\t3\tSTG\n" for name in names)


def test_electrodes_and_channels_without_each_other_are_named(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(lab, "channels", "name\nLA1\nLA2\nLA3\nREF\n")
    with_table(lab, "electrodes", electrodes("LA1", "LA2", "la03", "RB1"))
    printed = (
        "2 of 4 electrodes match no channel: la03 (LA3?), RB1",
        "2 of 4 channels have no electrode, hence no position or region: LA3, REF",
    )
    outcome = lab.ingest()
    assert outcome.code == 0
    found = examined(lab, monkeypatch)
    assert found.warnings == list(printed)
    for text in printed:
        assert text in outcome.errors
        assert f"  ! {text}" in session_text(found)


def test_a_long_list_of_names_is_cut_and_counted() -> None:
    more = [f"RB{i}" for i in range(1, 20)]
    (printed,) = electrode_warnings(["LA1"], ["LA1", *more])
    assert printed == "19 of 20 electrodes match no channel: RB1, RB2, RB3, RB4, RB5 …"


def test_tables_that_agree_are_not_spoken_of(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with_table(lab, "channels", "name\nLA1\nLA2\nLA3\nLA4\n")
    with_table(lab, "electrodes", electrodes("LA4", "LA3", "LA2", "LA1"))
    assert "electrode" not in lab.ingest().errors
    assert examined(lab, monkeypatch).warnings == []


@pytest.mark.parametrize(
    ("channels", "names", "fix"),
    [
        ("name\nLA1\nLA2\nLA3\nLA4\n", ("la01", "la02"), "la01 → LA1, la02 → LA2"),
        ("name\nLA1\nLA2\nLA3\nLA4\n", ("9", "8"), "the electrodes of this recording"),
        (None, ("LA1", "LA2"), "name the channel table in the column channels"),
    ],
)
def test_electrodes_of_which_none_is_a_channel_are_refused(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, channels: str | None, names: tuple[str, ...], fix: str
) -> None:
    if channels:
        with_table(lab, "channels", channels)
    with_table(lab, "electrodes", electrodes(*names))
    for outcome in (lab.main(), lab.ingest()):
        assert outcome.code == 2
        assert f"electrodes.tsv[name]: got 2 electrodes, none with the name of a channel: {names[0]}" in outcome.errors
        assert fix in outcome.errors
    assert len(examined(lab, monkeypatch).problems) == 1


@pytest.mark.parametrize(
    ("text", "bad"), [("BAD_cough", True), ("bad seizure", True), ("Bad", True), ("not bad", False), ("", False)]
)
def test_an_annotation_that_begins_with_bad_marks_spoilt_time(text: str, bad: bool) -> None:
    assert is_bad(text) == bad
