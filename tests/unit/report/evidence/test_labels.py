"""Distinct names for cells and contexts."""

from __future__ import annotations

from initsuite.report.evidence.labels import distinct_labels


def test_names_without_a_difference_get_their_id() -> None:
    assert distinct_labels(["he", "he"], [{}, {}], ["abcdef12", "123456ab"]) == ["he (abcdef)", "he (123456)"]
    assert distinct_labels(["he", "zero"], [{"gain": 1}, None], ["a", "b"]) == ["he", "zero"]
    three = distinct_labels(["he"] * 3, [{"gain": 1}, {"gain": 1}, {"gain": 2}], ["a", "b", "c"])
    assert three == ["he (gain=1) a", "he (gain=1) b", "he (gain=2)"]
