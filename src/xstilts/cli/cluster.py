"""`xstilts apply | logs | retry | cancel`, and `status` of a Study in the cluster: all that need a Kubernetes API."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from xstilts.api import names
from xstilts.api.load import Document, load_documents
from xstilts.api.schedule import StudySchedule
from xstilts.api.study import DeletionPolicy
from xstilts.cli import pod_logs, terminal
from xstilts.cli.cluster_views import ClusterStudy, find_study, read_trials
from xstilts.cli.stores import CaFileOption, EndpointOption, PathStyleOption, RegionOption, opened_from_here
from xstilts.cluster.errors import ClusterUnavailable, Conflict
from xstilts.cluster.port import SCHEDULES, STUDIES, Cluster, Object
from xstilts.core.errors import TemporaryError, UserError

FIELD_MANAGER = "xstilts"
"""Whose fields are those that `xstilts apply` sets; the operator has its own."""
POLL_SECONDS = 1.0

NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace; the context's by default, as for kubectl.")
]
ContextOption = Annotated[str | None, typer.Option(help="Context of the kubeconfig; the current one by default.")]
StudyName = Annotated[str, typer.Argument(help="Name of the Study.")]

Pause = Callable[[float], None]


class StillThere(TemporaryError):
    """A Study is being deleted, but has not gone in time."""


def apply(
    file: Annotated[Path, typer.Argument(help="YAML file with Studies and StudySchedules.")],
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the API server check everything, and change nothing.")
    ] = False,
    force_conflicts: Annotated[
        bool, typer.Option("--force-conflicts", help="Take over fields that another program has set.")
    ] = False,
) -> None:
    """Apply Studies and StudySchedules to the cluster.

    Everything is checked here first, and then by the API server, strictly; of several documents none is written where
    one is refused. Fields that an earlier file set and this one does not are removed.
    """
    documents = load_documents(file)
    cluster = connected(context)
    for line in applied(cluster, documents, namespace, dry_run=dry_run, force=force_conflicts):
        terminal.console().print(line, markup=False, soft_wrap=True)


def logs(
    name: StudyName,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    trial: Annotated[str, typer.Option(help="Trial, as `xstilts status` names it.")] = "",
    stage: Annotated[str, typer.Option(help="Stage, such as intermediate-training or evaluation/xnli.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the stage ends.")] = False,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    path_style: PathStyleOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Show what a stage prints, from its pod or from the store.

    Of those that fit, the stage that is at work, else the one that failed last, else the one that ended last. Where the
    pod has gone, the store has the last lines and how it ended; its credentials come from the environment.
    """
    cluster = connected(context)
    study = find_study(cluster, namespace or cluster.namespace, name)
    pod_logs.show(
        cluster,
        study,
        open_store=lambda: opened_from_here(
            study.store, endpoint=endpoint, region=region, path_style=path_style, ca_file=ca_file
        ),
        trial=trial,
        stage=stage,
        follow=follow,
        pause=time.sleep,
    )


def cancel(
    name: StudyName,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    wait: Annotated[bool, typer.Option(help="Wait until the Study has gone.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.")] = 300.0,
) -> None:
    """Delete a Study from the cluster, and wait until it has gone.

    What it has made stays in the store and in MLflow: applying it again goes on from there.
    """
    cluster = connected(context)
    study = find_study(cluster, namespace or cluster.namespace, name)
    for line in cancelled(cluster, study, timeout=timeout if wait else None):
        terminal.console().print(line, markup=False, soft_wrap=True)


def retry(
    name: StudyName,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    trial: Annotated[
        list[str] | None,
        typer.Option(help="Only this trial, as `xstilts status` names it; repeatable."),
    ] = None,
) -> None:
    """Start the failed trials of a Study again, in place.

    Trials that succeeded stay as they are, and so does what failed trials have made before they failed. Budgets of
    retries and the deadline count from now on; GPU hours go on from what is used.
    """
    cluster = connected(context)
    study = find_study(cluster, namespace or cluster.namespace, name)
    for line in retried(cluster, study, trial or ()):
        terminal.console().print(line, markup=False, soft_wrap=True)


def connected(context: str | None) -> Cluster:
    """The cluster that kubectl would talk to."""
    from xstilts.cluster.api import connect

    return connect(context=context)


# ---- what the commands do


def applied(
    cluster: Cluster,
    documents: Sequence[Document],
    namespace: str | None = None,
    *,
    dry_run: bool = False,
    force: bool = False,
) -> Iterator[str]:
    """Applies the documents, and says what became of each.

    Of several, all are checked by the API server before the first is written.
    """
    placed = [(document, _placed(document, namespace or cluster.namespace, namespace)) for document in documents]
    if len(placed) > 1 and not dry_run:
        for document, content in placed:
            _applied(cluster, document, content, dry_run=True, force=force)
    for document, content in placed:
        before, after = _applied(cluster, document, content, dry_run=dry_run, force=force)
        yield f"{_title(document)} {_change(before, after)}{' (dry run)' if dry_run else ''} in {_where(after)}"


def _placed(document: Document, default: str, asked: str | None) -> Object:
    """The content with its namespace."""
    own = document.resource.metadata.namespace
    if own and asked and own != asked:
        raise UserError(f"{_title(document)}: its metadata.namespace is {own!r}, but --namespace says {asked!r}")
    return {**document.content, "metadata": {**document.content["metadata"], "namespace": own or default}}


def _applied(
    cluster: Cluster, document: Document, content: Object, *, dry_run: bool, force: bool
) -> tuple[Object | None, Object]:
    """The object before and after."""
    resource = SCHEDULES if isinstance(document.resource, StudySchedule) else STUDIES
    before = cluster.get(resource, content["metadata"]["namespace"], content["metadata"]["name"])
    try:
        after = cluster.apply(resource, content, field_manager=FIELD_MANAGER, force=force, strict=True, dry_run=dry_run)
    except Conflict as error:
        raise UserError(
            f"{_title(document)}: another program has set fields that the file changes; --force-conflicts takes them "
            f"over ({error})"
        ) from error
    return before, after


def _title(document: Document) -> str:
    return f"{document.resource.kind.lower()}/{document.resource.metadata.name}"


def _where(obj: Object) -> str:
    return f"namespace {obj['metadata']['namespace']}"


def _change(before: Object | None, after: Object) -> str:
    if before is None:
        return "created"
    parts = ("spec", "labels", "annotations")
    same = all((before | before["metadata"]).get(part) == (after | after["metadata"]).get(part) for part in parts)
    return "unchanged" if same else "configured"


def retried(cluster: Cluster, study: ClusterStudy, trials: Sequence[str] = ()) -> Iterator[str]:
    """Asks the operator for it by the annotation; see `names.RETRY`."""
    found = read_trials(cluster, study)
    failed = [each.name for each in found if each.state == "Failed"]
    if unknown := [name for name in trials if name not in failed]:
        raise UserError(
            f"--trial: {', '.join(unknown)} of {study.title} has not failed; failed are: {', '.join(failed) or 'none'}"
        )
    if not failed and study.succeeded is not False:
        raise UserError(f"{study.title} has no failed trials, and has not failed; there is nothing to start again")
    asked = " ".join([uuid.uuid4().hex, *trials])
    cluster.patch(STUDIES, study.namespace, study.name, {"metadata": {"annotations": {names.RETRY: asked}}})
    yield f"{study.title}: {len(trials or failed)} failed trials start again; xstilts status {study.name} follows them"


def cancelled(
    cluster: Cluster,
    study: ClusterStudy,
    *,
    timeout: float | None,
    pause: Pause = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[str]:
    """Deletes the Study, and waits for `timeout` seconds until it has gone; not at all for None."""
    cluster.delete(STUDIES, study.namespace, study.name, uid=study.uid)
    orphans = study.deletion_policy is DeletionPolicy.ORPHAN
    yield f"{study.title} is being deleted" + (
        "; its Trials and Jobs stay and run to their end (deletionPolicy: Orphan)" if orphans else ""
    )
    if timeout is not None:
        deadline = clock() + timeout
        while left := _left(cluster, study):
            if clock() >= deadline:
                raise StillThere(
                    f"{study.title} is still there after {timeout:.0f} s, held by finalizers {', '.join(left)}: the "
                    "operator takes its own off when running stages have ended, if it is running"
                )
            pause(POLL_SECONDS)
        yield f"{study.title} has gone"
    yield f"What it has made stays in {study.store.uri} and in MLflow: applying it again goes on from there"


def _left(cluster: Cluster, study: ClusterStudy) -> list[str]:
    """What holds that very Study; empty when it has gone."""
    try:
        found = cluster.get(STUDIES, study.namespace, study.name)
    except ClusterUnavailable as error:
        return [f"unknown ({error})"]
    if found is None or found["metadata"]["uid"] != study.uid:
        return []
    return found["metadata"].get("finalizers") or ["none"]
