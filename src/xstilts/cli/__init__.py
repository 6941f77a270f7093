"""The command line. Thin: reads arguments, calls, prints; heavy libraries are loaded by the commands that need them."""

import logging
import sys
from collections.abc import Callable

import typer
from rich.console import Console

from xstilts.api.load import InvalidDocument
from xstilts.cli import cluster, data, export, gc, model, operator, repair, study
from xstilts.core.errors import ExitCode, XstiltsError

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
    """Entry point: our own errors are shown as one message, without a traceback."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        app()
    except InvalidDocument as error:
        errors.print(str(error), markup=False)
        sys.exit(ExitCode.INVALID_INPUT)
    except XstiltsError as error:
        errors.print(f"{type(error).__name__}: {error}", markup=False)
        sys.exit(error.exit_code)
