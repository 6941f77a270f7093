"""Scaling studies of intermediate-task transfer for multilingual encoders (after arXiv 2005.13013)."""

from importlib.metadata import version

__version__ = version("xstilts")
