"""The packages that `pip install xstilts` leaves out, by the extra that brings each."""

import importlib.util
from collections.abc import Mapping

from xstilts.core.errors import UserError

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "train": ("torch", "transformers", "datasets", "safetensors", "tokenizers", "huggingface_hub"),
    "operator": ("kopf", "cronsim", "prometheus_client", "kubernetes"),
    "pipelines": ("kfp", "kfp_kubernetes"),
}
"""Names of modules, by extra as in pyproject.toml."""


def require(extra: str, *, to: str) -> None:
    """Raises UserError where a package of the extra is not installed; `to` says what needs it."""
    missing = next((name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None), None)
    if missing:
        raise absent(missing, to=to)


def absent(module: str, *, to: str) -> UserError:
    """What to install for a module that is not there."""
    package = module.partition(".")[0]
    extra = next((extra for extra, names in EXTRAS.items() if package in names), None)
    way_out = f"pip install 'xstilts[{extra}]'" if extra else "pip install xstilts again, with its dependencies"
    return UserError(f"{to} needs the package {package}, which is not installed: {way_out}")
