"""The Study: what a person declares. Field docstrings are the reference; `xstilts.api.load` reads the YAML."""

import re
from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from xstilts.api.access import EngineSpec, SecretRef, StoreSpec, TrackingSpec
from xstilts.api.addresses import Address
from xstilts.api.base import DecimalString, Model, require_unique
from xstilts.api.pods import PodTemplate, Quantities
from xstilts.api.training import PretrainingSettings, RetrievalSettings, SelectionProtocol, TrainingSettings, Tuning

API_VERSION: Literal["xstilts.dev/v1alpha1"] = "xstilts.dev/v1alpha1"
BASELINE = "baseline"
"""Name of the recipe that trains nothing: reserved."""
PRETRAINING = "pretraining"
"""Stands for a recipe where the checkpoints of pretraining are registered: reserved too."""

NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
TASK_NAME = r"^[a-z0-9][-_a-z0-9]*$"
LANGUAGE = r"^[a-z]{2,3}([-_][A-Za-z0-9]+)*$"

Name = Annotated[str, StringConstraints(pattern=NAME, max_length=52)]
"""Lower-case letters, digits and hyphens, as Kubernetes wants names."""
TaskName = Annotated[str, StringConstraints(pattern=TASK_NAME, max_length=63)]
Language = Annotated[str, StringConstraints(pattern=LANGUAGE, max_length=16)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]

MOST_TRIALS = 10_000
"""Of a Study, as the product of its axes: what the operator was measured with."""
MOST_EVALUATIONS = 50_000
"""Of a Study: trials times targets. The plan of as many takes some 100 MB in the store."""

FULL = "full"
SIZE = r"^(full|0|[1-9][0-9]{0,9}|(100|[1-9]?[0-9]([.][0-9]{1,4})?)%)$"


def _size(value: object) -> str:
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(SIZE, text):
        raise ValueError(f'invalid size {value!r}: write a number of rows (1000), a percentage ("10%") or "full"')
    return "0" if text.startswith("0") and not text.strip("0.%") else text


Size = Annotated[
    str,
    BeforeValidator(
        _size,
        json_schema_input_type=Annotated[str, StringConstraints(pattern=SIZE, max_length=10)]
        | Annotated[int, Field(ge=0, le=9_999_999_999)],
    ),
]
"""Rows of intermediate data: a number, a percentage of the full data, or `full`; 0 is the baseline."""


class ModelSpec(Model):
    """The pretrained encoder: a hub name, or a URI (directory, `s3://…`). Exactly one of both."""

    name: str | None = Field(None, max_length=256)
    """Name on the Hugging Face hub, such as `xlm-roberta-large`."""
    revision: str = Field("main", max_length=128)
    """Branch, tag or commit on the hub; resolved to a commit when the study is accepted."""
    uri: Address | None = Field(None, max_length=1024)
    """`s3://…` of a folder in the hub's format or of what `xstilts model push` brought into the study's own store; or a
    directory for the Local engine (relative to where the command runs)."""
    token_secret_ref: SecretRef | None = None
    """Secret with `HF_TOKEN` for the hub; none for public models."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.name is None) == (self.uri is None):
            raise ValueError("give exactly one of name (on the hub) and uri (a directory or s3://…)")
        return self


def _require_full(field: str, settings: TrainingSettings) -> None:
    if settings.tuning is not Tuning.FULL:
        raise ValueError(
            f"{field}: {settings.tuning} keeps the encoder as it is, so nothing would be handed over; remove the "
            "field, or write it under training.target"
        )


class MaskedText(Model):
    """Plain text that is drawn by language, and masked."""

    languages: tuple[Language, ...] | None = Field(None, min_length=1, max_length=128)
    """Languages to train on; all that the data set has where unset."""
    smoothing: DecimalString = "0.3"
    """Exponent alpha: a language of n lines is drawn in proportion to n ** alpha (0.3 in Conneau et al. 2020)."""
    mask_probability: DecimalString = "0.15"
    """Share of the tokens to predict; of these 80 % are masked, 10 % exchanged and 10 % left."""

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        require_unique("languages", self.languages or ())
        if not 0 <= Decimal(self.smoothing) <= 1:
            raise ValueError(f"smoothing: {self.smoothing} is not between 0 (all languages alike) and 1 (by size)")
        if not 0 < Decimal(self.mask_probability) < 1:
            raise ValueError(f"maskProbability: {self.mask_probability} is not between 0 and 1; 0.15 is usual")
        return self


class PretrainingSpec(MaskedText):
    """Phase one in small: masked-language-model training of the model on plain text, before everything else."""

    data: TaskName = "text"
    """Data set of plain text, a file a language."""
    steps: int = Field(ge=1)
    """Optimizer steps."""
    seed: Seed = 1
    """One encoder comes out, which all training seeds of the study share."""
    training: PretrainingSettings = PretrainingSettings()

    @model_validator(mode="after")
    def _whole_encoder(self) -> Self:
        _require_full("training.tuning", self.training)
        return self


class TaskRef(Model):
    """One intermediate task of a recipe."""

    name: TaskName
    """Name of the catalogue, such as `mnli`."""
    data: TaskName | None = None
    """Data set to train and select on instead of the task's own, such as `xnli` for `mnli`."""
    translation: Language | None = None
    """Train on the translation of the data into this language (same rows as the English subset)."""
    loss_scale: DecimalString = "1"
    """Factor of the task's loss, above 0."""
    gradient_accumulation: int | None = Field(None, ge=1, le=4096)
    """Batches whose gradients make one optimizer step of this task; as in the phase's settings where unset."""

    @model_validator(mode="after")
    def _learns(self) -> Self:
        if Decimal(self.loss_scale) <= 0:
            raise ValueError(f"lossScale: {self.loss_scale} is not above 0; 1 leaves the loss as it is")
        return self


class SamplingStrategy(StrEnum):
    """How a mixture draws its tasks; weights are over the full sizes n of the data sets."""

    PROPORTIONAL = "Proportional"  # min(n, cap)
    TEMPERATURE = "Temperature"  # min(n, cap) ** (1 / temperature)
    UNIFORM = "Uniform"
    SPECIFIED = "Specified"


class Sampling(Model):
    """How a mixture draws its tasks."""

    strategy: SamplingStrategy = SamplingStrategy.PROPORTIONAL
    """Proportional to the size, by Temperature (size to the power of 1 / temperature), Uniform, or Specified."""
    cap: int | None = Field(None, ge=1)
    """Rows above which a data set counts no more."""
    temperature: DecimalString | None = None
    """1 is proportional, more is flatter; Temperature only."""
    weights: tuple[DecimalString, ...] | None = Field(None, max_length=32)
    """One per task, in order; Specified only."""

    @model_validator(mode="after")
    def _fits_the_strategy(self) -> Self:
        for field, strategies in (
            ("temperature", {SamplingStrategy.TEMPERATURE}),
            ("weights", {SamplingStrategy.SPECIFIED}),
        ):
            given, wanted = getattr(self, field) is not None, self.strategy in strategies
            if given != wanted:
                verb = "needs" if wanted else "takes no"
                raise ValueError(f"strategy {self.strategy} {verb} {field}")
        if self.cap is not None and self.strategy in {SamplingStrategy.UNIFORM, SamplingStrategy.SPECIFIED}:
            raise ValueError(f"strategy {self.strategy} takes no cap")
        return self


class MlmStream(MaskedText):
    """A masked-language-model stream beside the tasks."""

    dataset: TaskName
    """Data set of plain text, a file a language."""
    ratio: DecimalString
    """Share of the optimizer steps that train on the stream: on top of the tasks' epochs, within a budget of steps."""

    @model_validator(mode="after")
    def _beside_tasks(self) -> Self:
        if not 0 < Decimal(self.ratio) < 1:
            raise ValueError(f"ratio: {self.ratio} is not between 0 and 1; remove mlm to train on tasks alone")
        return self


class Recipe(Model):
    """What the intermediate phase trains on: one task or a mixture."""

    name: Name
    """Name of the recipe in trials, tables and models: `baseline` and `pretraining` are taken."""
    tasks: tuple[TaskRef, ...] = Field(min_length=1, max_length=32)
    """One task, or several that are mixed."""
    sampling: Sampling = Sampling()
    """How the tasks are mixed."""
    mlm: MlmStream | None = None
    """Masked-language-model training beside the tasks; none where unset."""
    sizes: tuple[Size, ...] | None = Field(None, max_length=32)
    """This recipe's own sizes instead of the study's; one above its data is an error."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.name == BASELINE:
            raise ValueError(f"name: {BASELINE!r} is the name of the recipe that trains nothing; choose another")
        if self.name == PRETRAINING:
            raise ValueError(f"name: {PRETRAINING!r} is the name of the phase before all recipes; choose another")
        require_unique("tasks", [(task.name, task.translation) for task in self.tasks])
        weights = self.sampling.weights
        if weights is not None and len(weights) != len(self.tasks):
            raise ValueError(f"sampling.weights: {len(weights)} weights for {len(self.tasks)} tasks; give one a task")
        return self


class Budget(Model):
    """How long the intermediate phase trains. Exactly one of both."""

    epochs: DecimalString | None = None
    """Passes over the subset: more data, more updates."""
    steps: int | None = Field(None, ge=1)
    """Optimizer steps: the same number of updates for every size."""

    @model_validator(mode="after")
    def _one_unit(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give exactly one of epochs and steps")
        return self


class TargetRef(Model):
    """One target task: English fine-tuning, then evaluation in every language."""

    name: TaskName
    """Name of the catalogue, such as `xnli`."""
    languages: tuple[Language, ...] | None = Field(None, min_length=1, max_length=128)
    """Languages to evaluate; all that the data set has where unset."""
    data: TaskName | None = None
    """Data set to train and select on, in English, instead of the task's own."""
    retrieval: RetrievalSettings = RetrievalSettings()
    """How sentences are compared; targets of retrieval only."""

    @model_validator(mode="after")
    def _each_language_once(self) -> Self:
        require_unique("languages", self.languages or ())
        return self


class TaskOverride(TrainingSettings):
    """Settings for one task of a phase."""

    name: TaskName
    """Task of the phase."""


class PhaseSettings(TrainingSettings):
    """Settings of a phase; those set here override the tasks' published recipes."""

    per_task: tuple[TaskOverride, ...] = Field((), max_length=64)
    """Settings for single tasks; they override the phase's."""

    def resolve(self, *, task: str, recipe: TrainingSettings) -> TrainingSettings:
        """The published recipe of a task, overlaid by this phase's settings, then by those for the task."""
        layers = (self, *(override for override in self.per_task if override.name == task))
        fields = {
            name: getattr(layer, name)
            for layer in layers
            for name in layer.model_fields_set & TrainingSettings.model_fields.keys()
        }
        return recipe.model_copy(update=fields)


class TrainingSpec(Model):
    """Settings of both phases. What is not set here is as each task's published recipe has it."""

    intermediate: PhaseSettings = PhaseSettings()
    """Settings of the intermediate phase."""
    target: PhaseSettings = PhaseSettings()
    """Settings of training on targets."""

    @model_validator(mode="after")
    def _whole_encoder(self) -> Self:
        _require_full("intermediate.tuning", self.intermediate)
        for i, override in enumerate(self.intermediate.per_task):
            _require_full(f"intermediate.perTask[{i}].tuning", override)
        return self


class StageResources(Model):
    """What a pod of a stage asks for."""

    nodes: int = Field(1, ge=1, le=1024)
    """Pods that train together; more than one make a TrainJob."""
    processes_per_node: int = Field(1, ge=1, le=64)
    """Processes of a pod, one an accelerator."""
    requests: Quantities = Field(default_factory=dict)
    """Of a pod, by the resource's name, such as `cpu: "4"`."""
    limits: Quantities = Field(default_factory=dict)
    """Of a pod, by the resource's name, such as `nvidia.com/gpu: "8"`."""


StageKind = Literal["pretraining", "data-scaling", "intermediate-training", "target-training", "evaluation"]


class FailurePolicy(Model):
    """What may fail, how often, and for how long."""

    max_failed_trials: int = Field(0, ge=0)
    """Failed trials after which no further trial starts."""
    retries: int = Field(2, ge=0, le=100)
    """New attempts of a stage that failed for a reason that may pass."""
    preemption_retries: int = Field(20, ge=0, le=10000)
    """New attempts of a stage that was ended from outside."""
    outage_seconds: int = Field(3600, ge=0)
    """Seconds for which the store or the tracking server may be unavailable before what needs it fails. New attempts of
    stages that met an outage are charged to this alone."""
    pending_seconds: int = Field(86400, ge=1)
    """Seconds for which a stage may be kept from starting before it fails: its Job or pods are refused, its image is
    missing, no node has room. Time in which other stages of the study use the room does not count. Engine Jobs only."""
    active_deadline_seconds: int | None = Field(None, ge=1)
    """Seconds from acceptance, or from the last `xstilts retry`, after which the study fails and what runs is
    stopped."""


class CheckpointRetention(StrEnum):
    ALL = "All"
    BEST_PER_RECIPE = "BestPerRecipe"
    NONE = "None"


class Retention(Model):
    """What is kept of a study that ended; scores and predictions always are."""

    checkpoints: CheckpointRetention = CheckpointRetention.ALL
    """All, BestPerRecipe, or None."""


class Reuse(StrEnum):
    """Whether results of the same stage key are taken over."""

    ALWAYS = "Always"
    SAME_IMAGE = "SameImage"
    NEVER = "Never"


class DeletionPolicy(StrEnum):
    """What becomes of Trials and Jobs when their Study is deleted. The store and MLflow are never touched."""

    DELETE = "Delete"  # running stages save their progress and end
    ORPHAN = "Orphan"  # they stay and run to their end


class StudySpec(Model):
    """Base model x recipes x sizes x subset seeds x training seeds x targets."""

    model: ModelSpec
    pretraining: PretrainingSpec | None = None
    """Trains the model further before everything else; unset for encoders that are pretrained already."""
    recipes: tuple[Recipe, ...] = Field((), max_length=64)
    """What the intermediate phase trains on; more may be appended later."""
    sizes: tuple[Size, ...] = Field(("0", FULL), min_length=1, max_length=32)
    """Rows of intermediate data: numbers, percentages and `full`; 0 is the baseline. More may be appended later."""
    subset_seeds: tuple[Seed, ...] = Field((1,), min_length=1, max_length=32)
    """Each draws its own nested subsets. More may be appended later."""
    seeds: tuple[Seed, ...] = Field((1, 2, 3), min_length=1, max_length=32)
    """Training seeds, of both phases. More may be appended later."""
    budgets: tuple[Budget, ...] = Field((), max_length=8)
    """The published epochs of each task where empty; an axis of the study where there are several."""
    targets: tuple[TargetRef, ...] = Field(min_length=1, max_length=64)
    """Tasks that are trained in English and evaluated in every language. More may be appended later."""
    training: TrainingSpec = TrainingSpec()
    """Learning rates, lengths and the like, where they are not to be as published."""
    protocols: tuple[SelectionProtocol, ...] = Field(
        (SelectionProtocol.LAST, SelectionProtocol.BEST, SelectionProtocol.AVERAGED), min_length=1, max_length=4
    )
    """Selections whose scores stand side by side; curves and tests are of the one that the phase's `selection` names.
    Oracle reads labels of target languages, and so is there only when it is asked for."""
    store: StoreSpec
    tracking: TrackingSpec
    engine: EngineSpec = EngineSpec()
    resources: dict[StageKind, StageResources] = Field(default_factory=dict)
    """What the pods of each kind of stage ask for."""
    pod_template: PodTemplate = PodTemplate()
    parallelism: int = Field(8, ge=1, le=1024)
    """Trials (Local: stages) that run at the same time."""
    failure_policy: FailurePolicy = FailurePolicy()
    retention: Retention = Retention()
    reuse: Reuse = Reuse.ALWAYS
    """Results that lie in the store are taken over Always, those of the SameImage, or Never."""
    suspend: bool = False
    """Running stages save their progress and end; they go on when it is false again."""
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    """Delete ends what runs when the Study is deleted, Orphan leaves Trials and Jobs; results stay with both."""
    max_gpu_hours: DecimalString | None = Field(None, alias="maxGPUHours")
    """Accelerators times hours that the study may use; it fails when they are used up."""
    ttl_seconds_after_finished: int | None = Field(None, ge=0)
    """Seconds after its end when the Study is deleted from the cluster; kept where unset."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        require_unique("recipes", [recipe.name for recipe in self.recipes])
        require_unique("targets", [target.name for target in self.targets])
        for field, values in self._axes():
            require_unique(field, values)
        if not self.recipes and self.sizes != ("0",):
            raise ValueError('recipes: none given, so sizes can only be ["0"], the baseline')
        self._require_bounded()
        return self

    def _require_bounded(self) -> None:
        """Before anything is planned: the bounds of the single axes alone allow 16 million trials."""
        cells = sum(len(recipe.sizes or self.sizes) for recipe in self.recipes)
        axes = {"subsetSeeds": len(self.subset_seeds), "seeds": len(self.seeds), "budgets": max(1, len(self.budgets))}
        trials = cells * prod(axes.values())
        evaluations = trials * len(self.targets)
        if trials > MOST_TRIALS or evaluations > MOST_EVALUATIONS:
            product = " x ".join(f"{count} {name}" for name, count in axes.items())
            raise ValueError(
                f"{cells} sizes of {len(self.recipes)} recipes x {product} = {trials:,} trials, x {len(self.targets)}"
                f" targets = {evaluations:,} evaluations; a Study has at most {MOST_TRIALS:,} and {MOST_EVALUATIONS:,}:"
                " give fewer, or several Studies, which share equal stages"
            )

    def _axes(self) -> Sequence[tuple[str, Sequence[Any]]]:
        own = [(f"recipes[{i}].sizes", recipe.sizes) for i, recipe in enumerate(self.recipes) if recipe.sizes]
        axes = [("sizes", self.sizes), ("subsetSeeds", self.subset_seeds), ("seeds", self.seeds)]
        return [*axes, ("budgets", self.budgets), ("protocols", self.protocols), *own]


class Metadata(Model):
    """As of every object of Kubernetes."""

    name: Name
    """Lower-case letters, digits and hyphens, at most 52."""
    namespace: str | None = Field(None, max_length=63)
    """Namespace on a cluster; the command's own where unset."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels for selecting it."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Notes for programs."""


class Study(Model):
    """A bounded experiment on how the size of English intermediate data changes zero-shot accuracy."""

    api_version: Literal["xstilts.dev/v1alpha1"] = API_VERSION
    kind: Literal["Study"] = "Study"
    metadata: Metadata
    spec: StudySpec

    @property
    def experiment(self) -> str:
        """Name of the MLflow experiment."""
        return self.spec.tracking.experiment or self.metadata.name
