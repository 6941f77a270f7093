"""What publications that were cut off, and stages that are gone, leave on an MLflow server; found by `xstilts gc`.

Several stores may publish to one server: only what the store that is asked about has published is looked at.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from xstilts.tracking.connection import Calls
from xstilts.tracking.records import Leftover, Needed
from xstilts.tracking.registry import A_PAGE, CHECKPOINT, MODEL_ID, STAGE_KEY, STUDY, URI, wanted_versions
from xstilts.tracking.runs import CREATED, belongs_to, lies_in, managed_experiments, pages, seniority

ROLE = "xstilts.role"
TRIAL_KEY = "xstilts.trial_key"


class Found(NamedTuple):
    """A leftover, and how it is removed."""

    leftover: Leftover
    remove: Callable[[], object]


def find(calls: Calls, needed: Needed) -> list[Found]:
    """Of what the store has published, in the order in which it is best removed: a run last."""
    experiments = managed_experiments(calls)
    if not experiments:
        return []
    runs: dict[Hashable, list[Any]] = {}
    for run in _runs(calls, experiments):
        if belongs_to(run, needed.store):
            runs.setdefault(_identity(run), []).append(run)
    first = {identity: min(several, key=seniority) for identity, several in runs.items()}
    versions = wanted_versions(calls)
    models = _all_models(calls, experiments)
    kept_models = {version.tags.get(MODEL_ID) for version, reason in versions if reason}
    found = [
        *_versions(calls, [v for v, reason in versions if not reason and _is_ours(v, needed)], needed),
        *_models(calls, [m for m in models if m.model_id not in kept_models and _is_ours(m, needed)], first, needed),
        *_duplicate_runs(calls, runs, first),
        *_open_runs(calls, first, needed),
    ]
    return [each for each in found if each.leftover.created < needed.before]


# ---- versions and models


def _versions(calls: Calls, versions: Sequence[Any], needed: Needed) -> Iterator[Found]:
    seen: dict[Hashable, Any] = {}
    for version in sorted(versions, key=lambda version: int(version.version)):
        place = (version.name, version.tags[STAGE_KEY], version.tags.get(CHECKPOINT))
        lowest = seen.setdefault(place, version)
        why = f"the same as version {lowest.version}" if lowest is not version else _gone(version.tags, needed)
        if why:
            name = f"{version.name}/{version.version}"
            remove = partial(calls.delete_model_version, version.name, version.version)
            yield Found(Leftover("version", name, why, version.creation_timestamp / 1000), remove)


def _models(calls: Calls, models: Sequence[Any], first_runs: Mapping[Hashable, Any], needed: Needed) -> Iterator[Found]:
    seen: dict[Hashable, Any] = {}
    for model in sorted(models, key=lambda model: (model.creation_timestamp, model.model_id)):
        run = first_runs.get(("stage", model.tags[STAGE_KEY]))
        if run and model.source_run_id != run.info.run_id:
            why: str | None = f"of a duplicate of run {run.info.run_id}"
        else:
            oldest = seen.setdefault((model.tags[STAGE_KEY], model.tags.get(CHECKPOINT)), model)
            why = f"the same as {oldest.model_id}" if oldest is not model else _gone(model.tags, needed)
        if why:
            remove = partial(calls.delete_logged_model, model.model_id)
            yield Found(Leftover("model", model.model_id, why, model.creation_timestamp / 1000), remove)


def _is_ours(entity: Any, needed: Needed) -> bool:
    return lies_in(entity.tags.get(URI, ""), needed.store)


def _gone(tags: Mapping[str, str], needed: Needed) -> str | None:
    return None if tags[STAGE_KEY] in needed.stages else "its stage is gone"


def _all_models(calls: Calls, experiments: Sequence[str]) -> list[Any]:
    ours = f"tags.`{STAGE_KEY}` LIKE '%'"
    return pages(
        lambda token: calls.search_logged_models(
            list(experiments), filter_string=ours, max_results=A_PAGE, page_token=token
        )
    )


# ---- runs


def _runs(calls: Calls, experiments: Sequence[str]) -> list[Any]:
    ours = f"tags.`{ROLE}` LIKE '%'"
    return pages(
        lambda token: calls.search_runs(list(experiments), filter_string=ours, max_results=A_PAGE, page_token=token)
    )


def _identity(run: Any) -> Hashable:
    """Of one store's runs: a stage has one per server, a trial and a study one in their experiment."""
    tags = run.data.tags
    if tags[ROLE] == "stage":
        return "stage", tags.get(STAGE_KEY)
    return tags[ROLE], run.info.experiment_id, tags.get(STUDY), tags.get(TRIAL_KEY)


def _duplicate_runs(
    calls: Calls, runs: Mapping[Hashable, Sequence[Any]], first: Mapping[Hashable, Any]
) -> Iterator[Found]:
    for identity, several in runs.items():
        for run in several:
            if run is not first[identity]:
                why = f"the same as {first[identity].info.run_id}"
                yield Found(_leftover_run(run, why), partial(calls.delete_run, run.info.run_id))


def _open_runs(calls: Calls, first: Mapping[Hashable, Any], needed: Needed) -> Iterator[Found]:
    for run in first.values():
        if run.info.status == "RUNNING" and (end := _end(run, needed)):
            status, why = end
            yield Found(_leftover_run(run, why), partial(calls.set_terminated, run.info.run_id, status=status))


def _end(run: Any, needed: Needed) -> tuple[str, str] | None:
    """The status that the run should have, and why; None where it may still be running."""
    if run.data.tags[ROLE] == "stage":  # its run is open for the seconds of its publication only
        if run.data.tags.get(STAGE_KEY) in needed.stages:
            return "FINISHED", "open, but its stage is done"
        return "FAILED", "open, but its stage never ended"
    if run.data.tags.get(STUDY) in needed.ended:
        return "FAILED", "open, but its study has ended"
    return None


def _leftover_run(run: Any, why: str) -> Leftover:
    created = run.data.tags.get(CREATED)
    return Leftover("run", run.info.run_id, why, int(created) / 1e9 if created else run.info.start_time / 1000)
