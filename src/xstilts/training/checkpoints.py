"""Training checkpoints: all that makes a resumed run equal, bit for bit, to one that never stopped.

A folder holds the weights, the optimizer's state, the states of all random generators, the loop's position, and the
best model so far. The order of the data and the learning rate are functions of the step and need no state.
"""

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim import Optimizer

from xstilts.api.base import Model
from xstilts.core.errors import IntegrityError
from xstilts.core.results import DevScores
from xstilts.training.folders import replacing

WEIGHTS, STATE, PROGRESS, BEST = "weights.safetensors", "state.pt", "progress.json", "best"


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


def save_training(folder: Path, *, model: nn.Module, optimizer: Optimizer, state: LoopState, best: Path) -> None:
    """Writes the folder, complete or not at all. `best` is a model's folder and need not exist yet."""
    with replacing(folder) as draft:
        weights = {name: weight.detach().cpu().contiguous() for name, weight in model.state_dict().items()}
        save_file(weights, draft / WEIGHTS)
        torch.save({"optimizer": optimizer.state_dict(), "random": _random_states()}, draft / STATE)
        (draft / PROGRESS).write_text(state.model_dump_json(indent=2) + "\n")
        if best.is_dir():
            shutil.copytree(best, draft / BEST)


def load_training(folder: Path, *, model: nn.Module, optimizer: Optimizer, best: Path, steps: int) -> LoopState:
    """Puts everything back where it was. Raises IntegrityError where the folder is not a checkpoint of this run."""
    try:
        state = LoopState.model_validate_json((folder / PROGRESS).read_text())
        stored = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        model.load_state_dict(load_file(folder / WEIGHTS))
        optimizer.load_state_dict(stored["optimizer"])
    except (OSError, RuntimeError, ValueError, ValidationError) as error:
        raise IntegrityError(f"{folder} is no training checkpoint of this stage: {error}; start without it") from error
    if state.steps != steps:
        raise IntegrityError(f"{folder} belongs to a run of {state.steps} steps, not {steps}; start without it")
    if (folder / BEST).is_dir():
        with replacing(best) as draft:
            shutil.copytree(folder / BEST, draft, dirs_exist_ok=True)
    _restore_random(stored["random"])
    return state


def _random_states() -> dict[str, Any]:
    """In forms that load without running code from the file."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "python": random.getstate(),
    }


def _restore_random(states: dict[str, Any]) -> None:
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    random.setstate(states["python"])
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])
