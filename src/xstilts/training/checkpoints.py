"""Training checkpoints: all that makes a resumed run equal, bit for bit, to one that never stopped.

A folder holds the weights, their running average, the optimizer's state, the loop's position, and the best model so
far. The order of the data, all random numbers and the learning rate are functions of the seed and the step, so there
is no state of them that could be lost.
"""

import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from xstilts.api.base import Model
from xstilts.core.errors import IntegrityError
from xstilts.core.results import DevScores
from xstilts.training.distributed import fitted
from xstilts.training.folders import replacing

WEIGHTS, STATE, PROGRESS, BEST = "weights.safetensors", "state.pt", "progress.json", "best"


Average = dict[str, Tensor]
"""Mean of weights by name; empty before the first of them is taken."""


class LoopState(Model):
    """Where a run is."""

    step: int = 0
    """Optimizer steps done."""
    steps: int
    """Of the whole run."""
    loss_sum: float = 0.0
    """Of the steps since the last look at the dev sets."""
    loss_count: int = 0
    history: tuple[DevScores, ...] = ()
    best: DevScores | None = None


class Training(NamedTuple):
    """All tensors of a run, whole and on the CPU."""

    weights: dict[str, Tensor]
    optimizer: dict[str, Any]
    average: Average


def save_training(folder: Path, training: Training, state: LoopState, *, best: Path) -> None:
    """Writes the folder, complete or not at all. `best` is a model's folder and need not exist yet."""
    with replacing(folder) as draft:
        save_file(training.weights, draft / WEIGHTS)
        torch.save({"optimizer": training.optimizer, "average": training.average}, draft / STATE)
        (draft / PROGRESS).write_text(state.model_dump_json(indent=2) + "\n")
        if best.is_dir():
            shutil.copytree(best, draft / BEST)


def load_training(
    folder: Path, *, model: nn.Module, optimizer: Optimizer, best: Path, steps: int
) -> tuple[LoopState, Average]:
    """Puts everything back where it was. Raises IntegrityError where the folder is not a checkpoint of this run.

    However many processes wrote it, any number may read it, each its part.
    """
    parameters = dict(model.named_parameters())
    try:
        state = LoopState.model_validate_json((folder / PROGRESS).read_text())
        stored = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        weights = load_file(folder / WEIGHTS)
        own = model.state_dict()
        model.load_state_dict({name: fitted(w, own[name]) if name in own else w for name, w in weights.items()})
        optimizer.load_state_dict(_fitted(stored["optimizer"], optimizer))
        average = {name: fitted(mean, parameters[name]) for name, mean in stored["average"].items()}
    except (
        OSError,
        EOFError,
        UnpicklingError,
        SafetensorError,
        RuntimeError,
        ValueError,
        LookupError,
        TypeError,
    ) as error:
        raise IntegrityError(f"{folder} is no training checkpoint of this stage: {error}; start without it") from error
    if state.steps != steps:
        raise IntegrityError(f"{folder} belongs to a run of {state.steps} steps, not {steps}; start without it")
    if (folder / BEST).is_dir():
        with replacing(best) as draft:
            shutil.copytree(folder / BEST, draft, dirs_exist_ok=True)
    return state, average


def _fitted(stored: dict[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer's state, in which parameters are numbered in the order of its groups."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state = {
        number: {name: fitted(value, parameters[number]) for name, value in values.items()}
        for number, values in stored["state"].items()
    }
    return {**stored, "state": state}
