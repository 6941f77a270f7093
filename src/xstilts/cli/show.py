"""What the terminal shows: plans, live progress, status."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from xstilts.acceptance import PUBLISHED
from xstilts.api.study import StageKind
from xstilts.core import cost
from xstilts.core.errors import ExitCode
from xstilts.core.missing import Done
from xstilts.core.plan import Plan, PlannedStage
from xstilts.core.results import Outcome
from xstilts.core.world import World
from xstilts.stages.bench import Progress
from xstilts.stages.runner import load_outcome
from xstilts.store.port import ObjectStore

if TYPE_CHECKING:
    from xstilts import report
    from xstilts.report.verification import Verification

SHOWN_PROBLEMS = 10


def plan(planned: Plan, world: World, done: Done, tokens_per_second: float | None) -> RenderableType:
    """What a study would do, what sharing saves, and what it costs at most."""
    table = Table("stage", "in a naive grid", "shared", "there already", "to run", "examples", "tokens at most")
    to_run = done.to_run(planned)
    for kind, stages in _by_kind(planned).items():
        missing = [stage for stage in stages if stage.address in to_run]
        table.add_row(
            kind,
            str(planned.naive[kind]),
            str(len(stages)),
            str(len(stages) - len(missing)),
            str(len(missing)),
            _short(sum(stage.examples for stage in missing)),
            _short(sum(stage.tokens for stage in missing)),
        )
    total, naive = len(planned.stages), planned.naive_stages
    lines = [
        f"{planned.study}: {len(planned.trials)} trials, {total} stages; "
        f"a grid that shares nothing would run {naive} ({naive / max(total, 1):.1f} times as many)"
    ]
    if tokens_per_second:
        missing_stages = [stage for stage in planned.stages.values() if stage.address in to_run]
        lines.append(f"at most {cost.device_hours(missing_stages, tokens_per_second):,.0f} device hours")
    lines += [
        f"not applicable: recipe {entry.recipe}, size {entry.size}: it has {entry.available} rows"
        for entry in planned.not_applicable
    ]
    missing_data = [name for name, data in sorted(world.datasets.items()) if data.splits[0].layout == PUBLISHED]
    if missing_data:
        lines.append(
            f"not in the store, planned with their published sizes (keys are provisional): {', '.join(missing_data)}"
        )
    return Group(table, *lines)


def status(planned: Plan, done: Done, store: ObjectStore) -> RenderableType:
    """Stages and trials of an accepted study, with the reasons of attempts that failed."""
    table = Table("stage", "done", "published", "of")
    for kind, stages in _by_kind(planned).items():
        addresses = {stage.address for stage in stages}
        ready, shown = addresses & done.manifests.keys(), addresses & done.published
        table.add_row(kind, str(len(ready)), str(len(shown)), str(len(addresses)))
    finished = sum(done.published.issuperset(trial.stages) for trial in planned.trials)
    lines = [f"{planned.study}: {finished} of {len(planned.trials)} trials succeeded"]
    if done.evicted:
        lines.append(f"evicted: the weights of {len(done.evicted)} stages, whose results are all there")
    for address in planned.stages:
        outcome = None if address in done.manifests else load_outcome(store, address)
        if outcome and outcome.exit_code != ExitCode.SUCCEEDED:
            lines.append(f"{address}: {outcome.told}")
    return Group(table, *lines)


def results(found: "report.Results") -> RenderableType:
    """Scores with intervals over seeds."""
    from xstilts.report import text

    return text.scores_table(found)


def verification(found: "Verification") -> RenderableType:
    """How many numbers of each target agree."""
    table = Table("target", "numbers", "agree", "evaluations")
    for target in dict.fromkeys(number.target for number in found.numbers):
        numbers = [number for number in found.numbers if number.target == target]
        evaluations = {number.evaluation for number in numbers}
        table.add_row(target, str(len(numbers)), str(sum(n.agrees for n in numbers)), str(len(evaluations)))
    return table


def problems(found: "Verification") -> str:
    """What does not agree, the first few in full."""
    more = len(found.problems) - SHOWN_PROBLEMS
    rest = [f"and {more} more"] if more > 0 else []
    return "\n  ".join([f"{len(found.problems)} problems:", *found.problems[:SHOWN_PROBLEMS], *rest])


def failures(reasons: Mapping[str, str]) -> str:
    """One line a reason, with the trials that it failed."""
    trials: dict[str, list[str]] = {}
    for trial, reason in reasons.items():
        trials.setdefault(reason, []).append(trial)
    lines = (f"  {reason} (trials: {', '.join(names)})" for reason, names in trials.items())
    return f"{len(reasons)} trials failed:\n" + "\n".join(lines)


class Live:
    """Live progress on a terminal, a line a finished stage elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._total: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}
        self._count = 0
        self._missing = 0

    def planned(self, planned: Plan, done: Done) -> None:
        self._missing = len(planned.stages) - len(done.settled(planned))
        self._console.print(
            f"{planned.study}: {len(planned.trials)} trials, {len(planned.stages)} stages, {self._missing} to run"
        )
        if self._missing:
            self._bars.start()
            self._total = self._bars.add_task("stages", total=self._missing, note="")

    def started(self, stage: PlannedStage) -> None:
        self._tasks[stage.address] = self._bars.add_task(_title(stage), total=None, note="")

    def progressed(self, stage: PlannedStage, progress: Progress) -> None:
        task = self._tasks[stage.address]
        self._bars.update(task, completed=progress.done, total=progress.total, note=progress.note)

    def finished(self, stage: PlannedStage, outcome: Outcome, retry: str | None) -> None:
        self._bars.remove_task(self._tasks.pop(stage.address))
        if outcome.exit_code == ExitCode.SUCCEEDED:
            self._count += 1
            if self._total is not None:
                self._bars.advance(self._total)
            if not self._console.is_terminal:
                seconds = (outcome.finished - outcome.started) / 1000
                self._console.print(f"[{self._count}/{self._missing}] {_title(stage)} {seconds:.1f} s", markup=False)
        elif outcome.exit_code != ExitCode.LEASE_HELD:
            again = ", will be tried again" if retry else ""
            self._console.print(f"{_title(stage)}: {outcome.told}{again}", markup=False)

    def ended(self) -> None:
        self._bars.stop()


def _title(stage: PlannedStage) -> str:
    return f"{stage.kind} {stage.recipe} {stage.key[:8]}"


def _by_kind(planned: Plan) -> dict[StageKind, list[PlannedStage]]:
    """In the order in which data flows."""
    kinds: dict[StageKind, list[PlannedStage]] = {kind: [] for kind in planned.naive}
    for stage in planned.stages.values():
        kinds[stage.kind].append(stage)
    return {kind: stages for kind, stages in kinds.items() if stages}


def _short(number: float) -> str:
    for unit in ("", "k", "M", "G", "T"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g}P"
