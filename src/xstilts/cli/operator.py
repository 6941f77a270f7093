"""`xstilts operator`: the process that the operator's Deployment runs."""

import logging
import socket
from typing import Annotated

import typer

from xstilts.core.errors import UserError

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")


def operator(
    namespace: Annotated[str | None, typer.Option(help="Namespace to watch.")] = None,
    all_namespaces: Annotated[bool, typer.Option(help="Watch all namespaces instead.")] = False,
    exclude_namespace: Annotated[
        list[str] | None,
        typer.Option(
            help="Namespace in which nothing runs although all are watched; may be repeated. By default kube-system, "
            "kube-public, kube-node-lease and the operator's own; an empty name excludes none."
        ),
    ] = None,
    trainer_image: Annotated[
        str, typer.Option(help="Image of the stages where a Study names none; best by digest.")
    ] = "xstilts-trainer",
    identity: Annotated[str | None, typer.Option(help="Name in the operators' lease; the host's by default.")] = None,
    lease_namespace: Annotated[
        str | None, typer.Option(help="Where operators share a lease; the operator's own namespace by default.")
    ] = None,
    lease_seconds: Annotated[float, typer.Option(help="Silence after which another operator takes over.")] = 30.0,
    resync_seconds: Annotated[float, typer.Option(help="Time between full looks at the cluster.")] = 300.0,
    max_running_trials: Annotated[
        int, typer.Option(help="Trials of all Studies together that may run at the same time.")
    ] = 100,
    lend_identity_to: Annotated[
        list[str] | None,
        typer.Option(
            envvar="XSTILTS_LEND_IDENTITY_TO",
            help="Address at which Studies without a Secret are served with the operator's own identity: "
            "s3://bucket/prefix, with ?endpoint=https://host:port where it is not AWS, or https://host:port of MLflow. "
            "May be repeated; the variable separates them by spaces. None by default.",
        ),
    ] = None,
    metrics_port: Annotated[int, typer.Option(help="Port of /metrics; 0 for a free one.")] = 8080,
    health_port: Annotated[int, typer.Option(help="Port of /healthz and /readyz; 0 for a free one.")] = 8081,
    json_logs: Annotated[bool, typer.Option(help="A JSON object a line.")] = True,
) -> None:
    """Run the operator: bring the Studies of a cluster about. One acts at a time, others wait for its lease."""
    from xstilts.cluster import connection
    from xstilts.controller.lending import Lending
    from xstilts.controller.operator import JsonLines, Options, run

    if (namespace is None) != all_namespaces:
        raise UserError("give exactly one of --namespace NAME and --all-namespaces")
    if exclude_namespace and not all_namespaces:
        raise UserError(f"--exclude-namespace {exclude_namespace[0]}: goes with --all-namespaces")
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    if json_logs:
        for handler in root.handlers:
            handler.setFormatter(JsonLines())
    found = connection.find()
    home = lease_namespace or found.namespace
    run(
        found,
        Options(
            namespace=namespace,
            lease_namespace=home,
            excluded_namespaces=excluded(exclude_namespace, home) if all_namespaces else frozenset(),
            identity=identity or socket.gethostname(),
            trainer_image=trainer_image,
            lease_seconds=lease_seconds,
            resync_seconds=resync_seconds,
            max_running_trials=max_running_trials,
            lending=Lending.parse(lend_identity_to or ()),
            metrics_port=metrics_port,
            health_port=health_port,
        ),
    )


def excluded(asked: list[str] | None, home: str) -> frozenset[str]:
    """Namespaces in which nothing runs: those that are asked for, else the system's and the operator's own."""
    return frozenset([*SYSTEM_NAMESPACES, home] if asked is None else filter(None, asked))
