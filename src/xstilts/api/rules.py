"""Rules that the API server enforces: the models' validators in CEL, what holds on clusters alone, and what may change.

A rule sees one object of the schema as `self`. What needs more than one document, such as whether a task exists, is
told by the condition `Accepted`. CEL knows no decimals: bounds of decimal strings are compared as doubles.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from xstilts.api import access, addresses, base, pods, schedule, study, trial
from xstilts.api.base import Model


@dataclass(frozen=True, slots=True)
class Rule:
    """A CEL expression that must be true, and what people are told where it is not."""

    rule: str
    message: str
    field: str = ""
    """Path below the object that the message is about."""

    def document(self) -> dict[str, str]:
        path = {"fieldPath": self.field} if self.field else {}
        return {"rule": self.rule, "message": self.message} | path


def rules_of(model: str) -> tuple[Rule, ...]:
    """Rules for objects of a model by its name, those of its bases first."""
    return _BY_NAME.get(model, ())


PATTERNS: Mapping[str, str] = {
    base.DECIMAL: 'write a decimal number of 0 or more in quotes, such as "0.1" or "1e-5"',
    pods.LABEL_VALUE: "write letters, digits, hyphens, underscores and dots, with a letter or digit first and last",
    pods.QUALIFIED_NAME: "names have letters, digits, hyphens, underscores and dots, such as nvidia.com/gpu",
    pods.QUANTITY: 'write a number with a unit, such as "500m", "8" or "16Gi"',
    schedule.CRON: "write five fields: minute, hour, day of month, month, day of week, such as 30 2 * * 0",
    study.LANGUAGE: "write a code of the language, such as de or zh_Hans",
    study.NAME: "write lower-case letters, digits and hyphens, with a letter or digit first and last",
    study.SIZE: 'write a number of rows (1000), a percentage ("10%") or "full"',
    study.TASK_NAME: "write the name of the catalogue, such as xnli: lower-case letters, digits, hyphens, underscores",
}
"""Patterns that people get wrong, in words."""

_ONCE = "{list}.all(one, {list}.exists_one(other, {same}))"

_MASKED_TEXT = (
    Rule(
        "double(self.smoothing) <= 1.0",
        "smoothing lies between 0 (all languages alike) and 1 (by size)",
        ".smoothing",
    ),
    Rule(
        "double(self.maskProbability) > 0.0 && double(self.maskProbability) < 1.0",
        "maskProbability lies between 0 and 1; 0.15 is usual",
        ".maskProbability",
    ),
)
_FULL_TUNING = (
    "{at}: Prefix keeps the encoder as it is, so nothing would be handed over; write it under training.target"
)

_TRIALS = (
    "self.recipes.map(recipe, has(recipe.sizes) ? size(recipe.sizes) : size(self.sizes)).sum()"
    " * size(self.subsetSeeds) * size(self.seeds) * (size(self.budgets) > 0 ? size(self.budgets) : 1)"
)
_WAY_OUT_OF_SIZE = "give fewer, or several Studies, which share equal stages"

_SIZES_ONCE = Rule(
    _ONCE.format(list="self.sizes", same="string(one) == string(other)"), "sizes: list each once", ".sizes"
)


def _plain(field: str, pattern: str, form: str, *, of: str = "") -> Rule:
    """An address without credentials; another rule judges those that do not begin with `of`."""
    holds = f"!has(self.{field}) || !self.{field}.startsWith('{of}') || self.{field}.matches(r'{pattern}')"
    return Rule(holds, f"write {form} {addresses.NO_CREDENTIALS}", f".{field}")


RULES: Mapping[type[Model], tuple[Rule, ...]] = {
    study.ModelSpec: (
        Rule("has(self.name) != has(self.uri)", "give exactly one of name (on the hub) and uri (s3://…)"),
        Rule(
            "!has(self.uri) || self.uri.startsWith('s3://')",
            "directories are for xstilts run: on a cluster write s3://bucket/prefix, or the name of a model on the hub",
            ".uri",
        ),
        _plain("uri", addresses.S3, "s3://bucket/prefix", of="s3://"),
    ),
    study.PretrainingSpec: (
        *_MASKED_TEXT,
        Rule(
            "!has(self.training.tuning) || self.training.tuning == 'Full'",
            _FULL_TUNING.format(at="pretraining"),
            ".training.tuning",
        ),
    ),
    study.TaskRef: (
        Rule("double(self.lossScale) > 0.0", "lossScale is above 0; 1 leaves the loss as it is", ".lossScale"),
    ),
    study.Sampling: (
        Rule(
            "has(self.temperature) == (self.strategy == 'Temperature')",
            "strategy Temperature needs temperature, and no other takes it",
            ".temperature",
        ),
        Rule(
            "has(self.weights) == (self.strategy == 'Specified')",
            "strategy Specified needs weights, and no other takes them",
            ".weights",
        ),
        Rule(
            "!has(self.cap) || self.strategy in ['Proportional', 'Temperature']",
            "strategies Uniform and Specified take no cap",
            ".cap",
        ),
    ),
    study.MlmStream: (
        *_MASKED_TEXT,
        Rule(
            "double(self.ratio) > 0.0 && double(self.ratio) < 1.0",
            "ratio lies between 0 and 1; remove mlm to train on tasks alone",
            ".ratio",
        ),
    ),
    study.Recipe: (
        Rule(
            f"!(self.name in ['{study.BASELINE}', '{study.PRETRAINING}'])",
            "baseline and pretraining are names of xstilts itself; choose another",
            ".name",
        ),
        Rule(
            _ONCE.format(
                list="self.tasks",
                same="one.name == other.name && has(one.translation) == has(other.translation)"
                " && (!has(one.translation) || one.translation == other.translation)",
            ),
            "tasks: list each once a language",
            ".tasks",
        ),
        Rule(
            "!has(self.sampling.weights) || size(self.sampling.weights) == size(self.tasks)",
            "give one weight a task",
            ".sampling.weights",
        ),
        Rule(f"!has(self.sizes) || {_SIZES_ONCE.rule}", _SIZES_ONCE.message, _SIZES_ONCE.field),
    ),
    study.Budget: (Rule("has(self.epochs) != has(self.steps)", "give exactly one of epochs and steps"),),
    study.TrainingSpec: (
        Rule(
            "!has(self.intermediate.tuning) || self.intermediate.tuning == 'Full'",
            _FULL_TUNING.format(at="intermediate"),
            ".intermediate.tuning",
        ),
        Rule(
            "!has(self.intermediate.perTask)"
            " || self.intermediate.perTask.all(task, !has(task.tuning) || task.tuning == 'Full')",
            _FULL_TUNING.format(at="intermediate.perTask"),
            ".intermediate.perTask",
        ),
    ),
    study.StudySpec: (
        Rule(
            "size(self.recipes) > 0 || (size(self.sizes) == 1 && string(self.sizes[0]) == '0')",
            'recipes: none given, so sizes can only be ["0"], the baseline',
            ".sizes",
        ),
        _SIZES_ONCE,
        Rule(
            _ONCE.format(
                list="self.budgets",
                same="(has(one.steps) ? has(other.steps) && one.steps == other.steps"
                " : has(other.epochs) && double(one.epochs) == double(other.epochs))",
            ),
            "budgets: list each once",
            ".budgets",
        ),
        Rule(
            f"{_TRIALS} <= {study.MOST_TRIALS}",
            f"sizes of all recipes x subsetSeeds x seeds x budgets are more than {study.MOST_TRIALS:,} trials: "
            + _WAY_OUT_OF_SIZE,
        ),
        Rule(
            f"{_TRIALS} * size(self.targets) <= {study.MOST_EVALUATIONS}",
            f"sizes of all recipes x subsetSeeds x seeds x budgets x targets are more than {study.MOST_EVALUATIONS:,}"
            f" evaluations: {_WAY_OUT_OF_SIZE}",
        ),
    ),
    access.StoreSpec: (
        Rule(
            "self.uri.startsWith('s3://')",
            "directories are for xstilts run: on a cluster write s3://bucket/prefix",
            ".uri",
        ),
        _plain("uri", addresses.S3, "s3://bucket/prefix", of="s3://"),
        _plain("endpoint", addresses.HTTP, "http(s)://host:port"),
    ),
    access.TrackingSpec: (
        Rule(
            "self.uri.matches('^https?://.')",
            "files are for xstilts run: on a cluster write the http(s):// address of an MLflow server",
            ".uri",
        ),
        _plain("uri", addresses.HTTP, "http(s)://host:port", of="http"),
    ),
    access.EngineSpec: (
        Rule(
            "!has(self.type) || self.type != 'Local'",
            "Local runs on one machine: write Jobs or Kubeflow, or run the study with xstilts run",
            ".type",
        ),
        *(
            Rule(
                f"!has(self.{field}) || (has(self.type) && self.type == 'Kubeflow')",
                f"{field} is for engine Kubeflow: remove it, or write type: Kubeflow",
                f".{field}",
            )
            for field in ("endpoint", "namespace", "tokenSecretRef")
        ),
        _plain("endpoint", addresses.HTTP, "http(s)://host:port"),
        Rule(
            "!has(self.queueName) || !has(self.type) || self.type == 'Jobs'",
            "queueName is for engine Jobs: remove it, or write type: Jobs",
            ".queueName",
        ),
    ),
    pods.EnvironmentVariable: (
        Rule(
            "[has(self.value), has(self.secretKeyRef), has(self.configMapKeyRef)].exists_one(given, given)",
            "give exactly one of value, secretKeyRef and configMapKeyRef",
        ),
    ),
    pods.Volume: (
        Rule(
            "[has(self.claimName), has(self.configMap), has(self.secret), has(self.emptyDirSize)]"
            ".exists_one(given, given)",
            "give exactly one of claimName, configMap, secret and emptyDirSize",
        ),
    ),
}
_BY_NAME = {model.__name__: rules for model, rules in RULES.items()}


# ---- of whole resources: names, and what may change


_NAME = (
    Rule("size(self.metadata.name) <= 52", "metadata.name has at most 52 letters"),
    Rule(
        f"self.metadata.name.matches(r'{study.NAME}')",
        "metadata.name has lower-case letters, digits and hyphens, no dots, and a letter or digit first and last",
    ),
)


_WAY_OUT = "make a new Study; what is the same is reused"


def _fixed(field: str, *, optional: bool = False) -> Rule:
    new, old = f"self.spec.{field}", f"oldSelf.spec.{field}"
    same = f"has({new}) == has({old}) && (!has({new}) || {new} == {old})" if optional else f"{new} == {old}"
    return Rule(same, f"spec.{field} can't be changed: {_WAY_OUT}", f".spec.{field}")


def _appended(field: str, kept: str) -> Rule:
    return Rule(
        f"oldSelf.spec.{field}.all(old, {kept})",
        f"spec.{field} can only be appended to, what is there can't be changed or removed: {_WAY_OUT}",
        f".spec.{field}",
    )


OF_RESOURCES: Mapping[type[Model], tuple[Rule, ...]] = {
    study.Study: (
        *_NAME,
        _fixed("pretraining", optional=True),
        *map(_fixed, ("model", "budgets", "training", "protocols", "tracking", "engine", "reuse", "store.uri")),
        # how a store is reached may change: version 0.1 stored `pathStyle: false` where nobody had set it
        *(_fixed(f"store.{name}", optional=True) for name in ("endpoint", "region", "caSecretRef", "secretRef")),
        _appended("sizes", "self.spec.sizes.exists(new, string(new) == string(old))"),
        *(_appended(field, f"old in self.spec.{field}") for field in ("recipes", "subsetSeeds", "seeds", "targets")),
    ),
    trial.Trial: (Rule("self.spec == oldSelf.spec", "a Trial is made once by its Study and never changed", ".spec"),),
    schedule.StudySchedule: _NAME,
}
