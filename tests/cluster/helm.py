"""The real helm, built like the other programs that tests start."""

import os
import subprocess
import tempfile
from pathlib import Path

from cluster.build import build


def helm(*arguments: str, kubeconfig: Path | None = None) -> str:
    """What helm prints; raises HelmError with what it says on errors."""
    with tempfile.TemporaryDirectory(prefix="xstilts-helm-") as home:
        environment = os.environ | {"HOME": home, "KUBECONFIG": str(kubeconfig or os.devnull)}
        done = subprocess.run(
            [build("helm") / "helm", *arguments], env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise HelmError(f"helm {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def prepare() -> None:
    """Build what `helm` runs: a minute or two, after the parts of Kubernetes that it shares."""
    build("helm")


class HelmError(Exception):
    """helm says no."""
