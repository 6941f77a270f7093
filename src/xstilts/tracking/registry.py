"""LoggedModels and registered versions: one of each a checkpoint, found by tags.

Weights stay in the store; MLflow holds their address, their digest and what is known of them. A LoggedModel belongs
to the stage's run and a version to a LoggedModel: what belongs to something that is gone is removed and made again.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from xstilts.core.errors import NotPublished
from xstilts.tracking.connection import Calls
from xstilts.tracking.records import Checkpoint, CheckpointRef, StageRecord
from xstilts.tracking.runs import cut, equals, lies_in, pages

CHECKPOINT = "xstilts.checkpoint"
MODEL_ID = "xstilts.model_id"
STAGE_KEY = "xstilts.stage_key"
STUDY = "xstilts.study"
URI = "xstilts.uri"
"""Where the weights lie."""
EVICTED = "evicted"
"""Tag of versions whose weights are gone."""
PIN = "pin"
"""Tag that people set, to any value, on versions whose weights are to stay."""
A_PAGE = 1000
IS_EXTERNAL = "mlflow.model.isExternal"
"""MLflow's own mark, as `mlflow.create_external_model` sets it, of models whose weights lie elsewhere."""


def models_of_stage(calls: Calls, experiments: Sequence[str], stage_key: str, store: str) -> list[Any]:
    """All LoggedModels of a stage whose weights lie in the store, with their metrics, the oldest first."""
    every = calls.search_logged_models(list(experiments), filter_string=equals(stage_key=stage_key))
    found = [model for model in every if _is_of(model, store)]
    return sorted(found, key=lambda model: (model.creation_timestamp, model.model_id))


def find_models(
    calls: Calls, experiments: Sequence[str], refs: Iterable[CheckpointRef], store: str
) -> dict[CheckpointRef, Any]:
    """The LoggedModels of checkpoints that other stages have published."""
    wanted = set(refs)
    found: dict[CheckpointRef, Any] = {}
    for stage_key in sorted({ref.stage_key for ref in wanted}):
        for model in models_of_stage(calls, experiments, stage_key, store):
            found.setdefault(CheckpointRef(stage_key, model.tags.get(CHECKPOINT, "")), model)
    if missing := wanted - found.keys():
        raise NotPublished(
            f"checkpoint {', '.join(sorted(map(str, missing)))} has no LoggedModel on this server yet: "
            "the stage that made it publishes first"
        )
    return {ref: found[ref] for ref in wanted}


def ensure_models(
    calls: Calls, experiments: Sequence[str], run: Any, record: StageRecord, store: str
) -> dict[str, Any]:
    """Checkpoint name to its LoggedModel, READY. Of several the oldest stays."""
    models = _settled_models(calls, experiments, run, record.key, store)
    missing = [checkpoint for checkpoint in record.checkpoints if checkpoint.name not in models]
    for checkpoint in missing:
        _create_model(calls, run, record, checkpoint)
    if missing:  # another process may have been first; it is too late to see that once versions point to them
        models = _settled_models(calls, experiments, run, record.key, store)
    for model in models.values():
        if str(model.status) != "READY":
            calls.finalize_logged_model(model.model_id, "READY")
    return models


def ensure_versions(calls: Calls, record: StageRecord, models: Mapping[str, Any], store: str) -> dict[str, int]:
    """Checkpoint name to its version; of several the lowest stays."""
    name = registered_name(record.registered_model)
    versions: dict[str, int] = {}
    for version in _versions_of_stage(calls, name, record.key, store):
        checkpoint = version.tags.get(CHECKPOINT, "")
        model = models.get(checkpoint)
        belongs = model is not None and version.tags.get(MODEL_ID) == model.model_id
        if not belongs or versions.setdefault(checkpoint, int(version.version)) != int(version.version):
            calls.delete_model_version(name, version.version)
    missing = [checkpoint for checkpoint in record.checkpoints if checkpoint.name not in versions]
    if missing:
        _ensure_registered(calls, name, record)
    for checkpoint in missing:
        created = _create_version(calls, name, record, checkpoint, models[checkpoint.name])
        versions[checkpoint.name] = int(created.version)
    return versions


def kept_stages(calls: Calls, store: str) -> dict[str, str]:
    """Key of a stage of the store to what a person did with one of its versions."""
    wanted = wanted_versions(calls)
    return {version.tags[STAGE_KEY]: reason for version, reason in wanted if reason and _is_of(version, store)}


def wanted_versions(calls: Calls) -> list[tuple[Any, str | None]]:
    """All versions of checkpoints of stages, each with what keeps it: an alias, a pin, that a person copied it."""
    versions = _our_versions(calls)
    models = pages(lambda token: calls.search_registered_models(max_results=A_PAGE, page_token=token))
    aliases = {  # a search for versions does not tell them
        (model.name, int(version)): f"alias {alias} of {model.name}"
        for model in models
        for alias, version in model.aliases.items()
    }
    ours = {model.name for model in models if STUDY in model.tags}

    def reason(version: Any) -> str | None:
        if alias := aliases.get((version.name, int(version.version))):
            return alias
        if PIN in version.tags:
            return f"pin of {version.name} version {version.version}"
        return None if version.name in ours else f"copy in {version.name}"

    return [(version, reason(version)) for version in versions]


def set_evicted(calls: Calls, stage_keys: Collection[str], store: str, *, evicted: bool) -> None:
    """Sets or deletes the tag of all versions of the store's stages, in any registered model."""
    for version in _our_versions(calls):
        if not _is_of(version, store):
            continue
        if version.tags[STAGE_KEY] in stage_keys and (EVICTED in version.tags) != evicted:
            if evicted:
                calls.set_model_version_tag(version.name, version.version, EVICTED, "true")
            else:
                calls.delete_model_version_tag(version.name, version.version, EVICTED)


def _our_versions(calls: Calls) -> list[Any]:
    ours = f"tags.`{STAGE_KEY}` LIKE '%'"
    return pages(lambda token: calls.search_model_versions(ours, max_results=A_PAGE, page_token=token))


def registered_name(name: str) -> str:
    """A name that the registry takes: no slash, no colon."""
    return re.sub(r"[/:]", "-", name)


def logged_name(name: str) -> str:
    """A name that a LoggedModel takes."""
    return re.sub(r"[/:.%\"']", "-", name)


def _settled_models(calls: Calls, experiments: Sequence[str], run: Any, stage_key: str, store: str) -> dict[str, Any]:
    """Checkpoint name to the oldest LoggedModel of this run; all others that the store has of the stage are deleted."""
    models: dict[str, Any] = {}
    for model in models_of_stage(calls, experiments, stage_key, store):
        belongs = model.source_run_id == run.info.run_id
        if not belongs or models.setdefault(model.tags.get(CHECKPOINT, ""), model) is not model:
            calls.delete_logged_model(model.model_id)
    return models


def _create_model(calls: Calls, run: Any, record: StageRecord, checkpoint: Checkpoint) -> None:
    calls.create_logged_model(
        run.info.experiment_id,
        name=logged_name(f"{record.registered_model}-{record.kind}-{checkpoint.name}"),
        source_run_id=run.info.run_id,
        tags={**_tags(record, checkpoint), IS_EXTERNAL: "true"},
        params=cut({**record.params, "step": str(checkpoint.step)}),
        model_type=record.kind,
    )


def _ensure_registered(calls: Calls, name: str, record: StageRecord) -> None:
    if calls.search_registered_models(filter_string=f"name = '{name}'", max_results=1):
        return
    calls.create_registered_model(name, tags={STUDY: record.study, "xstilts.recipe": record.recipe})


def _create_version(calls: Calls, name: str, record: StageRecord, checkpoint: Checkpoint, model: Any) -> Any:
    # A server takes a source outside its own artifacts from nobody, and a client on SQLite resolves `models:/` by a
    # global address; the LoggedModel's own location is right for both. The weights' address is a tag.
    return calls.create_model_version(
        name,
        source=model.artifact_location,
        run_id=model.source_run_id,
        model_id=model.model_id,
        tags={**_tags(record, checkpoint), MODEL_ID: model.model_id},
        await_creation_for=0,
    )


def _versions_of_stage(calls: Calls, name: str, stage_key: str, store: str) -> list[Any]:
    every = calls.search_model_versions(f"name = '{name}' and {equals(stage_key=stage_key)}")
    return sorted((version for version in every if _is_of(version, store)), key=lambda version: int(version.version))


def _is_of(entity: Any, store: str) -> bool:
    """Whether the weights of a LoggedModel or version lie in the store: another one may have made the same stage."""
    return lies_in(entity.tags.get(URI, ""), store)


def _tags(record: StageRecord, checkpoint: Checkpoint) -> dict[str, str]:
    return {
        STAGE_KEY: record.key,
        "xstilts.stage_kind": record.kind,
        CHECKPOINT: checkpoint.name,
        "xstilts.step": str(checkpoint.step),
        "xstilts.digest": checkpoint.digest,
        URI: checkpoint.uri,
        STUDY: record.study,
        "xstilts.recipe": record.recipe,
    }
