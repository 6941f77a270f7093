"""The forward pass of an encoder over sequences laid end to end, without padding.

It runs transformers' own modules of XLM-R and XLM-R XL, so weights, names and files stay theirs; only the way from one
module to the next is ours, since theirs wants a rectangle. All layers see a matrix [tokens, hidden]; attention alone
looks across tokens (see `attention`). What nobody reads is not computed: later layers than the last one asked
for, the feed-forward part of the last layer for other tokens than those asked for, and the pooler.
"""

from functools import partial
from itertools import repeat
from typing import Any, cast

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import GELUActivation

from xstilts.training.attention import ALL, Arrangement, Places, attention
from xstilts.training.batches import Batch
from xstilts.training.linear import linear_gelu
from xstilts.training.prefix import Prefix

METHOD = "packed"


def token_states(
    encoder: PreTrainedModel,
    batch: Batch,
    *,
    places: Places = ALL,
    layers: int | None = None,
    prefix: Prefix | None = None,
) -> Tensor:
    """[places, hidden]: what the encoder says of those tokens after its last layer, or after as many as `layers`.

    Equal to transformers' `last_hidden_state`, or `hidden_states[layers]`, of each sequence alone; with a `prefix`, to
    that with the prefix given as `past_key_values`.
    """
    modules: Any = encoder  # whose parts transformers leaves untyped
    if isinstance(places, slice):
        places = slice(sum(batch.lengths))  # without idle tokens
    # XLM-R counts positions from the padding's id on.
    positions = batch.positions + (encoder.config.pad_token_id + 1)
    states: Tensor = modules.embeddings(input_ids=batch.ids[None], position_ids=positions[None])[0]
    stack = list(modules.encoder.layer[:layers])
    before = prefix.layers() if prefix else repeat(None)
    arranged = Arrangement(batch, encoder.config.num_attention_heads)
    passes = [getattr(layer, METHOD, None) or partial(_layer, layer) for layer in stack]
    for run in passes[:-1]:
        states = run(states, arranged, ALL, next(before))
    states = passes[-1](states, arranged, places, next(before)) if passes else states[places]
    if len(stack) == len(modules.encoder.layer):
        states = _norm(modules.encoder, "LayerNorm")(states)
    return states


def give_method(encoder: PreTrainedModel) -> list[nn.Module]:
    """The layers, each with its forward pass as a method of its own, for those who must know when a layer runs."""
    layers: list[nn.Module] = list(cast(Any, encoder).encoder.layer)
    for layer in layers:
        object.__setattr__(layer, METHOD, partial(_layer, layer))
    return layers


def _layer(layer: Any, states: Tensor, arranged: Arrangement, places: Places, prefix: Tensor | None) -> Tensor:
    """XLM-R normalizes after each half, inside of the two `output` modules; XLM-R XL before."""
    normed = _norm(layer.attention, "self_attn_layer_norm")(states)
    context = attention(layer.attention.self, normed, arranged, places, prefix)
    states = layer.attention.output(context, states[places])
    output: Tensor = layer.output(_intermediate(layer.intermediate, _norm(layer, "LayerNorm")(states)), states)
    return output


def _intermediate(module: Any, states: Tensor) -> Tensor:
    if isinstance(module.intermediate_act_fn, GELUActivation):
        return linear_gelu(states, module.dense)
    activated: Tensor = module(states)
    return activated


def _norm(module: nn.Module, name: str) -> nn.Module:
    norm: nn.Module = getattr(module, name, None) or nn.Identity()
    return norm
