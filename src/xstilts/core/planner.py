"""Expands a Study into trials and the stages that they share. Pure: no I/O, no clock, no randomness.

Called by the CLI, the engines and the tests alike. The `World` holds all that was resolved from outside; equal studies
in equal worlds give equal plans, and a change gives other keys to exactly the stages that it reaches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from xstilts.api.study import BASELINE, FULL, PRETRAINING, Budget, Recipe, StageKind, Study, TargetRef, TaskRef
from xstilts.api.training import TrainingSettings
from xstilts.api.trial import Point
from xstilts.core import cost
from xstilts.core.catalogue import TaskSpec
from xstilts.core.configs import (
    BASE_CHECKPOINT,
    EvaluationConfig,
    InferenceSettings,
    PretrainingConfig,
    ScalingConfig,
    StageConfig,
    SubsetRequest,
    TaskTraining,
    TextStream,
    TrainingConfig,
    unused_settings,
)
from xstilts.core.errors import UserError
from xstilts.core.keys import model_address, stage_address, stage_key
from xstilts.core.plan import NotApplicable, Plan, PlannedStage, Trial
from xstilts.core.results import ORACLE
from xstilts.core.sampling import apportion, mixture_weights
from xstilts.core.scaling import resolve_size
from xstilts.core.world import Lookup, TrainingData, World


def plan(study: Study, world: World) -> Plan:
    """Every wanted (recipe, size, subset seed, seed, budget, target) once, after collapsing what is equal.

    Raises UserError, naming the field of the Study, for unknown tasks, missing data, languages without data, sizes
    that a recipe asks for by itself and does not have, and features that this version does not run.
    """
    return _Planner(study, world, Lookup(study.spec, world)).plan()


_LAST = "last"
_KEPT = ("averaged", "best", "last")
"""Checkpoints of a training stage on tasks."""


class _Base(NamedTuple):
    """The encoder that every trial starts from, and which checkpoint of it."""

    address: str
    checkpoint: str


class _Share(NamedTuple):
    """One task's part in a point of a recipe."""

    ref: TaskRef
    data: TrainingData
    weight: int
    rows: int


@dataclass
class _Planner:
    study: Study
    world: World
    lookup: Lookup
    stages: dict[str, PlannedStage] = field(default_factory=dict)
    not_applicable: list[NotApplicable] = field(default_factory=list)

    def plan(self) -> Plan:
        base = self._base()
        trials = tuple(self._trial(point, recipe, base) for point, recipe in self._points())
        return Plan(
            study=self.study.metadata.name,
            experiment=self.study.experiment,
            model=self._model,
            protocols=self._protocols,
            selected={target.name: self._selected(i) for i, target in enumerate(self.study.spec.targets)},
            trials=trials,
            stages=self.stages,
            not_applicable=tuple(self.not_applicable),
            naive=self._count_naive(),
        )

    # ---- the axes

    @property
    def _model(self) -> str:
        return model_address(self.world.model_digest)

    def _points(self) -> Iterator[tuple[Point, int | None]]:
        """Points with the index of their recipe; the baseline once for all recipes."""
        spec = self.study.spec
        sizes = [recipe.sizes or spec.sizes for recipe in spec.recipes] or [spec.sizes]
        if any("0" in own for own in sizes):
            yield from ((Point(recipe=BASELINE, size="0", rows=0, seed=seed), None) for seed in spec.seeds)
        for index, recipe in enumerate(spec.recipes):
            for size, rows, is_full in self._sizes_of(index, recipe):
                subset_seeds = (None,) if is_full else spec.subset_seeds
                for subset_seed in subset_seeds:
                    for budget in spec.budgets or (None,):
                        for seed in spec.seeds:
                            point = Point(
                                recipe=recipe.name,
                                size=size,
                                rows=rows,
                                subset_seed=subset_seed,
                                seed=seed,
                                budget=budget,
                            )
                            yield point, index

    def _sizes_of(self, index: int, recipe: Recipe) -> Iterator[tuple[str, int, bool]]:
        """Applicable sizes above 0 with their rows; sizes that mean the same rows are one, `full` where it is full."""
        available = sum(self.lookup.recipe_data(index, i).train.rows for i in range(len(recipe.tasks)))
        resolved: dict[int, str] = {}
        for size in recipe.sizes or self.study.spec.sizes:
            rows = resolve_size(size, available=available)
            if rows > available:
                if recipe.sizes:
                    raise UserError(
                        f"spec.recipes[{index}].sizes: {size} is more than the {available} rows that recipe "
                        f"{recipe.name!r} has; remove it, or write full"
                    )
                self.not_applicable.append(NotApplicable(recipe=recipe.name, size=size, rows=rows, available=available))
            elif rows:
                resolved[rows] = FULL if rows == available else resolved.get(rows, size)
        yield from ((size, rows, rows == available) for rows, size in resolved.items())

    def _count_naive(self) -> dict[StageKind, int]:
        """Stages when each wanted (recipe, size, subset seed, seed, budget, target) has a pipeline of its own.

        Without recipes the sizes, which are the baseline alone, count once: a grid runs it for every repeat as well.
        """
        spec = self.study.spec
        targets = len(spec.targets)
        trained = sum(self.lookup.target(i).train is not None for i in range(targets))
        left_out = {(entry.recipe, entry.size) for entry in self.not_applicable}
        cells = [
            size
            for recipe in spec.recipes
            for size in recipe.sizes or spec.sizes
            if (recipe.name, size) not in left_out
        ] or list(spec.sizes)
        repeats = len(spec.subset_seeds) * len(spec.seeds) * len(spec.budgets or (None,))
        above_zero = sum(size != "0" for size in cells)
        pretraining: dict[StageKind, int] = {"pretraining": 1} if spec.pretraining else {}  # nobody repeats that
        return pretraining | {
            "data-scaling": above_zero * repeats * targets,
            "intermediate-training": above_zero * repeats * targets,
            "target-training": len(cells) * repeats * trained,
            "evaluation": len(cells) * repeats * targets,
        }

    # ---- selection

    @cached_property
    def _protocols(self) -> tuple[str, ...]:
        """Those asked for, and those that headline scores come from."""
        asked = [protocol.lower() for protocol in self.study.spec.protocols]
        return tuple(dict.fromkeys([*asked, *(self._selected(i) for i in range(len(self.study.spec.targets)))]))

    def _selected(self, i: int) -> str:
        """Of the phase that makes the encoder which is evaluated."""
        spec, training = self.lookup.target(i), self.study.spec.training
        if spec.train is None:
            return training.intermediate.selection.lower()
        return training.target.resolve(task=spec.name, recipe=spec.settings).selection.lower()

    @cached_property
    def _checkpoints(self) -> tuple[str, ...]:
        """What is evaluated of a training stage: the oracle selects among all that are kept."""
        protocols = set(self._protocols)
        return _KEPT if ORACLE in protocols else tuple(name for name in _KEPT if name in protocols)

    # ---- before all trials

    def _base(self) -> _Base:
        """The model, or what pretraining makes of it."""
        pretraining = self.study.spec.pretraining
        if pretraining is None:
            return _Base(self._model, BASE_CHECKPOINT)
        settings = pretraining.training
        config = PretrainingConfig(
            text=TextStream(
                data=tuple(split.ref for split in self.lookup.pretraining_text(pretraining)),
                ratio="1",
                smoothing=pretraining.smoothing,
                mask_probability=pretraining.mask_probability,
            ),
            steps=pretraining.steps,
            seed=pretraining.seed,
            settings=_own(settings, (), text=True),
        )
        address = self._stage(
            "pretraining",
            config,
            {"encoder": self._model},
            PRETRAINING,
            examples=pretraining.steps * settings.batch_size * settings.gradient_accumulation,
            max_length=settings.max_length,
        )
        return _Base(address, _LAST)

    # ---- one trial

    def _trial(self, point: Point, index: int | None, base: _Base) -> Trial:
        (encoder, checkpoint), scaling, intermediate = base, None, None
        if index is not None:
            scaling = self._scaling(point, index)
            encoder, checkpoint = self._intermediate(point, index, scaling, base)
            intermediate = encoder
        trainings: dict[str, str] = {}
        evaluations: dict[str, str] = {}
        for i, target in enumerate(self.study.spec.targets):
            spec = self.lookup.target(i)
            evaluated, checkpoints = encoder, self._checkpoints if intermediate else (checkpoint,)
            if spec.train:
                evaluated = trainings[target.name] = self._target(point, i, target, encoder, checkpoint)
                checkpoints = self._checkpoints
            evaluations[target.name] = self._evaluation(point, i, target, evaluated, checkpoints)
        return Trial(
            point=point,
            pretraining=None if base.address == self._model else base.address,
            scaling=scaling,
            intermediate=intermediate,
            trainings=trainings,
            evaluations=evaluations,
        )

    def _shares(self, point: Point, index: int) -> list[_Share]:
        """The recipe's tasks with the rows that each has in this point; those without any are left out."""
        recipe = self.study.spec.recipes[index]
        data = [self.lookup.recipe_data(index, i) for i in range(len(recipe.tasks))]
        sizes = [entry.train.rows for entry in data]
        weights = mixture_weights(recipe.sampling, sizes)
        counts = apportion(point.rows, weights=weights, capacities=sizes)
        shares = (_Share(*share) for share in zip(recipe.tasks, data, weights, counts, strict=True))
        return [share for share in shares if share.rows]

    def _scaling(self, point: Point, index: int) -> str:
        subsets = tuple(
            SubsetRequest(
                task=share.data.task.name,
                task_version=share.data.task.version,
                data=share.data.english.ref,
                translation=share.data.translation.ref if share.data.translation else None,
                rows=share.rows,
            )
            for share in self._shares(point, index)
        )
        config = ScalingConfig(subsets=subsets, seed=point.subset_seed)
        return self._stage("data-scaling", config, {}, point.recipe, examples=0, max_length=0)

    def _intermediate(self, point: Point, index: int, subset: str, base: _Base) -> tuple[str, str]:
        recipe = self.study.spec.recipes[index]
        phase = self.study.spec.training.intermediate
        shares = self._shares(point, index)
        specs = [share.data.task for share in shares]
        name = specs[0].name if len(specs) == 1 else recipe.name
        settings = phase.resolve(task=name, recipe=_mixture_recipe(specs))
        tasks = tuple(
            _training(
                share.data,
                weight=share.weight if len(shares) > 1 else 1,
                loss_scale=share.ref.loss_scale,
                gradient_accumulation=share.ref.gradient_accumulation or settings.gradient_accumulation,
            )
            for share in shares
        )
        text = self._text(index)
        budget = point.budget or Budget(epochs=settings.epochs)
        config = TrainingConfig(
            tasks=tasks,
            text=text,
            checkpoint=base.checkpoint,
            budget=budget,
            seed=point.seed,
            settings=_own(settings, specs, text=text is not None),
        )
        address = self._stage(
            "intermediate-training",
            config,
            {"encoder": base.address, "subset": subset},
            point.recipe,
            examples=cost.examples(budget, rows=point.rows, tasks=tasks, settings=settings, text=text),
            max_length=settings.max_length,
        )
        return address, _selected(settings)

    def _text(self, index: int) -> TextStream | None:
        mlm = self.study.spec.recipes[index].mlm
        if mlm is None:
            return None
        return TextStream(
            data=tuple(split.ref for split in self.lookup.recipe_text(index)),
            ratio=mlm.ratio,
            smoothing=mlm.smoothing,
            mask_probability=mlm.mask_probability,
        )

    def _target(self, point: Point, i: int, target: TargetRef, encoder: str, checkpoint: str) -> str:
        spec = self.lookup.target(i)
        settings = self.study.spec.training.target.resolve(task=spec.name, recipe=spec.settings)
        data = self.lookup.target_data(i)
        tasks = (_training(data, gradient_accumulation=settings.gradient_accumulation),)
        budget = Budget(epochs=settings.epochs)
        config = TrainingConfig(
            tasks=tasks,
            checkpoint=checkpoint,
            budget=budget,
            seed=point.seed,
            settings=_own(settings, [spec], text=False),
        )
        return self._stage(
            "target-training",
            config,
            {"encoder": encoder},
            point.recipe,
            examples=cost.examples(budget, rows=data.train.rows, tasks=tasks, settings=settings),
            max_length=settings.max_length,
        )

    def _evaluation(self, point: Point, i: int, target: TargetRef, encoder: str, checkpoints: tuple[str, ...]) -> str:
        spec = self.lookup.target(i)
        splits = self.lookup.test_splits(i)
        oracle = ORACLE in self._protocols and len(checkpoints) > 1
        tuned = spec.train is None and spec.dev is not None
        dev = self.lookup.dev_splits(i) if oracle or tuned else []
        settings = self.study.spec.training.target.resolve(task=spec.name, recipe=spec.settings)
        config = EvaluationConfig(
            task=spec.name,
            task_version=spec.version,
            data=tuple(split.ref for split in splits),
            dev=tuple(split.ref for split in dev),
            checkpoints=checkpoints,
            settings=InferenceSettings(
                max_length=settings.max_length,
                doc_stride=settings.doc_stride,
                precision=settings.precision,
                threads=settings.threads,
            ),
            retrieval=None if spec.train else target.retrieval,
        )
        layer, layers = target.retrieval.layer, self.world.limits.layers
        if config.retrieval and layer is not None and layers is not None and layer > layers:
            raise UserError(f"spec.targets[{i}].retrieval.layer: {layer}; the encoder has {layers} layers")
        examples = sum({split.ref: split.rows for split in (*splits, *dev)}.values()) * len(checkpoints)
        return self._stage(
            "evaluation", config, {"encoder": encoder}, point.recipe, examples=examples, max_length=settings.max_length
        )

    def _stage(
        self,
        kind: StageKind,
        config: StageConfig,
        inputs: dict[str, str],
        recipe: str,
        *,
        examples: int,
        max_length: int,
    ) -> str:
        """Adds the stage unless an equal one is there already; returns its address."""
        longest = self.world.limits.tokens
        if longest is not None and max_length > longest:
            raise UserError(
                f"spec.training: maxLength {max_length} of {kind}; the encoder takes at most {longest} tokens"
            )
        document, version = config.document(), self.world.versions[kind]
        key = stage_key(kind=kind, version=version, config=document, inputs=inputs)
        address = stage_address(kind, key)
        if address not in self.stages:
            self.stages[address] = PlannedStage(
                kind=kind,
                key=key,
                version=version,
                config=document,
                inputs=inputs,
                recipe=recipe,
                threads=1 if isinstance(config, ScalingConfig) else config.settings.threads,
                examples=examples,
                tokens=examples * max_length,
            )
        return address


def _training(data: TrainingData, **how: Any) -> TaskTraining:
    return TaskTraining(
        task=data.task.name, task_version=data.task.version, train=data.train.ref, dev=data.dev.ref, **how
    )


def _mixture_recipe(specs: list[TaskSpec]) -> TrainingSettings:
    """A mixture trains 3 epochs at the paper's learning rate, on sequences as long as its longest task's."""
    if len(specs) == 1:
        return specs[0].settings
    return TrainingSettings(epochs="3", max_length=max(spec.settings.max_length for spec in specs))


def _own(settings: TrainingSettings, tasks: Sequence[TaskSpec], *, text: bool) -> TrainingSettings:
    """Without what has no part in the stage, so that it does not change its key."""
    unused = unused_settings([task.kind for task in tasks], tuning=settings.tuning, text=text)
    default = TrainingSettings()
    return settings.model_copy(update={name: getattr(default, name) for name in unused})


def _selected(settings: TrainingSettings) -> str:
    return settings.selection.lower()
