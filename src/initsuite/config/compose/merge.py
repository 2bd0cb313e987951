"""The configurations of many jobs at once: each distinct choice is composed once, the rest is merged as plain data.

A choice that changes only one part of the tree, whatever the others are, need not be composed again with each of them.
Choices that overlap are composed together. If it is unknown what a choice changes, Hydra composes each job, which is
slower and gives the same result.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from initsuite.config.compose.hydra_files import Composer, Effect
from initsuite.config.trees import ABSENT, Path, Tree, get, is_reference, outermost, overlap, put, references

Overrides = tuple[str, ...]
Trees = dict[Overrides, Tree | Exception]
"""The unresolved configuration of each job, or the error that Hydra raised."""
ERRORS = (HydraException, OmegaConfBaseException, ValueError)
"""What Hydra raises for overrides that do not compose; ValueError for `GROUP=null`."""
CHECKED = 3
"""Jobs of a merged sweep that Hydra composes as well, to compare; spread over the parts of a sweep in parts."""


def unresolved(composer: Composer, jobs: Sequence[Overrides], checked: int = CHECKED) -> Trees:
    """The configurations of distinct jobs, interpolations unresolved; `checked` of the merged ones are compared."""
    axes = _axes(jobs)
    if not axes or sum(map(len, axes.values())) >= len(jobs):
        return {job: _tree(composer, job) for job in jobs}
    base = _first_that_composes(composer, jobs, axes)
    if isinstance(base, Exception):
        return dict.fromkeys(jobs, base)
    places = _places(composer, axes, *base)
    if places is None:
        return {job: _tree(composer, job) for job in jobs}
    if entangled := [axis for axis in axes if axis not in places]:
        return _in_parts(composer, jobs, entangled, checked)
    merged = _Merger(composer, *base, places).merge(jobs)
    if merged is None or not _agrees(composer, merged, checked):
        return {job: _tree(composer, job) for job in jobs}
    return merged


def _axes(jobs: Sequence[Overrides]) -> dict[int, list[str]]:
    """Positions at which the jobs differ, with the distinct overrides there; empty if their keys are not the same."""
    if len({tuple(text.partition("=")[0] for text in job) for job in jobs}) != 1:
        return {}
    columns = {position: list(dict.fromkeys(texts)) for position, texts in enumerate(zip(*jobs, strict=True))}
    return {position: texts for position, texts in columns.items() if len(texts) > 1}


def _tree(composer: Composer, job: Overrides) -> Tree | Exception:
    try:
        return OmegaConf.to_container(composer.compose(job), resolve=False)  # type: ignore[return-value]
    except ERRORS as error:
        return error


def _first_that_composes(
    composer: Composer, jobs: Sequence[Overrides], axes: dict[int, list[str]]
) -> tuple[Overrides, Tree] | Exception:
    """A job to start from, with its tree: the first, else one that shares no choice with those tried so far."""
    errors, known = list[Exception](), set(jobs)
    for index in range(max(map(len, axes.values()))):
        job = _replaced(jobs[0], {axis: texts[min(index, len(texts) - 1)] for axis, texts in axes.items()})
        if job in known:
            tree = _tree(composer, job)
            if isinstance(tree, dict):
                return job, tree
            errors.append(tree)
    return errors[0]


def _replaced(job: Overrides, choice: dict[int, str]) -> Overrides:
    return tuple(choice.get(position, text) for position, text in enumerate(job))


def _places(composer: Composer, axes: dict[int, list[str]], base: Overrides, tree: Tree) -> dict[int, Path] | None:
    """The part of the tree that each axis may change; axes that may change anything are left out.

    Returns:
        None if values are merged over interpolations, which Hydra follows while it composes.
    """
    files = composer.files_of(base)
    effects = {axis: [composer.effect(text) for text in texts] for axis, texts in axes.items()}
    if files is None:
        return {axis: path for axis, path in _paths(effects).items() if not effects[axis][0].files}
    written = [*files, *(file for group in effects.values() for effect in group for file in effect.files)]
    followed = {path for file in written for path, value in file.items() if is_reference(value)} | set(references(tree))
    deeper = {path for file in written for path in file}
    if any(path[:length] in followed for path in deeper for length in range(1, len(path))):
        return None
    return {
        axis: path
        for axis, path in _paths(effects).items()
        if not any(path[:length] in followed for length in range(1, len(path)))
        and not (path in followed and any(_is_container(text) for text in axes[axis]))
    }


def _paths(effects: dict[int, list[Effect]]) -> dict[int, Path]:
    """The path of each axis whose choices all have one."""
    found = {axis: [effect.path for effect in group] for axis, group in effects.items()}
    return {axis: paths[0] for axis, paths in found.items() if paths[0] is not None and None not in paths}


def _is_container(text: str) -> bool:
    return text.partition("=")[2].lstrip().startswith(("{", "["))


def _in_parts(composer: Composer, jobs: Sequence[Overrides], axes: Sequence[int], checked: int) -> Trees:
    """Compose the jobs that agree in the choices that may change anything, one such part at a time."""
    parts: dict[Overrides, list[Overrides]] = {}
    for job in jobs:
        parts.setdefault(tuple(job[axis] for axis in axes), []).append(job)
    trees: Trees = {}
    for place, part in enumerate(parts.values()):  # the checks are spread evenly over the parts
        number = checked * (place + 1) // len(parts) - checked * place // len(parts)
        trees |= unresolved(composer, part, number)
    return {job: trees[job] for job in jobs}


def _agrees(composer: Composer, merged: Trees, number: int) -> bool:
    """Whether Hydra composes a few of the jobs to the same trees: a guard beside the reasoning above."""
    jobs = [job for job, tree in merged.items() if isinstance(tree, dict)]
    picked = jobs[:: -max(1, len(jobs) // number)][:number] if number else []
    return all(OmegaConf.to_container(composer.by_hydra(job), resolve=False) == merged[job] for job in picked)


class _Merger:
    """Merges choices into the tree of a base job; those whose places overlap are composed together."""

    def __init__(self, composer: Composer, base: Overrides, tree: Tree, places: dict[int, Path]) -> None:
        self.composer, self.base, self.tree = composer, base, tree
        self.clusters = _clusters(places)
        self._parts: dict[tuple[int, Overrides], dict[Path, object] | Exception | None] = {}

    def merge(self, jobs: Sequence[Overrides]) -> Trees | None:
        """The tree of each job; None if a choice changes more than its place."""
        trees: Trees = {}
        for job in jobs:
            tree = self.tree
            for cluster, (axes, _) in enumerate(self.clusters):
                part = self._part(cluster, _replaced(self.base, {axis: job[axis] for axis in axes}))
                if part is None:
                    return None
                if isinstance(part, Exception):
                    trees[job] = part
                    break
                for path, value in part.items():
                    tree = put(tree, path, value)
            else:
                trees[job] = tree
        return trees

    def _part(self, cluster: int, job: Overrides) -> dict[Path, object] | Exception | None:
        """The values at the places of a cluster, in a job that differs from the base in its choices only."""
        if (cluster, job) not in self._parts:
            self._parts[cluster, job] = self._shared_part(cluster, job)
        return self._parts[cluster, job]

    def _shared_part(self, cluster: int, job: Overrides) -> dict[Path, object] | Exception | None:
        """The same, composed once for all parts of a sweep in which the choices of the base have the same values at the
        places of the cluster: what else writes there would be seen in these."""
        axes, places = self.clusters[cluster]
        choices = tuple((self.base[axis], job[axis]) for axis in axes)
        key = choices, repr([(place, get(self.tree, place)) for place in places])
        if key in self.composer.known_parts:
            return self.composer.known_parts[key]
        tree = self.tree if job == self.base else _tree(self.composer, job)
        part = tree if isinstance(tree, Exception) else self._difference(tree, places)
        if isinstance(part, dict):
            self.composer.known_parts[key] = part
        return part

    def _difference(self, tree: Tree, places: list[Path]) -> dict[Path, object] | None:
        part = {place: get(tree, place) for place in places}
        expected = self.tree
        for place, value in part.items():
            expected = put(expected, place, value)
        if expected != tree:
            return None
        return {
            place: value for place, value in part.items() if value is not ABSENT or get(self.tree, place) is not ABSENT
        }


def _clusters(places: dict[int, Path]) -> list[tuple[list[int], list[Path]]]:
    """Axes whose places overlap, together; with the outermost of their places."""
    clusters: list[list[int]] = []
    for axis, path in places.items():
        meets = [cluster for cluster in clusters if any(overlap(path, places[other]) for other in cluster)]
        clusters = [cluster for cluster in clusters if cluster not in meets]
        clusters.append([*(other for cluster in meets for other in cluster), axis])
    return [(cluster, outermost(places[axis] for axis in cluster)) for cluster in clusters]
