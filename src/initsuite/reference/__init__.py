"""Answers without training, from results of `experiment=article` that ship with the package."""

from initsuite.reference.answer import Answer, recommend

__all__ = ["Answer", "recommend"]
