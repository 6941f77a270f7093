"""Where commands print."""

from rich.console import Console

WIDTH = 120
"""Columns where the output is no terminal."""


def console(*, stderr: bool = False) -> Console:
    """A console that leaves text as it is."""
    opened = Console(highlight=False, stderr=stderr)
    return opened if opened.is_terminal else Console(highlight=False, stderr=stderr, width=WIDTH, soft_wrap=False)
