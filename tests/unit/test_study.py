"""What a Study accepts, and what it says about what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from xstilts.api.base import DecimalString
from xstilts.api.load import InvalidDocument, parse_study
from xstilts.api.study import PhaseSettings, Size, TaskOverride
from xstilts.api.training import TrainingSettings

VALID = """
apiVersion: xstilts.dev/v1alpha1
kind: Study
metadata: {name: demo}
spec:
  model: {uri: model}
  recipes: [{name: mnli, tasks: [{name: mnli}]}]
  sizes: [0, 100, full]
  targets: [{name: xnli}]
  store: {uri: store}
  tracking: {uri: "sqlite:///mlflow.db"}
"""


def complaint(old: str, new: str) -> str:
    assert old in VALID
    with pytest.raises(InvalidDocument) as caught:
        parse_study(VALID.replace(old, new))
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("demo", "demo", id="of one task"),
        pytest.param("[{name: mnli}]", "[{name: mnli}, {name: mnli, translation: de, lossScale: '0.50'}], mlm: {dataset: wiki, ratio: '0.3'}", id="of a translation and of text"),
        pytest.param("sizes:", "training: {target: {tuning: Prefix, prefixLength: 32, selection: Averaged, gradientAccumulation: 2}}\n  sizes:", id="of a prefix"),
    ],
)  # fmt: skip
def test_a_study_survives_its_own_document(old: str, new: str) -> None:
    study = parse_study(VALID.replace(old, new))
    assert type(study).model_validate(study.document()) == study


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param("targets:", "tragets:", ["spec.tragets", "did you mean 'targets'", "spec.targets: required"], id="a misspelt field is named with the one that was meant"),
        pytest.param("{uri: model}", "{uri: model, name: x}", ["spec.model", "exactly one of name"], id="two sources of a model contradict"),
        pytest.param("[0, 100, full]", "[0, -5]", ["spec.sizes[1]", "-5", "full"], id="a negative size is refused"),
        pytest.param("[0, 100, full]", "[0, 0.5]", ["spec.sizes[1]", "0.5"], id="a size that is a float is refused"),
        pytest.param("[0, 100, full]", "[100, '100']", ["sizes", "'100'", "twice"], id="a size given twice is refused in either spelling"),
        pytest.param("name: mnli, tasks", "name: baseline, tasks", ["recipes[0]", "baseline"], id="the baseline's name is reserved"),
        pytest.param("{name: demo}", "{name: My_Demo}", ["metadata.name", "My_Demo"], id="a name must fit Kubernetes"),
        pytest.param("sizes:", "budgets: [{epochs: 0.5}]\n  sizes:", ["spec.budgets[0].epochs", 'in quotes, as "0.5"'], id="a float is refused where a decimal is wanted"),
        pytest.param("sizes:", "budgets: [{epochs: '1', steps: 3}]\n  sizes:", ["spec.budgets[0]", "exactly one"], id="a budget has one unit"),
        pytest.param("sizes:", "sizes: [0]\n  sizes:", ["'sizes' is given twice"], id="a key given twice is refused"),
        pytest.param("kind: Study", "kind: Studies", ["kind", "'Studies'"], id="another kind is refused"),
        pytest.param("tasks: [{name: mnli}]", "tasks: [{name: mnli}], sampling: {strategy: Uniform, cap: 3}", ["sampling", "Uniform takes no cap"], id="a cap contradicts uniform sampling"),
        pytest.param("tasks: [{name: mnli}]", "tasks: [{name: mnli}], sampling: {strategy: Specified, weights: [1, 2]}", ["recipes[0]", "2 weights for 1 tasks"], id="weights must match the tasks"),
        pytest.param("[{name: mnli}]", "[{name: mnli, translation: de}, {name: mnli, translation: de}]", ["recipes[0]", "'mnli', 'de'", "twice"], id="a task is listed once a language"),
        pytest.param("[{name: mnli}]", "[{name: mnli, lossScale: 0}]", ["recipes[0].tasks[0]", "lossScale: 0 is not above 0"], id="a loss is not scaled away"),
        pytest.param("[{name: mnli}]", "[{name: mnli, gradientAccumulation: 0}]", ["recipes[0].tasks[0].gradientAccumulation", "0"], id="a step has at least one batch"),
        pytest.param("[{name: mnli}]", "[{name: mnli}], mlm: {dataset: text, ratio: '1'}", ["recipes[0].mlm", "ratio: 1 is not between 0 and 1", "remove mlm"], id="text does not replace the tasks"),
        pytest.param("[{name: mnli}]", "[{name: mnli}], mlm: {dataset: text, ratio: '0'}", ["recipes[0].mlm", "ratio: 0 is not"], id="a stream without steps is none"),
        pytest.param("[{name: mnli}]", "[{name: mnli}], mlm: {dataset: text, ratio: '0.1', smoothing: '1.5'}", ["recipes[0].mlm", "smoothing: 1.5"], id="smoothing of a stream has bounds"),
        pytest.param("[{name: mnli}]", "[{name: mnli}], mlm: {dataset: text, ratio: '0.1', maskProbability: '1'}", ["recipes[0].mlm", "maskProbability: 1"], id="a stream masks a part of the tokens"),
        pytest.param("sizes:", "pretraining: {steps: 1, languages: [de, de]}\n  sizes:", ["spec.pretraining", "languages: 'de'", "twice"], id="a language of text is listed once"),
        pytest.param("sizes:", "training: {intermediate: {tuning: Prefix}}\n  sizes:", ["spec.training: intermediate.tuning: Prefix", "training.target"], id="the intermediate phase trains no prefix"),
        pytest.param("sizes:", "training: {intermediate: {perTask: [{name: x}, {name: y, tuning: Prefix}]}}\n  sizes:", ["spec.training: intermediate.perTask[1].tuning: Prefix", "training.target"], id="nor for one task"),
        pytest.param("sizes:", "pretraining: {steps: 1, training: {tuning: Prefix}}\n  sizes:", ["spec.pretraining: training.tuning: Prefix", "training.target"], id="nor does pretraining"),
        pytest.param("sizes:", "training: {target: {tuning: Prefix, prefixLength: 513}}\n  sizes:", ["spec.training.target.prefixLength", "513"], id="a prefix has bounds"),
    ],
)  # fmt: skip
def test_a_bad_study_is_explained(old: str, new: str, expected: list[str]) -> None:
    message = complaint(old, new)
    assert all(part in message for part in expected), message


def test_all_mistakes_are_told_at_once() -> None:
    message = complaint("targets: [{name: xnli}]", "targets: []\n  parallelism: 0\n  colour: red")
    assert all(field in message for field in ("spec.targets", "spec.parallelism", "spec.colour"))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**9))
def test_equal_decimals_have_one_spelling(number: object) -> None:
    adapter = TypeAdapter(DecimalString)
    spelling = adapter.validate_python(str(number))
    assert adapter.validate_python(spelling) == spelling
    assert adapter.validate_python(f"{number}e0" if "E" not in str(number) else str(number)) == spelling


@pytest.mark.parametrize("text", ["NaN", "inf", "one", "", "-1", "1_0", " 1", "1e999999999", "1e99", True, 0.1])
def test_what_is_no_decimal_is_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DecimalString).validate_python(text)


@pytest.mark.parametrize(("text", "size"), [(0, "0"), ("0%", "0"), ("10%", "10%"), (5, "5"), ("full", "full")])
def test_sizes_have_one_spelling(text: object, size: str) -> None:
    assert TypeAdapter(Size).validate_python(text) == size


def test_settings_for_a_task_win_over_the_phase_and_the_phase_over_the_recipe() -> None:
    phase = PhaseSettings(batch_size=8, max_length=64, per_task=(TaskOverride(name="xnli", max_length=99),))
    recipe = TrainingSettings(batch_size=32, max_length=128, epochs="5")
    assert phase.resolve(task="xnli", recipe=recipe) == TrainingSettings(batch_size=8, max_length=99, epochs="5")
    assert phase.resolve(task="udpos", recipe=recipe) == TrainingSettings(batch_size=8, max_length=64, epochs="5")


def of_axes(*, recipes: int, sizes: int, subset_seeds: int, seeds: int, budgets: int) -> str:
    """VALID with so many values on its axes."""

    def listed(count: int, form: str = "{}") -> str:
        return ", ".join(form.format(number) for number in range(1, count + 1))

    axes = f"sizes: [{listed(sizes)}]\n  subsetSeeds: [{listed(subset_seeds)}]\n  seeds: [{listed(seeds)}]"
    return (
        VALID.replace("sizes: [0, 100, full]", f"{axes}\n  budgets: [{listed(budgets, '{{steps: {}}}')}]")
        .replace("{name: mnli, tasks: [{name: mnli}]}", listed(recipes, "{{name: r{}, tasks: [{{name: mnli}}]}}"))
    )  # fmt: skip


def test_a_small_document_can_not_ask_for_millions_of_trials() -> None:
    text = of_axes(recipes=64, sizes=32, subset_seeds=32, seeds=32, budgets=8)
    assert len(text) < 4096
    product = "2048 sizes of 64 recipes x 32 subsetSeeds x 32 seeds x 8 budgets = 16,777,216 trials"
    with pytest.raises(InvalidDocument, match=product):
        parse_study(text)


def test_a_study_at_its_bound_is_one() -> None:
    study = parse_study(of_axes(recipes=2, sizes=10, subset_seeds=20, seeds=25, budgets=1))
    assert len(study.spec.seeds) == 25
