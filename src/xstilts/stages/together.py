"""A stage by several processes: the first runs it like any other, the rest follow into its training.

    python -m xstilts.stages.together --nproc-per-node 8 -m xstilts.stages target-training --config …

starts them with torchrun, whose options come first, and ends with the exit code of the process that failed first.
"""

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace

from xstilts.core.errors import ExitCode, XstiltsError
from xstilts.stages.runner import StageRequest, StageRunner

log = logging.getLogger(__name__)


def run_together(request: StageRequest, runner: StageRunner) -> int:
    """Exit code of the attempt, in each of the processes that torchrun started.

    Only the first holds the lease, publishes and tells the outcome. Where it alone fails, it ends alone: the others
    wait for it somewhere in the training, and torchrun ends them.
    """
    from xstilts.training.distributed import Processes

    processes = Processes.joined()
    if processes.first:
        called = False

        def call() -> None:
            nonlocal called
            called = True
            processes.agree(None)

        code: int | None = replace(runner, before_work=call, may_wait=lambda: not called).attempt(request).exit_code
        if not called or code == ExitCode.SUCCEEDED:
            processes.agree(code)
    else:
        code = processes.agree(None)
        if code is None:
            try:
                runner.follow(request)
            except XstiltsError as error:
                log.error("process %d: %s: %s", processes.rank, type(error).__name__, error)
                return error.exit_code
            code = processes.agree(None)
    assert code is not None
    return code


def main(arguments: Sequence[str] | None = None) -> int:
    """torchrun's own exit code is 1 whatever happened, which tells an engine nothing."""
    from xstilts.training.distributed import launch

    code = launch(arguments)
    if code is None:
        return ExitCode.PREEMPTED
    return code if code >= 0 else ExitCode.FAILED  # below 0: by a signal


if __name__ == "__main__":
    sys.exit(main())
