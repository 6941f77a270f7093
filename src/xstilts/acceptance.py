"""From a Study to a frozen plan, and from a plan to what is done of it: the I/O around the pure planner.

The CLI and the engines come here; status and report are always derived from the plan in the store and from the
manifests that stages left, never from memory.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from xstilts.api.access import StoreSpec
from xstilts.api.base import Model
from xstilts.api.names import PLAN
from xstilts.api.study import StageKind, Study, TargetRef, TaskRef
from xstilts.core.catalogue import ENGLISH, TEXT_SPLIT, Source, TaskSpec
from xstilts.core.encoders import UNKNOWN, Limits, naming
from xstilts.core.errors import UserError
from xstilts.core.keys import digest
from xstilts.core.manifests import ArtifactManifest, DatasetManifest, Eviction, Split
from xstilts.core.missing import Done
from xstilts.core.plan import Plan, PlannedStage
from xstilts.core.planner import plan
from xstilts.core.results import EvaluationFacts, Publication, TrainingFacts
from xstilts.core.world import World
from xstilts.stages import VERSIONS
from xstilts.stages.publication import KnownRuns, published_run, receipt_key, still_known
from xstilts.store import artifacts, documents, evictions, studies
from xstilts.store.datasets import load_dataset
from xstilts.store.models import check_folder, local_folder, resolve_model, stored_limits
from xstilts.store.open import open_store
from xstilts.store.port import ObjectStore
from xstilts.tasks import registry

log = logging.getLogger(__name__)

PUBLISHED = "as-published"
"""Layout of splits that are not in the store and are planned with by their published row counts."""

MANY_ROWS = 10**9
"""Rows of a split that nobody has counted, where sizes are only checked."""


def store_of(spec: StoreSpec) -> ObjectStore:
    """The store that a Study names."""
    return open_store(spec.uri, endpoint=spec.endpoint, region=spec.region, path_style=spec.path_style)


def resolve_world(study: Study, store: ObjectStore, *, open_at: Callable[[StoreSpec], ObjectStore] = store_of) -> World:
    """Imports the model if need be, and reads the manifests of the data sets that the Study needs."""
    model = study.spec.model

    def open_source(uri: str) -> ObjectStore:
        return open_at(study.spec.store.model_copy(update={"uri": uri}))

    manifest = resolve_model(store, uri=model.uri, name=model.name, revision=model.revision, open_source=open_source)
    with naming(f"model.{'uri' if model.uri else 'name'} {model.uri or model.name!r}"):
        limits = stored_limits(store, manifest)
    return World(
        tasks=_specs(),
        datasets=dict(_stored(study, store)),
        model_digest=manifest.key,
        versions=VERSIONS,
        limits=limits,
    )


def provisional_world(study: Study, store: ObjectStore | None) -> World:
    """Like `resolve_world`, but writes nothing: data sets that are missing count with their published rows.

    Keys of a plan made in it hold only for the data that are there. Without a store nothing is read either, and where
    no number of rows is published no size is too large. A model in a directory of this machine is checked.
    """
    limits = _local_limits(study.spec.model.uri)
    stored = dict(_stored(study, store)) if store else {}
    names = {need.source.dataset for need in _needs(study)} - stored.keys()
    unknown = 0 if store else MANY_ROWS
    datasets = stored | {name: _as_published(name, study, unknown) for name in names}
    model = digest(study.spec.model.document())
    return World(tasks=_specs(), datasets=datasets, model_digest=model, versions=VERSIONS, limits=limits)


def _local_limits(uri: str | None) -> Limits:
    """Of a model in a directory of this machine; others are checked when they are brought into the store.

    Raises UserError for one that no stage could load.
    """
    folder = local_folder(uri) if uri else None
    return check_folder(folder, name=f"model.uri {uri!r}").limits if folder else UNKNOWN


def accept(
    study: Study,
    store: ObjectStore,
    *,
    previous: str | None = None,
    open_at: Callable[[StoreSpec], ObjectStore] = store_of,
) -> Plan:
    """Resolves everything from outside, plans, and freezes both in the store.

    `previous` is the digest of an earlier plan of the Study: what it was resolved to still holds, and only what it did
    not need is looked up now. `open_at` opens the place of the model.
    """
    if previous is None:
        world = resolve_world(study, store, open_at=open_at)
    else:
        world = _resolved_before(study, store, previous)
    planned = plan(study, world)
    inputs = ResolvedInputs(model_digest=world.model_digest, datasets=dict(world.datasets))
    store.put(_inputs_key(planned.study, planned.digest), documents.encode(inputs))
    studies.put_plan(store, study, planned)
    return planned


def load_plan(store: ObjectStore, study: str) -> Plan:
    """The plan that was accepted last. Raises UserError where there is none."""
    planned = studies.load_plan(store, study)
    if planned is None:
        raise UserError(f"study {study!r} was never accepted in {store.uri}; run it first: xstilts run")
    return planned


def load_frozen(store: ObjectStore, study: str, plan_digest: str) -> Plan:
    """A plan by its digest. Raises UserError where it is gone, IntegrityError where it can't be read."""
    found = documents.load(store, studies.plan_key(study, plan_digest), Plan)
    if found is None:
        raise _gone(study, plan_digest, store)
    return found


class ResolvedInputs(Model):
    """What a plan was made from, beside the Study and the code."""

    model_digest: str
    datasets: dict[str, DatasetManifest]


def _inputs_key(study: str, plan_digest: str) -> str:
    return f"studies/{study}/inputs/{plan_digest}.json"


def _resolved_before(study: Study, store: ObjectStore, previous: str) -> World:
    before = documents.load(store, _inputs_key(study.metadata.name, previous), ResolvedInputs)
    if before is None:
        raise _gone(study.metadata.name, previous, store)
    return World(
        tasks=_specs(),
        datasets=dict(_stored(study, store)) | before.datasets,
        model_digest=before.model_digest,
        versions=VERSIONS,
    )


def _gone(study: str, plan_digest: str, store: ObjectStore) -> UserError:
    return UserError(
        f"plan {plan_digest} of study {study!r}, which was accepted, is not in {store.uri}; restore studies/{study}/ "
        f"there, or apply the study under another name (without its annotation {PLAN}) to plan it from today's data"
    )


# ---- what is done


def publication_of(planned: Plan, stage: PlannedStage) -> Publication:
    return Publication(study=planned.study, experiment=planned.experiment, recipe=stage.recipe)


def observe(planned: Plan, store: ObjectStore, *, server: str, known_runs: KnownRuns | None = None) -> Done:
    """Looks at every stage of the plan: its manifest, the files that it names, its receipt for the server.

    With `known_runs` the server is asked for the run of the oldest receipt: where that is gone, nothing counts as
    published, because a server that lost its database has lost what is older than whatever was published since.
    """
    blobs = {entry.key: entry.size for entry in store.list("blobs/")}
    there = {entry.key: entry.modified for entry in store.list("stages/")}
    candidates = [address for address in planned.stages if artifacts.manifest_key(address) in there]
    with ThreadPoolExecutor(16) as pool:
        loaded = list(pool.map(lambda address: _look(store, address, there), candidates))
    published, manifests, evicted = dict[str, str](), dict[str, ArtifactManifest](), set[str]()
    for address, (manifest, eviction) in zip(candidates, loaded, strict=True):
        if manifest is None or not evictions.is_whole(manifest, eviction, blobs):
            continue
        manifests[address] = manifest
        is_evicted = eviction is not None and eviction.concerns(manifest)
        if is_evicted:
            evicted.add(address)
        receipt = receipt_key(address, server=server, publication=publication_of(planned, planned.stages[address]))
        if receipt in there and (is_evicted or not eviction):  # else MLflow still calls it evicted
            published[address] = receipt
    if known_runs and published:
        oldest = min(published.values(), key=lambda receipt: there[receipt])
        if _is_forgotten(store, oldest, known_runs, server):
            published.clear()
    return Done(manifests=manifests, published=frozenset(published), evicted=frozenset(evicted))


def _is_forgotten(store: ObjectStore, receipt: str, known_runs: KnownRuns, server: str) -> bool:
    """Whether the run of a receipt is gone from its server; a server that does not answer is believed to have it."""
    run = published_run(store, receipt)
    if run is not None and run in still_known(known_runs, [run]):
        return False
    log.warning(
        "MLflow at %s no longer has run %s, which %s names (was its database replaced?): all is published again",
        server,
        run,
        receipt,
    )
    return True


def _look(store: ObjectStore, address: str, there: Collection[str]) -> tuple[ArtifactManifest | None, Eviction | None]:
    eviction = evictions.load(store, address) if evictions.eviction_key(address) in there else None
    return artifacts.load_manifest(store, address), eviction


def evaluations(planned: Plan, manifests: Mapping[str, ArtifactManifest]) -> dict[str, EvaluationFacts]:
    """Scores by address, of the evaluations that are done."""
    done = _done(planned, manifests, ("evaluation",))
    return {address: EvaluationFacts.model_validate(manifest.facts) for address, manifest in done}


def trainings(planned: Plan, manifests: Mapping[str, ArtifactManifest]) -> dict[str, TrainingFacts]:
    """Histories by address, of the training stages that are done."""
    done = _done(planned, manifests, ("intermediate-training", "target-training"))
    return {address: TrainingFacts.model_validate(manifest.facts) for address, manifest in done}


def _done(
    planned: Plan, manifests: Mapping[str, ArtifactManifest], kinds: tuple[StageKind, ...]
) -> Iterator[tuple[str, ArtifactManifest]]:
    for address, stage in planned.stages.items():
        if stage.kind in kinds and address in manifests:
            yield address, manifests[address]


# ---- what a Study needs


def _specs() -> dict[str, TaskSpec]:
    return {name: task.spec for name, task in registry.tasks().items()}


class _Need(NamedTuple):
    """A split of a data set that the Study names, in the languages that it may want."""

    source: Source
    languages: tuple[str, ...]
    published_rows: int


def _needs(study: Study) -> Iterator[_Need]:
    """Unknown tasks are left for the planner to explain."""
    if pretraining := study.spec.pretraining:
        yield _Need(Source(pretraining.data, TEXT_SPLIT), pretraining.languages or (ENGLISH,), 0)
    for recipe in study.spec.recipes:
        if mlm := recipe.mlm:
            yield _Need(Source(mlm.dataset, TEXT_SPLIT), mlm.languages or (ENGLISH,), 0)
    refs: list[TaskRef | TargetRef] = [*(task for recipe in study.spec.recipes for task in recipe.tasks)]
    for ref in [*refs, *study.spec.targets]:
        if spec := _specs().get(ref.name):
            translation = (ref.translation,) if isinstance(ref, TaskRef) and ref.translation else ()
            dev_languages = (ENGLISH,) if spec.train else spec.languages
            for source, languages in ((spec.train, (ENGLISH, *translation)), (spec.dev, dev_languages)):
                if source:
                    named = Source(ref.data or source.dataset, source.split)
                    yield _Need(named, languages, spec.published_rows.get(source, 0))
            if isinstance(ref, TargetRef) and spec.test:
                languages = ref.languages or spec.languages
                yield _Need(spec.test, languages, spec.published_rows.get(spec.test, 0))


def _stored(study: Study, store: ObjectStore) -> Iterable[tuple[str, DatasetManifest]]:
    for name in sorted({need.source.dataset for need in _needs(study)}):
        manifest = load_dataset(store, name)
        if manifest:
            yield name, manifest


def _as_published(name: str, study: Study, unknown: int) -> DatasetManifest:
    """A data set with the rows that its tasks' specs cite, in the splits and languages that the Study names.

    `unknown` is the number of rows where a spec cites none.
    """
    splits = {
        (need.source.split, language): Split(
            dataset=name,
            split=need.source.split,
            language=language,
            layout=PUBLISHED,
            rows=need.published_rows or unknown,
            files=(),
        )
        for need in _needs(study)
        if need.source.dataset == name
        for language in need.languages
    }
    return DatasetManifest(name=name, splits=tuple(splits[key] for key in sorted(splits)))
