"""Several processes train what one trains: the same losses and weights up to the rounding of sums, however divided."""

import os
import socket
from collections.abc import Mapping
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file

from training_rows import settings, task, text, tiny_encoder
from xstilts.api.training import Tuning
from xstilts.core.catalogue import TaskKind
from xstilts.core.errors import Preempted
from xstilts.training import Budget, FitResult, Progress, fit

TOLERANCE = 1e-5
"""Of losses and weights after a few steps, without dropout: sums are taken in another order."""
STEPS, STOP = 9, 5


class Case(NamedTuple):
    """A run, by its differences to the others."""

    kinds: tuple[TaskKind, ...] = (TaskKind.CLASSIFICATION,)
    batch_size: int = 8
    passes: int = 1
    text: bool = False
    prefix: bool = False


CASES = {
    "a task": Case(),
    "batches of 3, which 2 do not divide": Case(batch_size=3),
    "batches of 1, so that a process has none": Case(batch_size=1),
    "a mixture with text in two passes": Case(
        (TaskKind.CLASSIFICATION, TaskKind.TAGGING, TaskKind.SPAN_EXTRACTION), batch_size=5, passes=2, text=True
    ),
    "a prefix": Case((TaskKind.TAGGING,), prefix=True),
}


def train(case: Case, workdir: Path, **changes: Any) -> tuple[list[float], FitResult]:
    """Losses by step, and the result."""
    seen: list[Progress] = []
    result = fit(
        encoder=workdir.parent / "encoder",
        tasks=[task(kind) for kind in case.kinds],
        text=text({"en": 60, "de": 60}, ratio=Fraction(3, 10)) if case.text else None,
        budget=Budget(steps=STEPS),
        seed=1,
        settings=settings(
            dropout="0",
            learning_rate="0.0003",
            adam_epsilon="0.0001",  # or Adam would take whole steps by gradients that are 0 but for rounding
            batch_size=case.batch_size,
            gradient_accumulation=case.passes,
            evaluate_every_steps=4,
            tuning=Tuning.PREFIX if case.prefix else Tuning.FULL,
        ),
        workdir=workdir,
        on_progress=seen.append,
        **changes,
    )
    return [progress.loss for progress in seen], result


def process(rank: int, sharding: str, port: int, folder: Path, answers: Any) -> None:
    """One of two: all cases one after the other, then a checkpoint, and a run from the checkpoint of one process."""
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "XSTILTS_SHARDING": sharding,
    }
    own = folder / f"{sharding}-{rank}"
    own.mkdir()
    (own / "encoder").symlink_to(folder / "encoder")
    found = {name: train(case, own / name)[0] for name, case in CASES.items()}
    stop_at_five(own / "stopped")
    resumed, _ = train(CASES["a task"], own / "resumed", resume=folder / "alone" / "stopped" / "checkpoint")
    answers.put((rank, found, resumed))


def stop_at_five(workdir: Path) -> None:
    calls = iter(range(1, STEPS))
    with pytest.raises(Preempted):
        train(CASES["a task"], workdir, should_stop=lambda: next(calls) == STOP)


class Runs(NamedTuple):
    losses: Mapping[str, list[float]]
    resumed: list[float]
    folder: Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distribution")
    tiny_encoder(folder / "encoder")
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> Runs:
    own = folder / "alone"
    own.mkdir()
    (own / "encoder").symlink_to(folder / "encoder")
    found = {name: train(case, own / name)[0] for name, case in CASES.items()}
    stop_at_five(own / "stopped")
    return Runs(found, found["a task"][STOP:], own)


@pytest.fixture(scope="module", params=["ddp", "fsdp"])
def together(request: pytest.FixtureRequest, folder: Path, alone: Runs) -> Runs:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    context = get_context("spawn")
    answers = context.Queue()
    processes = [
        context.Process(target=process, args=(rank, request.param, port, folder, answers)) for rank in range(2)
    ]
    for one in processes:
        one.start()
    found = {rank: (losses, resumed) for rank, losses, resumed in (answers.get(timeout=240) for _ in range(2))}
    for one in processes:
        one.join()
    assert [one.exitcode for one in processes] == [0, 0]
    assert found[0] == found[1], "every process sees the losses of the whole"
    return Runs(*found[0], folder / f"{request.param}-0")


@pytest.mark.parametrize("name", CASES)
def test_losses_and_weights_are_those_of_one_process(alone: Runs, together: Runs, name: str) -> None:
    assert together.losses[name] == pytest.approx(alone.losses[name], abs=TOLERANCE)
    for checkpoint in ("last", "best", "averaged"):
        for file in ("model.safetensors", "heads.safetensors"):
            expected, found = (load_file(runs.folder / name / checkpoint / file) for runs in (alone, together))
            assert found.keys() == expected.keys()
            for weight, value in expected.items():
                torch.testing.assert_close(found[weight], value, atol=TOLERANCE, rtol=0, msg=f"{checkpoint} {weight}")


def test_another_number_of_processes_goes_on_from_a_checkpoint(alone: Runs, together: Runs, tmp_path: Path) -> None:
    """Two from that of one, and one from that of two."""
    assert together.resumed == pytest.approx(alone.resumed, abs=TOLERANCE)
    (tmp_path / "encoder").symlink_to(alone.folder / "encoder")
    back, _ = train(CASES["a task"], tmp_path / "back", resume=together.folder / "stopped" / "checkpoint")
    assert back == pytest.approx(alone.resumed, abs=TOLERANCE)
