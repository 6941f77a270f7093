"""MLflow's runs: found by tag or created once, then filled with what is missing.

Every function looks before it writes, so that a pass over a complete run writes nothing (see `connection`).
"""

import json
import logging
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from xstilts.core.errors import TrackingError
from xstilts.tracking.connection import Calls
from xstilts.tracking.records import DatasetUse

MANAGED = "xstilts.managed"
"""Tag of the experiments in which stages are looked for: a stage has one run a server, in whatever experiment."""

CHECKED = "xstilts.checked"
"""Tag of an experiment with the time of the last preflight, in milliseconds: proof that we may write."""
STORE = "xstilts.store"
"""Tag with the URI of the store that published a run: the same stage made in two stores has a run for each."""
CREATED = "xstilts.created"
"""Tag with the time at which a run was made, in nanoseconds: its own start is the stage's, in all duplicates."""

PARAM_LENGTH = 6000
PARAMS_A_BATCH = 100
METRICS_A_BATCH = 1000
RUNS_A_SEARCH = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """What a run begins with."""

    experiment: str
    name: str
    started: int
    tags: Mapping[str, str] = field(default_factory=dict)


def equals(**tags: str) -> str:
    """A filter on our tags."""
    return " and ".join(f"tags.`xstilts.{name}` = '{value}'" for name, value in tags.items())


def cut(params: Mapping[str, str]) -> dict[str, str]:
    """Values as long as MLflow takes them."""
    return {key: value[:PARAM_LENGTH] for key, value in params.items()}


def ensure_experiment(calls: Calls, name: str, *, artifacts: str | None) -> str:
    """Id of the experiment, created when there is none, and marked as one to look into."""
    experiment = calls.get_experiment_by_name(name)
    if experiment is None:
        return str(calls.create_experiment(name, artifact_location=artifacts, tags={MANAGED: "true"}))
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow's experiment {name!r} is deleted: restore it (mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}) or set tracking.experiment to another name"
        )
    if experiment.tags.get(MANAGED) != "true":
        calls.set_experiment_tag(experiment.experiment_id, MANAGED, "true")
    return str(experiment.experiment_id)


def prove_write(calls: Calls, experiment: str, *, since: int) -> None:
    """Write a time into the experiment, unless it holds a later one than `since`, in milliseconds."""
    tags = calls.get_experiment(experiment).tags
    if int(tags.get(CHECKED, 0)) < since:
        calls.set_experiment_tag(experiment, CHECKED, str(since))


def managed_experiments(calls: Calls) -> list[str]:
    """Ids of all experiments that hold our runs."""
    ours = f"tags.`{MANAGED}` = 'true'"
    found = pages(lambda token: calls.search_experiments(filter_string=ours, page_token=token))
    return [experiment.experiment_id for experiment in found]


def pages(search: Callable[[str | None], Any]) -> list[Any]:
    """All results of a search, which is called with the token of each page."""
    found, token = [], None
    while True:
        page = search(token)
        found += page
        token = page.token
        if not token:
            return found


def find_run(calls: Calls, experiments: Sequence[str], identity: Mapping[str, str], *, store: str) -> Any | None:
    """The run with these tags that the store published. Of several, the one created first stays, the rest are deleted.

    A run of a version that did not tag the store is adopted if the data that it read lie there, or it read none.
    """
    found = calls.search_runs(list(experiments), filter_string=equals(**identity), max_results=1000)
    runs = sorted((run for run in found if belongs_to(run, store)), key=seniority)
    for duplicate in runs[1:]:
        calls.delete_run(duplicate.info.run_id)
    if not runs:
        return None
    set_tags(calls, runs[0], {STORE: store})
    return runs[0]


def belongs_to(run: Any, store: str) -> bool:
    """Whether the store published the run."""
    if STORE in run.data.tags:
        return bool(run.data.tags[STORE] == store)
    sources = [_source(used.dataset) for used in (run.inputs.dataset_inputs if run.inputs else ())]
    return not sources or any(lies_in(source, store) for source in sources)


def lies_in(uri: str, store: str) -> bool:
    """Whether the address is of a stage or data set in the store, and not in one that lies below it."""
    return uri.startswith((f"{store}/stages/", f"{store}/datasets/"))


def known_runs(calls: Calls, run_ids: Collection[str], *, store: str) -> set[str]:
    """Those of the ids whose runs are on the server, not deleted, and the store's."""
    experiments = managed_experiments(calls)
    known: set[str] = set()
    for batch in _batches(sorted(run_ids), RUNS_A_SEARCH) if experiments else ():
        listed = ", ".join(f"'{run_id}'" for run_id in batch)
        found = calls.search_runs(experiments, filter_string=f"attributes.run_id IN ({listed})", max_results=1000)
        known |= {run.info.run_id for run in found if belongs_to(run, store)}
    return known


def seniority(run: Any) -> tuple[str, str]:
    """Of several runs for one thing the lowest stays."""
    return run.data.tags.get(CREATED, ""), run.info.run_id


def ensure_run(
    calls: Calls, experiments: Sequence[str], identity: Mapping[str, str], new: NewRun, *, store: str
) -> Any:
    """The run with these tags that the store published, created when there is none.

    It is looked for again after creation, before anything is hung on it: another process may have been first.
    """
    if run := find_run(calls, experiments, identity, store=store):
        return run
    own = {
        CREATED: f"{time.time_ns():020d}",
        STORE: store,
        **{f"xstilts.{key}": value for key, value in identity.items()},
    }
    run = calls.create_run(new.experiment, start_time=new.started, tags={**new.tags, **own}, run_name=new.name)
    return find_run(calls, experiments, identity, store=store) or run


def log_params(calls: Calls, run: Any, params: Mapping[str, str]) -> None:
    """Params are set once; one that differs from what is there stays as it is, with a warning."""
    from mlflow.entities import Param

    wanted = cut(params)
    present = run.data.params
    for key in sorted(wanted.keys() & present.keys()):
        if wanted[key] != present[key]:
            _log.warning("run %s keeps param %s=%r, not %r", run.info.run_id, key, present[key], wanted[key])
    missing = [Param(key, value) for key, value in wanted.items() if key not in present]
    for batch in _batches(missing, PARAMS_A_BATCH):
        calls.log_batch(run.info.run_id, params=batch)


def set_tags(calls: Calls, run: Any, tags: Mapping[str, str]) -> None:
    """Tags that are missing or have changed."""
    from mlflow.entities import RunTag

    changed = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
    for batch in _batches(changed, PARAMS_A_BATCH):
        calls.log_batch(run.info.run_id, tags=batch)


def log_metrics(calls: Calls, run: Any, metrics: Sequence[Any], models: Iterable[Any] = ()) -> None:
    """Metrics that the run, or the LoggedModel they are linked to, does not have yet."""
    run_id = run.info.run_id
    at_models = {_linked(model.model_id, m) for model in models for m in model.metrics or () if m.run_id == run_id}
    at_run = _run_points(calls, run, {metric.key for metric in metrics if metric.model_id is None})
    missing = [
        metric
        for metric in metrics
        if (_linked(metric.model_id, metric) not in at_models if metric.model_id else _point(metric) not in at_run)
    ]
    for batch in _batches(missing, METRICS_A_BATCH):
        calls.log_batch(run.info.run_id, metrics=batch)


def update_metrics(calls: Calls, run: Any, values: Mapping[str, float]) -> None:
    """Metrics without a history: logged at step 0, and again only where the value has changed.

    The first value takes the run's own start as its time, so that two processes log the same point; of points with
    equal times MLflow shows the largest value, so that a later one needs a later time.
    """
    from mlflow.entities import Metric

    present = run.data.metrics
    now = int(time.time() * 1000)
    changed = [
        Metric(key, value, now if key in present else run.info.start_time, 0)
        for key, value in values.items()
        if key not in present or not _same(present[key], value)
    ]
    for batch in _batches(changed, METRICS_A_BATCH):
        calls.log_batch(run.info.run_id, metrics=batch)


def link_inputs(calls: Calls, run: Any, datasets: Iterable[DatasetUse], model_ids: Iterable[str] = ()) -> None:
    """Data sets that the run read and LoggedModels that it started from."""
    from mlflow.entities import LoggedModelInput

    wanted = set(model_ids)
    inputs = calls.get_run(run.info.run_id).inputs if wanted else run.inputs  # a search leaves out models
    known = {(known.dataset.name, known.dataset.digest) for known in inputs.dataset_inputs}
    missing = {(use.name, use.digest): use for use in datasets if (use.name, use.digest) not in known}
    known_models = {known.model_id for known in inputs.model_inputs}
    models = [LoggedModelInput(model_id) for model_id in sorted(wanted - known_models)]
    if missing or models:
        calls.log_inputs(run.info.run_id, [_dataset_input(use) for use in missing.values()], models)


def link_outputs(calls: Calls, run: Any, steps: Mapping[str, int]) -> None:
    """LoggedModels, by id, that the run made, each with its step."""
    from mlflow.entities import LoggedModelOutput

    outputs = run.outputs.model_outputs if run.outputs else []
    known = {output.model_id for output in outputs}
    missing = [LoggedModelOutput(model_id, step) for model_id, step in steps.items() if model_id not in known]
    if missing:
        calls.log_outputs(run.info.run_id, missing)


def set_status(calls: Calls, run: Any, status: str, *, end_time: int | None = None) -> None:
    """End the run, or open it again."""
    if run.info.status == status:
        return
    if status == "RUNNING":
        calls.update_run(run.info.run_id, status=status)
    else:
        calls.set_terminated(run.info.run_id, status=status, end_time=end_time)


def _dataset_input(use: DatasetUse) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    tags = {"mlflow.data.context": use.context, **use.tags}
    dataset = Dataset(use.name, use.digest, source_type="xstilts", source=json.dumps({"uri": use.source}))
    return DatasetInput(dataset, [InputTag(key, value) for key, value in tags.items()])


def _source(dataset: Any) -> str:
    """Where it lies in the store that it was read from, as `_dataset_input` tells it."""
    try:
        return str(json.loads(dataset.source)["uri"])
    except (ValueError, TypeError, KeyError):
        return str(dataset.source)


def _run_points(calls: Calls, run: Any, keys: Iterable[str]) -> set[tuple[str, int, int]]:
    """What the histories hold; asked only for the metrics of which there is any value."""
    logged = sorted(set(keys) & run.data.metrics.keys())
    return {_point(metric) for key in logged for metric in calls.get_metric_history(run.info.run_id, key)}


def _point(metric: Any) -> tuple[str, int, int]:
    return (metric.key, metric.step, metric.timestamp)


def _linked(model_id: str, metric: Any) -> tuple[object, ...]:
    return (model_id, metric.dataset_name, metric.dataset_digest, *_point(metric))


def _same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _batches(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
