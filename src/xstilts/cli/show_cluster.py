"""What the terminal shows of a Study in the cluster."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xstilts.api.conditions import ConditionStatus
from xstilts.api.names import Reason, StudyCondition
from xstilts.api.status import StudyStatus
from xstilts.api.trial import StageRef, StageState, StageStatus
from xstilts.cli.cluster_views import ClusterStudy, ClusterTrial
from xstilts.core.zero_shot import marked

_URGENCY = ("Failed", Reason.RUNNING, Reason.WAITING_FOR_STAGE, Reason.QUEUED, Reason.PENDING, "Succeeded")
"""States in the order in which people want to see them, where there is no room for all."""
_MESSAGE = 160
"""Characters of a message in a table."""


def study(
    found: ClusterStudy, trials: Sequence[ClusterTrial], now: datetime, *, rows: int | None = None
) -> RenderableType:
    """Everything that the cluster knows of it; of the trials the `rows` most urgent ones, if not all."""
    shown = list(trials)
    if rows is not None and len(shown) > rows:
        shown = sorted(shown, key=lambda trial: _urgency(trial.state))[:rows]
    parts: list[RenderableType] = [Text(headline(found)), _conditions(found, now), Text(counts(found.status))]
    if shown:
        parts.append(_trials(shown))
    if len(shown) < len(trials):
        parts.append(Text(f"and {len(trials) - len(shown)} more trials"))
    if at_work := list(_at_work(trials)):
        parts.append(_stages(at_work, now))
    if found.status.best:
        parts.append(_best(found.status))
    return Group(*parts, *(Text(line) for line in links(found.status)))


def headline(found: ClusterStudy) -> str:
    """One line: how far, and what is in the way."""
    summary = found.condition(StudyCondition.SUCCEEDED)
    if found.is_deleting:
        state = "is being deleted"
    elif summary is None:
        return f"{found.title}: no operator has looked at it yet"
    else:
        problem = f" ({found.status.problem})" if found.status.problem else ""
        state = f"{_summary(summary.status, summary.reason)}{problem}"
    progress = f", {found.status.progress} trials ended" if found.status.progress else ""
    late = "" if found.is_current else "; its latest change has not been seen by the operator yet"
    message = f": {summary.message}" if summary and summary.message else ""
    return f"{found.title}: {state}{progress}{late}{message}"


def _summary(status: ConditionStatus, reason: str) -> str:
    if status is ConditionStatus.UNKNOWN:
        return reason
    return "Succeeded" if status is ConditionStatus.TRUE else f"failed ({reason})"


def counts(status: StudyStatus) -> str:
    """Trials by where they stand, and what they have cost."""
    n = status.counts
    reused = f" ({n.reused} with nothing to run)" if n.reused else ""
    parts = [
        f"{number} {word}"
        for number, word in (
            (n.queued, "queued"),
            (n.waiting, "waiting for a stage elsewhere"),
            (n.running, "running"),
            (n.succeeded, f"succeeded{reused}"),
            (n.failed, "failed"),
        )
        if number
    ]
    plan = status.plan
    stages = f"; {plan.stages} stages, {plan.reused} were there" if plan else ""
    hours = "" if status.gpu_hours == "0" else f"; {status.gpu_hours} GPU hours"
    return f"{n.trials} trials: {', '.join(parts) or 'none started'}{stages}{hours}"


def changes(found: ClusterStudy, trials: Iterable[ClusterTrial]) -> Iterator[tuple[str, str]]:
    """Lines for a log that says what has changed, each with what it is about."""
    yield "study", headline(found)
    for condition in found.status.conditions:
        if condition.type != StudyCondition.SUCCEEDED:
            said = f"{condition.status} {condition.reason}{': ' if condition.message else ''}{condition.message}"
            yield condition.type, f"{condition.type}: {said}"
    for trial in trials:
        yield f"trial {trial.name}", f"{trial.name}: {trial.state} {trial.status.progress} {_why(trial)}".rstrip()


def links(status: StudyStatus) -> Iterator[str]:
    """Where results lie."""
    for name, url in (
        ("report", status.report_url),
        ("MLflow", status.tracking_url),
        ("Kubeflow", status.pipeline_url),
    ):
        if url:
            yield f"{name}: {url}"


def _conditions(found: ClusterStudy, now: datetime) -> Table:
    table = Table("condition", "status", "reason", "for", "message")
    for condition in found.status.conditions:
        since = _age(condition.last_transition_time, now)
        row = [condition.type, condition.status, condition.reason, since, _short(condition.message)]
        table.add_row(*map(Text, row))
    return table


def _trials(trials: Sequence[ClusterTrial]) -> Table:
    with_scores = any(trial.status.scores for trial in trials)
    table = Table("trial", "state", "stages", *(["scores in other languages"] if with_scores else []), "why")
    for trial in trials:
        scores = ", ".join(f"{target} {score}" for target, score in sorted(trial.status.scores.items()))
        name = marked(trial.name, trial.status.labelled_languages)
        row = [name, trial.state, trial.status.progress, *([scores] if with_scores else []), _short(_why(trial))]
        table.add_row(*map(Text, row))
    return table


def _why(trial: ClusterTrial) -> str:
    condition = trial.condition
    if condition is None:
        return ""
    reason = condition.reason if condition.reason not in {trial.state, Reason.SUCCEEDED} else ""
    return ": ".join(part for part in (reason, condition.message) if part)


def _at_work(trials: Iterable[ClusterTrial]) -> Iterator[tuple[ClusterTrial, StageRef, StageStatus]]:
    for trial in trials:
        for ref, stage in trial.stages():
            if stage.state is StageState.RUNNING:
                yield trial, ref, stage


def _stages(at_work: Sequence[tuple[ClusterTrial, StageRef, StageStatus]], now: datetime) -> Table:
    table = Table("at work", "of trial", "for", "failed", "preempted", "job", "why")
    for trial, _, stage in at_work:
        tried = stage.attempts
        since = _age(stage.start_time, now) if stage.start_time else "not started"
        why = _short(": ".join(part for part in (stage.reason, stage.message) if part))
        row = [stage.name, trial.name, since, str(tried.failures), str(tried.preemptions), stage.job, why]
        table.add_row(*map(Text, row))
    return table


def _best(status: StudyStatus) -> Table:
    table = Table("target", "best by English dev", "size", "budget", "English dev", "other languages (test)", "metric")
    for best in status.best:
        score = f"{best.score} ± {best.interval}" if best.interval else best.score
        recipe = marked(best.recipe, best.labelled_languages)
        table.add_row(best.target, recipe, best.size, best.budget, best.dev_score, score, best.metric)
    return table


def _urgency(state: str) -> int:
    """States that are not listed are reasons why a trial does not run."""
    return _URGENCY.index(state) if state in _URGENCY else 1


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MESSAGE else f"{line[: _MESSAGE - 1]}…"


def _age(time: str, now: datetime) -> str:
    """How long ago, as kubectl says it."""
    then = datetime.fromisoformat(time)
    seconds = max(0, int((now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds()))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
