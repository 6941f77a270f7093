"""Scores in percent, as XTREME computes them, and the check for models that learnt nothing. Pure Python."""

from xstilts.metrics.degenerate import degenerate
from xstilts.metrics.scoring import score

__all__ = ["degenerate", "score"]
