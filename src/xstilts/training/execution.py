"""Where and how tensors are computed: device, threads, precision, schedule, and memory that runs out."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import torch
from torch import nn

from xstilts.api.training import Precision, TrainingSettings
from xstilts.core.errors import OutOfMemoryError

CPU = torch.device("cpu")


def prepare(settings: TrainingSettings) -> torch.device:
    """This process's accelerator if there is one, else the CPU with the stage's fixed number of threads.

    The CPU is held to deterministic kernels, which cost nothing there; on accelerators some would be many times slower.
    """
    torch.set_num_threads(settings.threads)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if torch.cuda.is_available() else CPU
    if device.type == "cuda":
        torch.cuda.set_device(device)
    torch.use_deterministic_algorithms(device.type == "cpu")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # 3 % of a step
    return device


def arithmetic(device: torch.device, settings: TrainingSettings) -> torch.autocast:
    """Forward passes in the stage's precision; weights stay in float32."""
    bfloat16 = settings.precision is Precision.BFLOAT16
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bfloat16)


@contextmanager
def memory_of(device: torch.device, settings: TrainingSettings, *, tokens: int | None = None) -> Iterator[None]:
    """Raises OutOfMemoryError where a batch does not fit: of `batch_size` examples, or of so many tokens."""
    try:
        yield
    except RuntimeError as error:
        # The CPU's allocator has no exception of its own.
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        batch, way = (
            f"{settings.batch_size} examples of up to {settings.max_length} tokens",
            "lower batchSize or maxLength, or ",
        )
        if tokens:  # which no setting changes
            batch, way = f"{tokens} tokens", ""
        raise OutOfMemoryError(
            f"a batch of {batch} does not fit into the memory of {device}; {way}give the stage more memory"
        ) from error


def learning_rate(step: int, *, steps: int, settings: TrainingSettings) -> float:
    """Linear warm-up to the peak, then linear decay to 0 after the last step.

    transformers' `get_linear_schedule_with_warmup`, except that warm-up does not begin with a wasted step at 0.
    """
    warmup = math.ceil(steps * Decimal(settings.warmup_ratio))
    share = (step + 1) / warmup if step < warmup else (steps - step) / (steps - warmup)
    return float(settings.learning_rate) * share


def parameter_groups(model: nn.Module, *, weight_decay: float) -> list[dict[str, object]]:
    """Weight decay for all but biases and layer norms, which are the vectors among the weights."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
