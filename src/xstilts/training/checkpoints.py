"""Training checkpoints: all that makes a resumed run equal, bit for bit, to one that never stopped.

A folder holds the weights, their running average, the optimizer's state, the loop's position, and the best model so
far. The order of the data, all random numbers and the learning rate are functions of the seed and the step, so there
is no state of them that could be lost.
"""

import shutil
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from xstilts.api.base import Model
from xstilts.core.errors import IntegrityError
from xstilts.core.results import DevScores
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


def save_training(
    folder: Path, *, model: nn.Module, optimizer: Optimizer, average: Average, state: LoopState, best: Path
) -> None:
    """Writes the folder, complete or not at all. `best` is a model's folder and need not exist yet."""
    with replacing(folder) as draft:
        weights = {name: weight.detach().cpu().contiguous() for name, weight in model.state_dict().items()}
        save_file(weights, draft / WEIGHTS)
        torch.save({"optimizer": optimizer.state_dict(), "average": average}, draft / STATE)
        (draft / PROGRESS).write_text(state.model_dump_json(indent=2) + "\n")
        if best.is_dir():
            shutil.copytree(best, draft / BEST)


def load_training(
    folder: Path, *, model: nn.Module, optimizer: Optimizer, average: Average, best: Path, steps: int
) -> LoopState:
    """Puts everything back where it was. Raises IntegrityError where the folder is not a checkpoint of this run."""
    try:
        state = LoopState.model_validate_json((folder / PROGRESS).read_text())
        stored = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        model.load_state_dict(load_file(folder / WEIGHTS))
        optimizer.load_state_dict(stored["optimizer"])
        average.update(stored["average"])
    except (OSError, RuntimeError, ValueError, ValidationError) as error:
        raise IntegrityError(f"{folder} is no training checkpoint of this stage: {error}; start without it") from error
    if state.steps != steps:
        raise IntegrityError(f"{folder} belongs to a run of {state.steps} steps, not {steps}; start without it")
    if (folder / BEST).is_dir():
        with replacing(best) as draft:
            shutil.copytree(folder / BEST, draft, dirs_exist_ok=True)
    return state
