"""What of a study is zero-shot and what is not, as the report says it. The rules are in `xstilts.core.zero_shot`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xstilts.core import zero_shot
from xstilts.core.catalogue import ENGLISH
from xstilts.core.plan import Plan
from xstilts.core.results import ORACLE, EvaluationFacts
from xstilts.tasks import registry


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelUse:
    """Labels of languages other than English that went into a target's scores in these languages."""

    target: str
    recipe: str
    """Empty where it concerns every recipe, and the baseline."""
    protocol: str
    """Empty where it concerns the scores of every protocol."""
    languages: tuple[str, ...]
    """Sorted."""
    reason: str


def labelled_recipes(plan: Plan) -> dict[str, tuple[str, ...]]:
    """By recipe the languages other than English whose labels it trains on; recipes without any are left out."""
    found: dict[str, set[str]] = {}
    for trial in plan.trials:
        if languages := zero_shot.foreign_to(plan, trial):
            found.setdefault(trial.point.recipe, set()).update(languages)
    return {recipe: tuple(sorted(languages)) for recipe, languages in found.items()}


def label_uses(plan: Plan, facts: Mapping[str, EvaluationFacts]) -> Iterator[LabelUse]:
    """Translated training data, tuned thresholds and the oracle, as far as the languages are evaluated."""
    for target in plan.selected:
        evaluations = [facts[a] for a in dict.fromkeys(t.evaluations[target] for t in plan.trials) if a in facts]
        entries = [entry for found in evaluations for checkpoint in found.checkpoints for entry in checkpoint.languages]
        for (recipe, tasks), languages in _trained(plan, target).items():
            reason = f"trained on labels of {', '.join(_described(task, target) for task in tasks)}"
            yield from _use(target, languages & {entry.language for entry in entries}, reason, recipe=recipe)
        tuned = {entry.language for entry in entries if entry.threshold is not None}
        yield from _use(target, tuned, "threshold tuned on labelled dev pairs of each language")
        if ORACLE in plan.protocols:
            chosen = {name for found in evaluations if len(found.checkpoints) > 1 for name in found.oracle()}
            yield from _use(target, chosen, "checkpoint selected by labels of each language", protocol=ORACLE)


def _use(target: str, languages: set[str], reason: str, *, recipe: str = "", protocol: str = "") -> Sequence[LabelUse]:
    concerned = tuple(sorted(languages - {ENGLISH}))
    use = LabelUse(target=target, recipe=recipe, protocol=protocol, languages=concerned, reason=reason)
    return [use] if concerned else []


def _trained(plan: Plan, target: str) -> dict[tuple[str, tuple[str, ...]], set[str]]:
    """Languages by recipe and by the tasks whose labels in these languages it trains on."""
    by_language: dict[tuple[str, str], dict[str, None]] = {}
    for trial in plan.trials:
        labelled = zero_shot.labelled(plan, trial, target)
        for language in zero_shot.foreign(labelled):
            by_language.setdefault((trial.point.recipe, language), {}).update(dict.fromkeys(labelled[language]))
    found: dict[tuple[str, tuple[str, ...]], set[str]] = {}
    for (recipe, language), tasks in by_language.items():
        found.setdefault((recipe, tuple(tasks)), set()).add(language)
    return found


def _described(task: str, target: str) -> str:
    """`mnli (the same task)`; of tasks that are not installed here only names can be compared."""
    known = registry.tasks()
    if task in known and target in known:
        same = zero_shot.is_same_task(known[task].spec, known[target].spec)
    else:
        same = task == target
    return f"{task} ({'the same task' if same else 'another task'})"
