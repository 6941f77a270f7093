"""`python -m xstilts.stages NAME …`: what every container runs. One stage, then an exit code (see `core.errors`)."""

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from xstilts.api.access import StoreSpec, TrackingSpec
from xstilts.core import extras
from xstilts.core.configs import CONFIGS
from xstilts.core.errors import ExitCode, UserError
from xstilts.core.results import Publication
from xstilts.stages import VERSIONS
from xstilts.stages.bench import Progress
from xstilts.stages.runner import StageRequest, StageRunner
from xstilts.stages.together import run_together
from xstilts.store.open import open_store
from xstilts.tracking import open_tracker

INPUTS = {
    "pretraining": ("encoder",),
    "data-scaling": (),
    "intermediate-training": ("encoder", "subset"),
    "target-training": ("encoder",),
    "evaluation": ("encoder",),
}
"""Roles of the artifacts that each stage is made from."""

log = logging.getLogger("xstilts.stages")


def build_parser() -> argparse.ArgumentParser:
    """One subcommand a stage; components pass exactly these arguments."""
    parser = argparse.ArgumentParser(prog="python -m xstilts.stages", description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True)
    for kind in VERSIONS:
        stage = stages.add_parser(kind)
        stage.add_argument("--config", required=True, help="JSON of the stage's config")
        for role in INPUTS[kind]:
            stage.add_argument(f"--{role}", required=True, help=f"address of the {role}")
        stage.add_argument("--store", required=True, help="JSON of the Study's store section")
        stage.add_argument("--tracking", required=True, help="JSON of the Study's tracking section")
        stage.add_argument("--publication", required=True, help="JSON with study, experiment and recipe")
        stage.add_argument("--key", help="the stage's key in its plan, which the image must agree with")
        stage.add_argument(
            "--no-rebuild", action="store_true", help="publish an evicted stage, and don't make its weights again"
        )
        stage.add_argument(
            "--wait-for-lease",
            type=_duration,
            default=0.0,
            metavar="SECONDS",
            help="how long to wait for a stage that is held elsewhere, to adopt its result; 0: end with code 10",
        )
        stage.add_argument("--address-file", type=Path, help="file to write the stage's address to")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code of the attempt."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    options = build_parser().parse_args(arguments)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        request, runner = _prepare(options, stop)
    except (UserError, ValidationError, json.JSONDecodeError) as error:
        log.error("%s: the arguments are not valid: %s", options.stage, error)
        return ExitCode.INVALID_INPUT
    if options.address_file:
        options.address_file.parent.mkdir(parents=True, exist_ok=True)
        options.address_file.write_text(request.address)
    log.info("%s, study %s, recipe %s", request.address, request.publication.study, request.publication.recipe)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # by torchrun
        return run_together(request, runner)
    return runner.attempt(request).exit_code


def _prepare(options: argparse.Namespace, stop: threading.Event) -> tuple[StageRequest, StageRunner]:
    if options.stage != "data-scaling":
        extras.require("train", to=f"the stage {options.stage}")
    store = StoreSpec.model_validate_json(options.store)
    tracking = TrackingSpec.model_validate_json(options.tracking)
    publication = Publication.model_validate_json(options.publication)
    request = StageRequest(
        kind=options.stage,
        config=CONFIGS[options.stage].model_validate_json(options.config),
        inputs={role: getattr(options, role) for role in INPUTS[options.stage]},
        publication=publication,
        rebuild=not options.no_rebuild,
    )
    if options.key not in {None, request.key}:
        raise UserError(
            f"--key: the plan calls this stage {options.key}, and this image {request.key}; "
            "use an image of the version that planned, or plan again"
        )
    opened = open_store(store.uri, endpoint=store.endpoint, region=store.region, path_style=store.path_style)
    runner = StageRunner(
        store=opened,
        tracker=open_tracker(tracking.uri, experiment=publication.experiment, store=opened.uri),
        wait_for_lease=options.wait_for_lease,
        report=_log_progress,
        should_stop=stop.is_set,
    )
    return request, runner


def _duration(text: str) -> float:
    """Of seconds."""
    if not (value := float(text)) >= 0:  # neither negative nor NaN
        raise argparse.ArgumentTypeError(f"invalid duration {text!r}: write a number of seconds, 0 or more")
    return value


def _log_progress(progress: Progress) -> None:
    """A line for every twentieth of the way."""
    if progress.done * 20 // progress.total != (progress.done - 1) * 20 // progress.total:
        log.info("%d of %d %s", progress.done, progress.total, progress.note)


if __name__ == "__main__":
    sys.exit(main())
