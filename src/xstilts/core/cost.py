"""What planned stages cost, from the number of tokens that pass through the encoder."""

from collections.abc import Iterable

from xstilts.core.plan import PlannedStage

FORWARD_SHARE = 1 / 3
"""Of a training step: forward costs 2 operations a weight and token, backward 4 (Kaplan et al. 2020, section 2.1)."""


def device_hours(stages: Iterable[PlannedStage], tokens_per_second: float) -> float:
    """Upper bound of the hours of one device that trains so many tokens a second; sequences count with full length."""
    shares = {"evaluation": FORWARD_SHARE}
    tokens = sum(stage.tokens * shares.get(stage.kind, 1.0) for stage in stages)
    return tokens / tokens_per_second / 3600
