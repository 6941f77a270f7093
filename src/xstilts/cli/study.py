"""`xstilts init | validate | plan | run | status | report | verify | publish`: a study from its file to its report."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from xstilts import acceptance
from xstilts.api.access import EngineType
from xstilts.api.load import load_study
from xstilts.api.study import Study
from xstilts.cli import cluster_report, terminal
from xstilts.cli.cluster import ContextOption, NamespaceOption, connected
from xstilts.cli.cluster_views import find_study
from xstilts.cli.stores import CaFileOption, EndpointOption, PathStyleOption, RegionOption, opened_from_here
from xstilts.core import extras, planner
from xstilts.core.errors import ExitCode, IntegrityError, PermanentError, UserError

StudyFile = Annotated[Path, typer.Argument(help="The study's YAML file.")]
ReportFolder = Annotated[Path | None, typer.Option("--out", help="Folder for the report; reports/<study> by default.")]

INTERRUPTED = 128 + signal.SIGINT

TEMPLATE = """\
# How does the size of English intermediate data change zero-shot accuracy?
# All fields: docs/reference/study.md
apiVersion: xstilts.dev/v1alpha1
kind: Study
metadata:
  name: {name}
spec:
  model: {{name: xlm-roberta-base}}        # or {{uri: folder}}
  recipes:
    - {{name: mnli, tasks: [{{name: mnli}}]}}
    - {{name: squad, tasks: [{{name: squad_v1}}]}}
  sizes: ["0", "1000", "10000", full]     # 0 is the baseline without intermediate training
  subsetSeeds: [1, 2, 3]
  seeds: [1, 2, 3]
  targets:
    - {{name: xnli}}
    - {{name: xsid}}
    - {{name: tatoeba}}                     # retrieval: evaluated without training
  store: {{uri: xstilts-store}}             # or s3://bucket/prefix
  tracking: {{uri: "sqlite:///mlflow.db"}}  # or http://mlflow:5000
"""


def init(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("study.yaml"),
    name: Annotated[str, typer.Option(help="Name of the study.")] = "my-study",
) -> None:
    """Write a study to begin with."""
    if file.exists():
        raise UserError(f"{file} exists already; choose another file")
    file.write_text(TEMPLATE.format(name=name), encoding="utf-8")
    load_study(file)
    terminal.console().print(f"{file} written. Next: xstilts data import, then xstilts plan {file}")


def validate(
    file: StudyFile,
    with_store: Annotated[
        bool, typer.Option("--with-store", help="Check against the data sets in the study's store, which is only read.")
    ] = False,
) -> None:
    """Check a study's file; neither its store nor any server is contacted.

    Sizes are checked against the published numbers of rows; with --with-store against the data that the store holds.
    A model in a directory is checked as it is when it is brought into the store.
    """
    study = load_study(file)
    store = acceptance.store_of(study.spec.store) if with_store else None
    planned = planner.plan(study, acceptance.provisional_world(study, store))
    console = terminal.console()
    console.print(f"{file}: valid, {len(planned.trials)} trials", markup=False, soft_wrap=True)
    if store is None:
        console.print("Not checked: the store. xstilts plan reads it, as does --with-store.")


def plan(
    file: StudyFile,
    tokens_per_second: Annotated[
        float | None, typer.Option(help="What one device trains, as measured; adds an estimate in device hours.")
    ] = None,
) -> None:
    """Say what a study would do: trials, stages, what is there already, and what it costs."""
    from xstilts.cli import show

    study = load_study(file)
    store = acceptance.store_of(study.spec.store)
    world = acceptance.provisional_world(study, store)
    planned = planner.plan(study, world)
    terminal.console().print(
        show.plan(planned, world, acceptance.observe(planned, store, server=_server(study)), tokens_per_second)
    )


def run(file: StudyFile, out: ReportFolder = None) -> None:
    """Run a study on this machine, or what is missing of it, and write its report."""
    from xstilts.cli import show
    from xstilts.engines.study import run_study

    study = load_study(file)
    if study.spec.engine.type not in {None, EngineType.LOCAL}:
        raise UserError(f"spec.engine.type: {study.spec.engine.type} needs a cluster; write Local to run it here")
    extras.require("train", to="xstilts run")
    console = terminal.console()
    try:
        finished = run_study(study, _report_folder(study, out), listener=show.Live(console))
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        raise typer.Exit(INTERRUPTED) from None
    console.print(show.results(finished.results))
    for line in finished.closing_lines:
        console.print(line)
    if finished.failures:
        raise PermanentError(show.failures(finished.failures))


def status(
    study: Annotated[str, typer.Argument(help="The study's YAML file, or the name of a Study in the cluster.")],
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show changes until it ends; the exit code is 0 if it succeeded.")
    ] = False,
) -> None:
    """Say how far a study is, in its store or in the cluster.

    For a file, what the store holds of it; for a name, what the operator says of the Study, its trials and the stages
    that are at work.
    """
    if not _is_file(study):
        _status_in_cluster(study, namespace, context, watch)
    elif watch or namespace or context:
        raise UserError(f"{study} is a file: --watch, --namespace and --context go with the name of a Study")
    else:
        _status_in_store(Path(study))


def _is_file(text: str) -> bool:
    return Path(text).is_file() or Path(text).suffix in {".yaml", ".yml", ".json"} or "/" in text


def _status_in_cluster(name: str, namespace: str | None, context: str | None, watch: bool) -> None:
    from xstilts.cli import cluster_status

    cluster = connected(context)
    place = namespace or cluster.namespace
    if not watch:
        cluster_status.show(cluster, place, name, terminal.console())
    elif not cluster_status.watch(cluster, place, name, terminal.console()):
        raise typer.Exit(ExitCode.FAILED)


def _status_in_store(file: Path) -> None:
    from xstilts.cli import show

    study = load_study(file)
    store = acceptance.store_of(study.spec.store)
    planned = acceptance.load_plan(store, study.metadata.name)
    terminal.console().print(show.status(planned, acceptance.observe(planned, store, server=_server(study)), store))


def report(
    study: Annotated[str, typer.Argument(help="The study's YAML file, or with --from-cluster a Study's name.")],
    out: ReportFolder = None,
    from_cluster: Annotated[
        bool, typer.Option("--from-cluster", help="Fetch the report of a Study in the cluster from its store.")
    ] = False,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
    path_style: PathStyleOption = None,
    ca_file: CaFileOption = None,
) -> None:
    """Write the report of what is done so far, or fetch that of a Study in the cluster.

    From the cluster: the Study's object says where its store is, credentials come from this machine's environment
    (AWS_ACCESS_KEY_ID, …), and --endpoint names the address at which this machine reaches an in-cluster store.
    """
    if from_cluster:
        found = find_study(cluster := connected(context), namespace or cluster.namespace, study)
        store = opened_from_here(found.store, endpoint=endpoint, region=region, path_style=path_style, ca_file=ca_file)
        files = cluster_report.download(found, store, out or Path("reports") / found.name)
        terminal.console().print(f"Report: {files[0]} ({len(files)} files)", markup=False, soft_wrap=True)
    elif namespace or context or endpoint or region or path_style or ca_file:
        raise UserError(
            f"{study} is a file, which names its store: --namespace, --context, --endpoint, --region, --path-style and "
            "--ca-file go with --from-cluster and the name of a Study"
        )
    else:
        _report(Path(study), out)


def _report(file: Path, out: Path | None) -> None:
    from xstilts.cli import show
    from xstilts.conclusion import write_results

    study = load_study(file)
    store = acceptance.store_of(study.spec.store)
    planned = acceptance.load_plan(store, study.metadata.name)
    done = acceptance.observe(planned, store, server=_server(study))
    finished = write_results(study, planned, done, _report_folder(study, out))
    console = terminal.console()
    console.print(show.results(finished.results))
    for line in finished.closing_lines:
        console.print(line)


def verify(
    file: StudyFile,
    out: ReportFolder = None,
    weights: Annotated[bool, typer.Option(help="Read every checkpoint against its digest too.")] = False,
) -> None:
    """Compute every reported number again from stored predictions and gold data, and say where each comes from."""
    from xstilts.cli import show
    from xstilts.report import verification

    study = load_study(file)
    store = acceptance.store_of(study.spec.store)
    planned = acceptance.load_plan(store, study.metadata.name)
    done = acceptance.observe(planned, store, server=_server(study))
    folder = _report_folder(study, out)
    found = verification.verify(planned, done.manifests, store, report=folder, weights=weights, evicted=done.evicted)
    table = folder / "verification.csv"
    table.write_text(verification.verification_csv(found), encoding="utf-8")
    console = terminal.console()
    console.print(show.verification(found))
    if found.evicted:
        console.print(f"Evicted, so not read: the weights of {len(found.evicted)} stages")
    console.print(f"Each number with its run, data digest and code version: {table}")
    if found.problems:
        raise IntegrityError(show.problems(found))


def publish(
    file: StudyFile,
    again: Annotated[
        bool, typer.Option("--again", help="Publish everything, whatever the receipts in the store say.")
    ] = False,
) -> None:
    """Publish what a study has done to its tracking server, without running anything.

    Receipts in the store name the run of each stage; stages whose run the server no longer has are published again.
    With --again everything is published; what the server has stays as it is.
    """
    from xstilts.conclusion import publish_study
    from xstilts.tracking import open_tracker

    study = load_study(file)
    store = acceptance.store_of(study.spec.store)
    tracker = open_tracker(study.spec.tracking.uri, experiment=study.experiment, store=store.uri)
    planned = acceptance.load_plan(store, study.metadata.name)
    tracker.check()
    shown = publish_study(study, store, tracker, planned, again=again)
    stages = sum(name in planned.stages for name in shown)
    terminal.console().print(
        f"Published to {tracker.identity}: {stages} stages, {len(shown) - stages} runs of trials and the study"
    )


def _server(study: Study) -> str:
    from xstilts.tracking import open_tracker

    return open_tracker(study.spec.tracking.uri, experiment=study.experiment, store=study.spec.store.uri).identity


def _report_folder(study: Study, out: Path | None) -> Path:
    return out or Path("reports") / study.metadata.name
