"""What the stage ensemble says of networks that are not of one model."""

from __future__ import annotations

from pipeline.stages.ensemble import _differences


def test_of_two_sections_the_keys_that_differ_are_named() -> None:
    got = {"train": {"lr": 0.002, "seed": 0, "folds": [1, 2]}, "causal": False}
    expected = {"train": {"lr": 0.001, "seed": 0}, "causal": True}
    assert list(_differences("config", got, expected)) == [
        ("config.causal", False, True), ("config.train.folds", [1, 2], None), ("config.train.lr", 0.002, 0.001)
    ]  # fmt: skip
    assert not list(_differences("config", got, got))
