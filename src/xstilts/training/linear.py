"""Linear layers on the CPU by oneDNN where nobody wants gradients, as `torch.compile` has them.

torch's own take MKL for float32, which leaves half of the speed unused on processors that are not Intel's. Both round
as float32 does. Training, accelerators and bfloat16 keep torch's. oneDNN makes a kernel for every number of rows, which
takes it milliseconds, so it gets only such numbers as come again.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from torch.nn.functional import linear as torch_linear

AVAILABLE = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
ROWS = 64
"""oneDNN gets multiples of it."""


class Linear(nn.Linear):
    """What every `nn.Linear` becomes: its parameters and their names stay."""

    recurs = False
    """Whether every number of rows comes again many times, as in decoding, so that any is worth a kernel."""

    def forward(self, values: Tensor) -> Tensor:
        return linear(values, self.weight, self.bias, recurs=self.recurs)


def linear(values: Tensor, weight: Tensor, bias: Tensor | None, *, recurs: bool = False) -> Tensor:
    """[..., in] to [..., out]."""
    if _by_onednn(values, recurs):
        return _onednn(values, weight, bias, "none", [], "")
    return torch_linear(values, weight, bias)


def linear_gelu(values: Tensor, layer: nn.Linear) -> Tensor:
    """The layer's outputs after GELU, which costs oneDNN next to nothing: [..., in] to [..., out]."""
    if _by_onednn(values, getattr(layer, "recurs", False)):
        return _onednn(values, layer.weight, layer.bias, "gelu", [], "none")
    return gelu(layer(values))


def replace_linear(model: nn.Module, *, recurs: bool = False) -> None:
    """Makes every `nn.Linear` ours."""
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear
            assert isinstance(module, Linear)
            module.recurs = recurs


def _onednn(*arguments: object) -> Tensor:
    result: Tensor = torch.ops.mkldnn._linear_pointwise(*arguments)
    return result


def _by_onednn(values: Tensor, recurs: bool) -> bool:
    return (
        AVAILABLE
        and values.device.type == "cpu"
        and values.dtype == torch.float32
        and (recurs or values.shape[0] % ROWS == 0)
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )
