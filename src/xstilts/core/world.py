"""What a plan depends on besides the Study, and how the names in a Study are looked up in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from xstilts.api.study import PretrainingSpec, Reuse, StageKind, StudySpec
from xstilts.core.catalogue import ENGLISH, TEXT_SPLIT, Source, TaskSpec
from xstilts.core.errors import UserError
from xstilts.core.manifests import DatasetManifest, Split


@dataclass(frozen=True, kw_only=True)
class World:
    """All that was resolved from outside."""

    tasks: Mapping[str, TaskSpec]
    datasets: Mapping[str, DatasetManifest]
    model_digest: str
    versions: Mapping[StageKind, int]
    """Version of each stage's code, raised when its numbers change."""


class TrainingData(NamedTuple):
    """What a task is trained and selected on, in English."""

    task: TaskSpec
    train: Split
    dev: Split


@dataclass(frozen=True)
class Lookup:
    """Finds tasks and splits for the fields of a Study; errors name the field and the way out."""

    spec: StudySpec
    world: World

    def __post_init__(self) -> None:
        if self.spec.reuse is not Reuse.ALWAYS:
            raise UserError(f"spec.reuse: this version reuses results by stage key only; write {Reuse.ALWAYS}")

    def pretraining_text(self, pretraining: PretrainingSpec) -> list[Split]:
        """Plain text, one split a language: those asked for, else all that are there."""
        path, source = "pretraining.data", Source(pretraining.data, TEXT_SPLIT)
        dataset = self._dataset(path, source)
        languages = pretraining.languages or sorted(s.language for s in dataset.splits if s.split == TEXT_SPLIT)
        if not languages:
            raise UserError(f"spec.{path}: {self._lacks(dataset, TEXT_SPLIT)} in any language")
        return [self._split("pretraining.languages", source, language) for language in languages]

    def target(self, i: int) -> TaskSpec:
        """The task of target i, which can be evaluated."""
        spec = self._task(f"targets[{i}].name", self.spec.targets[i].name)
        if spec.test is None:
            raise UserError(
                f"spec.targets[{i}].name: task {spec.name!r} is an intermediate task only: it has no test data"
            )
        return spec

    def target_data(self, i: int) -> TrainingData:
        """English training and dev data of target i."""
        target, spec = self.spec.targets[i], self.target(i)
        return self._training_data(f"targets[{i}]", spec, target.data)

    def recipe_data(self, recipe: int, i: int) -> TrainingData:
        """English training data, whole, and dev data of task i of a recipe."""
        ref = self.spec.recipes[recipe].tasks[i]
        path = f"recipes[{recipe}].tasks[{i}]"
        if ref.translation or self.spec.recipes[recipe].mlm:
            feature = f"{path}.translation" if ref.translation else f"recipes[{recipe}].mlm"
            raise UserError(f"spec.{feature}: this version trains on English task data only; remove the field")
        return self._training_data(path, self._task(f"{path}.name", ref.name), ref.data)

    def test_splits(self, i: int) -> list[Split]:
        """Evaluation data of target i, one split a language: those asked for, else all that are there."""
        target, spec = self.spec.targets[i], self.target(i)
        assert spec.test is not None
        path = f"targets[{i}].languages"
        if target.languages:
            return [self._split(path, spec.test, language) for language in target.languages]
        dataset = self._dataset(path, spec.test)
        found = [dataset.find(spec.test.split, language) for language in spec.languages]
        if not any(found):
            raise UserError(f"spec.{path}: {self._lacks(dataset, spec.test.split)} in any language of {spec.name!r}")
        return [split for split in found if split]

    def _task(self, path: str, name: str) -> TaskSpec:
        spec = self.world.tasks.get(name)
        if spec is None:
            raise UserError(f"spec.{path}: unknown task {name!r}; known tasks: {', '.join(sorted(self.world.tasks))}")
        return spec

    def _training_data(self, path: str, spec: TaskSpec, data: str | None) -> TrainingData:
        if spec.train is None or spec.dev is None:
            raise UserError(f"spec.{path}.name: task {spec.name!r} is never trained: it has no English training data")
        train, dev = (Source(data or source.dataset, source.split) for source in (spec.train, spec.dev))
        return TrainingData(spec, self._split(path, train, ENGLISH), self._split(path, dev, ENGLISH))

    def _split(self, path: str, source: Source, language: str) -> Split:
        dataset = self._dataset(path, source)
        split = dataset.find(source.split, language)
        if split is None:
            raise UserError(f"spec.{path}: {self._lacks(dataset, source.split)} in {language!r}")
        return split

    def _dataset(self, path: str, source: Source) -> DatasetManifest:
        dataset = self.world.datasets.get(source.dataset)
        if dataset is None:
            raise UserError(
                f"spec.{path}: data set {source.dataset!r} is not in the store; "
                f"import it with: xstilts data import {source.dataset} --from FOLDER"
            )
        return dataset

    @staticmethod
    def _lacks(dataset: DatasetManifest, split: str) -> str:
        there = ", ".join(f"{s.split}.{s.language}" for s in dataset.splits)
        return f"data set {dataset.name!r} (which has {there}) has no split {split!r}"
