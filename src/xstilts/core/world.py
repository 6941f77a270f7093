"""What a plan depends on besides the Study, and how the names in a Study are looked up in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xstilts.api.study import PretrainingSpec, Reuse, StageKind, StudySpec
from xstilts.core.catalogue import ENGLISH, TEXT_SPLIT, Source, TaskSpec
from xstilts.core.encoders import UNKNOWN, Limits
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
    limits: Limits = UNKNOWN
    """Of the encoder, as far as they are known."""


class TrainingData(NamedTuple):
    """What a task is trained and selected on."""

    task: TaskSpec
    english: Split
    """Subsets are drawn from it."""
    dev: Split
    """English too."""
    translation: Split | None = None
    """The same rows in another language, to train on instead."""

    @property
    def train(self) -> Split:
        return self.translation or self.english


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
        return self._text("pretraining", "data", pretraining.data, pretraining.languages)

    def recipe_text(self, recipe: int) -> list[Split]:
        """The same for the stream beside the tasks of a recipe; none where it has no stream."""
        mlm = self.spec.recipes[recipe].mlm
        return self._text(f"recipes[{recipe}].mlm", "dataset", mlm.dataset, mlm.languages) if mlm else []

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
        """Training data, whole, and dev data of task i of a recipe; its translation too where one is asked for."""
        ref = self.spec.recipes[recipe].tasks[i]
        path = f"recipes[{recipe}].tasks[{i}]"
        data = self._training_data(path, self._task(f"{path}.name", ref.name), ref.data)
        if ref.translation is None:
            return data
        return data._replace(translation=self._translation(f"{path}.translation", data.english, ref.translation))

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

    def dev_splits(self, i: int) -> list[Split]:
        """For each of `test_splits` the same data set's dev split in that language; itself where there is none."""
        spec = self.target(i)
        return [self._dev_split(i, spec, test) for test in self.test_splits(i)]

    def _dev_split(self, i: int, spec: TaskSpec, test: Split) -> Split:
        if spec.train is None and spec.dev:  # without it there is no threshold
            return self._split(f"targets[{i}].languages", spec.dev, test.language)
        return self.world.datasets[test.dataset].find("dev", test.language) or test

    def _text(self, path: str, field: str, name: str, asked: Sequence[str] | None) -> list[Split]:
        source = Source(name, TEXT_SPLIT)
        dataset = self._dataset(f"{path}.{field}", source)
        languages = asked or self._languages(dataset, TEXT_SPLIT)
        if not languages:
            raise UserError(f"spec.{path}.{field}: {self._lacks(dataset, TEXT_SPLIT)} in any language")
        return [self._split(f"{path}.languages", source, language) for language in languages]

    def _translation(self, path: str, english: Split, language: str) -> Split:
        """The same rows in another language."""
        dataset = self.world.datasets[english.dataset]
        there = [other for other in self._languages(dataset, english.split) if other != ENGLISH]
        if language not in there:
            raise UserError(
                f"spec.{path}: data set {dataset.name!r} has no translation of split {english.split!r} into "
                f"{language!r}, only into {', '.join(there) or 'no language'}; write one of these, or import it with: "
                f"xstilts data import {dataset.name} --from FOLDER"
            )
        translated = self._split(path, Source(english.dataset, english.split), language)
        if translated.rows != english.rows:
            raise UserError(
                f"spec.{path}: {translated.ref} has {translated.rows} rows and {english.ref} has {english.rows}; a "
                "translation has the same rows in the same order: import such files, or remove the field"
            )
        return translated

    def _task(self, path: str, name: str) -> TaskSpec:
        spec = self.world.tasks.get(name)
        if spec is None:
            raise UserError(f"spec.{path}: unknown task {name!r}; known tasks: {', '.join(sorted(self.world.tasks))}")
        return spec

    def _training_data(self, path: str, spec: TaskSpec, data: str | None) -> TrainingData:
        if spec.train is None or spec.dev is None:
            raise UserError(f"spec.{path}.name: task {spec.name!r} is never trained: it has no English training data")
        train, dev = (Source(data or source.dataset, source.split) for source in (spec.train, spec.dev))
        return TrainingData(spec, self._split(path, train, ENGLISH), dev=self._split(path, dev, ENGLISH))

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
    def _languages(dataset: DatasetManifest, split: str) -> list[str]:
        return sorted(s.language for s in dataset.splits if s.split == split)

    @staticmethod
    def _lacks(dataset: DatasetManifest, split: str) -> str:
        there = ", ".join(f"{s.split}.{s.language}" for s in dataset.splits)
        return f"data set {dataset.name!r} (which has {there}) has no split {split!r}"
