"""Several processes that train one model: torchrun starts them, DDP or FSDP2 keeps them together.

A step's batch, its random numbers and the terms of its loss are functions of seed and step, so every process knows the
whole and computes its share; gradients are summed. One process needs none of this and has no process group.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.run import parse_args, run
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from xstilts.core.errors import UserError
from xstilts.training.packed import give_method

T = TypeVar("T")


class Sharding(StrEnum):
    """Where weights, gradients and optimizer states are: whole in every process, or a part in each."""

    DDP = "ddp"
    FSDP = "fsdp"


@dataclass(frozen=True)
class Processes:
    """This process among those of a run."""

    rank: int = 0
    size: int = 1
    sharding: Sharding = Sharding.DDP

    @classmethod
    def joined(cls) -> "Processes":
        """The processes that torchrun started, which meet here; this process alone if it was started otherwise.

        XSTILTS_SHARDING chooses `ddp` (the default) or `fsdp`; it changes no number beyond rounding.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return cls()
        name = os.environ.get("XSTILTS_SHARDING", Sharding.DDP)
        if name not in set(Sharding):
            raise UserError(f"XSTILTS_SHARDING={name!r} is neither {' nor '.join(Sharding)}")
        if not dist.is_initialized():
            # Small messages go over the CPU, wherever the tensors are.
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), size, Sharding(name))

    @property
    def first(self) -> bool:
        """Whether this process writes what all have computed."""
        return self.rank == 0

    @property
    def name(self) -> tuple[str | int, ...]:
        """Tells the processes of a run apart; nothing where there is one."""
        return ("rank", self.rank, self.size) if self.size > 1 else ()

    # ---- the work of a step

    def share(self, examples: Sequence[T]) -> tuple[Sequence[T], float]:
        """This process's examples, and the weight of their loss in the mean over processes that DDP and FSDP2 take.

        Where there are fewer examples than processes, those without one compute one of weight 0, since the others wait
        for them.
        """
        own = examples[self.rank :: self.size]
        return (own, float(self.size)) if own else (examples[:1], 0.0)

    def sum(self, value: Tensor) -> Tensor:
        """Over all processes."""
        if self.size > 1:
            value = value.cpu()
            dist.all_reduce(value)
        return value

    def agree(self, value: T) -> T:
        """The first process's value: decisions must be the same everywhere, or some would wait forever."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values)
        return values[0]

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """What the first process leaves behind, the others find."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    def wait(self) -> None:
        """For all others to come here."""
        if self.size > 1:
            dist.barrier()

    # ---- the model

    def wrapped(self, model: nn.Module, encoder: PreTrainedModel) -> nn.Module:
        """What is called in the model's place in training."""
        if self.size == 1:
            return model
        if self.sharding is Sharding.DDP:
            # Heads of other tasks have no part in a step.
            return DistributedDataParallel(model, find_unused_parameters=True, forward_sync_buffers=False)
        for layer in give_method(encoder):
            fully_shard(layer)
            register_fsdp_forward_method(layer, "packed")
        fully_shard(model)
        register_fsdp_forward_method(model, "states")
        return model

    def passing(self, wrapped: nn.Module, *, last: bool) -> Any:
        """The context of one pass of a step: gradients are exchanged in the last."""
        if isinstance(wrapped, DistributedDataParallel) and not last:
            return wrapped.no_sync()
        return nullcontext()


def whole(value: Any) -> Any:
    """With every tensor whole and on the CPU, where it was a part in each process; all processes must come here."""
    if isinstance(value, dict):
        return {key: whole(part) for key, part in value.items()}
    if isinstance(value, list):
        return [whole(part) for part in value]
    if isinstance(value, DTensor):
        value = value.full_tensor()
    return value.detach().cpu().contiguous() if isinstance(value, Tensor) else value


def fitted(value: Tensor, like: Tensor) -> Tensor:
    """A whole tensor as the part that `like` has of it, on its device; one of another shape stays as it is."""
    if value.shape != like.shape:
        return value
    value = value.to(like.device)
    return distribute_tensor(value, like.device_mesh, like.placements) if isinstance(like, DTensor) else value


def launch(arguments: Sequence[str] | None) -> int | None:
    """Runs torchrun: exit code of the process that failed first, 0 if none did, None if a signal stopped all."""
    try:
        run(parse_args(arguments))  # type: ignore[no-untyped-call]
    except SignalException:
        return None
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return int(failure.exitcode)
    return 0
