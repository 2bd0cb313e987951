"""The resolved configurations of the jobs of a sweep: interpolations that see the same values are resolved once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import OmegaConf

from initsuite.config.compose.hydra_files import Composer
from initsuite.config.compose.merge import ERRORS, Overrides, unresolved
from initsuite.config.trees import ABSENT, REFERENCE, Path, Tree, get, put, references

CONSTANT = re.compile(r"\$\{(?:oc\.env|now):[^${}]*\}")
"""An interpolation that is the same for all jobs of a sweep."""


@dataclass(frozen=True)
class Composed:
    """A job of a sweep: its overrides, and its resolved configuration or the error that Hydra raised."""

    overrides: Overrides
    tree: Tree | None = None
    error: Exception | None = None


def compose_jobs(composer: Composer, jobs: Sequence[Sequence[str]], first_index: int = 0) -> list[Composed]:
    """Compose and resolve the jobs of a sweep, exactly as Hydra would.

    Args:
        jobs: the overrides of each.
        first_index: the number of the first job in its sweep.
    """
    overrides = [tuple(job) for job in jobs]
    trees = unresolved(composer, list(dict.fromkeys(overrides)))
    resolver = Resolver(composer)
    return [resolver.resolve(job, trees[job], first_index + index) for index, job in enumerate(overrides)]


class Resolver:
    """Resolves interpolations: those that name other keys once for each set of values that they see."""

    def __init__(self, composer: Composer) -> None:
        self.composer = composer
        self._known: dict[str, dict[Path, object]] = {}

    def resolve(self, job: Overrides, tree: Tree | Exception, index: int) -> Composed:
        """The job with its configuration, or with what is wrong with it."""
        if isinstance(tree, Exception):
            return Composed(job, error=tree)
        try:
            return Composed(job, self._resolved(job, tree, index))
        except ERRORS as error:
            return Composed(job, error=error)

    def _resolved(self, job: Overrides, tree: Tree, index: int) -> Tree:
        found = references(tree)
        if not found:
            return tree
        if any("hydra" in str(value) for value in found.values()):
            return self.composer.resolve_with_hydra(job, index)
        names = REFERENCE.findall(str(found))
        seen = {name: get(tree, tuple(name.split("."))) for name in names}
        if "${" in CONSTANT.sub("", REFERENCE.sub("", str(found))) or ABSENT in seen.values():
            return self._whole(job)
        key = repr((found, seen))
        if key not in self._known:
            whole = self._whole(job)
            self._known[key] = {path: get(whole, path) for path in found}
        for path, value in self._known[key].items():
            tree = put(tree, path, value)
        return tree

    def _whole(self, job: Overrides) -> Tree:
        return OmegaConf.to_container(self.composer.compose(job), resolve=True)  # type: ignore[return-value]
