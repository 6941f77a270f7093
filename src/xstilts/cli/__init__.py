"""The command line. Thin: reads arguments, calls, prints; heavy libraries are loaded by the commands that need them."""

import logging
import sys
from collections.abc import Callable

import typer

from xstilts.cli import cluster, data, ending, export, gc, model, operator, repair, study

app = typer.Typer(
    help="Scaling studies of intermediate-task transfer for multilingual encoders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    study.init,
    study.validate,
    study.plan,
    study.run,
    cluster.apply,
    study.status,
    cluster.logs,
    cluster.retry,
    cluster.cancel,
    study.report,
    study.verify,
    study.publish,
    gc.gc,
    repair.repair,
    operator.operator,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(data.app, name="data")
app.add_typer(export.app, name="export")
app.add_typer(model.app, name="model")


def main() -> None:
    """Entry point: whatever a command raises is shown as one message (see `cli.ending`)."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        app()
    except Exception as error:
        sys.exit(ending.show(error))
