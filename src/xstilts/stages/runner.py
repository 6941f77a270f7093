"""Everything around a stage's work: reuse, lease, publication, receipt, outcome. The same for every engine.

A stage is done when it has a manifest and a receipt. Whatever is missing is made, under the stage's lease, and what is
there is never made again; so a stage may be started by anybody, at any time, any number of times.
"""

import importlib
import logging
import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import xstilts
from xstilts.api.study import StageKind
from xstilts.core.configs import StageConfig
from xstilts.core.errors import ExitCode, LeaseHeld, UserError, XstiltsError
from xstilts.core.keys import canonical_json, stage_address, stage_key
from xstilts.core.manifests import ArtifactManifest
from xstilts.core.results import Outcome, Publication
from xstilts.stages import VERSIONS
from xstilts.stages.bench import Bench, Progress
from xstilts.stages.log_tail import kept_log
from xstilts.stages.patience import Patience, PatientStore
from xstilts.stages.publication import is_published, publish
from xstilts.store import artifacts, evictions, leases
from xstilts.store.leases import Lease
from xstilts.store.port import NotFound, ObjectStore
from xstilts.tracking.port import Tracker

log = logging.getLogger(__name__)

POD_VARIABLE = "XSTILTS_POD"
"""Name of the pod that a stage runs in."""
WORDS_VARIABLE = "XSTILTS_TERMINATION_MESSAGE"
"""File whose content the kubelet takes for the container's last words."""
MAX_WORDS = 1000
"""Characters; the kubelet keeps 4096 bytes."""
TRAININGS: frozenset[StageKind] = frozenset({"pretraining", "intermediate-training", "target-training"})
"""Stages that several processes can work on."""


KERNELS = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "ONEDNN_MAX_CPU_ISA")
"""Variables by which torch, MKL and oneDNN choose among their CPU kernels, which round differently."""


def outcome_key(address: str) -> str:
    """How the last attempt at a stage ended."""
    return f"{address}/outcome.json"


def load_outcome(store: ObjectStore, address: str) -> Outcome | None:
    """Of the last attempt; None where there is none, or one of another version."""
    try:
        return Outcome.model_validate_json(store.read(outcome_key(address)))
    except (NotFound, ValidationError):
        return None


def holder() -> str:
    """Who attempts a stage: the pod, by its whole name where the engine gives it, or the machine; and the process."""
    return f"{os.environ.get(POD_VARIABLE) or socket.gethostname()}/{os.getpid()}"


def log_key(address: str) -> str:
    """The last lines that it logged."""
    return f"{address}/log.txt"


def now() -> int:
    """Milliseconds since 1970, as in outcomes and manifests."""
    return int(time.time() * 1000)


def seconds(name: str, default: float) -> float:
    """A time that does not change results, from XSTILTS_<name>_SECONDS."""
    variable = f"XSTILTS_{name}_SECONDS"
    text = os.environ.get(variable, str(default))
    try:
        return float(text)
    except ValueError:
        raise UserError(f"{variable}={text!r} is no number of seconds, such as {default:g}") from None


def _leave_words(outcome: Outcome) -> None:
    """For the pod's status, which tells how it ended where the store did not answer."""
    file = os.environ.get(WORDS_VARIABLE)
    if file and outcome.exit_code != ExitCode.SUCCEEDED:
        try:
            Path(file).write_text(outcome.told[:MAX_WORDS], encoding="utf-8")
        except OSError as error:
            log.warning("%s could not be written: %s", file, error)


@dataclass(frozen=True, kw_only=True)
class StageRequest:
    """One stage to bring about."""

    kind: StageKind
    config: StageConfig
    inputs: Mapping[str, str]
    """Role to address."""
    publication: Publication
    rebuild: bool = True
    """Whether the stage is made again if its weights were evicted; else what is there is published alone."""

    @cached_property
    def key(self) -> str:
        return stage_key(kind=self.kind, version=VERSIONS[self.kind], config=self.config.document(), inputs=self.inputs)

    @cached_property
    def address(self) -> str:
        return stage_address(self.kind, self.key)


@dataclass(frozen=True, kw_only=True)
class StageRunner:
    """Runs stages against one store and one tracking server."""

    store: ObjectStore
    tracker: Tracker
    scratch: Path | None = None
    """Folder for temporary files; the system's where None."""
    lease_seconds: float = field(default_factory=lambda: seconds("LEASE", 30.0))
    """Time without a sign of life after which another process may take a stage over."""
    outage_seconds: float = field(default_factory=lambda: seconds("OUTAGE", 300.0))
    """Time for which a store or a tracking server that is away is waited for before the attempt fails."""
    wait_for_lease: float = 0.0
    """Time for which a stage that is held elsewhere is waited for, in seconds; then what the other made is adopted."""
    may_wait: Callable[[], bool] = lambda: True
    """Whether that holds still: not where other processes are in the middle of the work."""
    checkpoint_seconds: float = field(default_factory=lambda: seconds("CHECKPOINT", 60.0))
    before_work: Callable[[], None] = lambda: None
    """Called when the stage is not there yet and its lease is held, right before its work."""
    report: Callable[[Progress], None] = lambda _: None
    should_stop: Callable[[], bool] = lambda: False

    def run(self, request: StageRequest) -> None:
        """Brings the stage to manifest and receipt. Raises what the work raises, and LeaseHeld."""
        patience = Patience(self.outage_seconds, self.should_stop)
        patient = replace(self, store=PatientStore(self.store, patience))
        deadline = time.monotonic() + self.wait_for_lease
        while not patience(lambda: patient._is_done(request)):
            try:
                patient._bring_about(request, patience)
            except LeaseHeld as error:
                if time.monotonic() >= deadline or not self.may_wait():
                    raise
                log.info("%s; waiting for it, for %.0f s at most", error, deadline - time.monotonic())
                leases.outlast(patient.store, request.address, until=deadline, wait=patience.wait)
            else:
                return
        log.info("%s is done already", request.address)

    def _bring_about(self, request: StageRequest, patience: Patience) -> None:
        with leases.hold(
            self.store, request.address, holder=holder(), ttl_seconds=self.lease_seconds, wait=patience.wait
        ) as lease:
            manifest = self._usable(request) or self._work(request, lease)

            def show() -> None:
                lease.check()
                publish(self.store, self.tracker, manifest, request.publication)

            patience(show)

    def attempt(self, request: StageRequest) -> Outcome:
        """Like `run`, but tells how it ended, also in `outcome.json` and `log.txt` beside the manifest."""
        with kept_log() as tail:
            outcome = self._attempt(request)
        _leave_words(outcome)  # first: a store that does not answer may outlast the pod's grace
        if outcome.exit_code != ExitCode.LEASE_HELD:  # how it went is the holder's to tell
            self._record(request, outcome, tail.content())
        return outcome

    def _attempt(self, request: StageRequest) -> Outcome:
        started, code, reason, message = now(), ExitCode.SUCCEEDED, "Succeeded", ""
        try:
            self.run(request)
        except XstiltsError as error:
            code, reason, message = error.exit_code, type(error).__name__, str(error)
            log.error("%s: %s: %s", request.address, reason, message)
        except Exception as error:
            code, reason, message = ExitCode.FAILED, type(error).__name__, str(error)
            log.exception("%s failed", request.address)
        return Outcome(
            exit_code=code,
            reason=reason,
            message=message[:2000],
            holder=holder(),
            started=started,
            finished=now(),
        )

    def follow(self, request: StageRequest) -> None:
        """Takes part in the stage's training, in a process beside the one that has the lease; publishes nothing."""
        if request.kind in TRAININGS:
            patience = Patience(self.outage_seconds, self.should_stop)
            with replace(self, store=PatientStore(self.store, patience))._bench(request, None) as bench:
                _stage(request.kind).run(request.config, request.inputs, bench)

    def _record(self, request: StageRequest, outcome: Outcome, tail: bytes) -> None:
        try:
            self.store.put(outcome_key(request.address), canonical_json(outcome.document()).encode())
            self.store.put(log_key(request.address), tail)
        except XstiltsError as error:
            log.warning("the outcome of %s could not be stored: %s", request.address, error)

    def _is_done(self, request: StageRequest) -> bool:
        """Whether nothing is left to do."""
        manifest = artifacts.load_manifest(self.store, request.address)
        if manifest is None or not is_published(self.store, self.tracker, manifest, request.publication):
            return False
        if evictions.load(self.store, request.address):
            return not request.rebuild
        return artifacts.verify(self.store, manifest)

    def _usable(self, request: StageRequest) -> ArtifactManifest | None:
        """The stage's manifest, if the files that are wanted are there."""
        manifest = artifacts.load_manifest(self.store, request.address)
        if manifest is None:
            return None
        eviction = evictions.load(self.store, request.address)
        if eviction and eviction.concerns(manifest):
            if not request.rebuild or evictions.lift(self.store, request.address, manifest, eviction):
                return manifest
            log.info("the weights of %s were evicted: it is made again", request.address)
        elif artifacts.verify(self.store, manifest):
            return manifest
        else:
            log.warning("%s names files that are gone: it will be made again", request.address)
        return None

    def _work(self, request: StageRequest, lease: Lease) -> ArtifactManifest:
        before = artifacts.load_manifest(self.store, request.address)  # of files that are gone
        with self._bench(request, lease) as bench:
            started = now()
            self.before_work()
            facts = _stage(request.kind).run(request.config, request.inputs, bench)
            lease.check()
            manifest = ArtifactManifest(
                kind=request.kind,
                key=request.key,
                version=VERSIONS[request.kind],
                config=request.config.document(),
                inputs=dict(request.inputs),
                facts=facts.document(),
                provenance=_provenance(lease, started),
            )
            published = artifacts.publish(self.store, request.address, bench.folder, manifest, replaces=before)
            bench.drop_checkpoints()
            return published

    @contextmanager
    def _bench(self, request: StageRequest, lease: Lease | None) -> Iterator[Bench]:
        if self.scratch:
            self.scratch.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{request.kind}-", dir=self.scratch))
        folder = scratch / "artifact"
        folder.mkdir()
        try:
            yield Bench(
                store=self.store,
                address=request.address,
                folder=folder,
                scratch=scratch,
                lease=lease,
                report=self.report,
                should_stop=lambda: bool(lease and lease.lost) or self.should_stop(),
                checkpoint_seconds=self.checkpoint_seconds,
            )
        except XstiltsError as error:  # what lies in scratch is gone when this is read: inputs have addresses
            error.args = (str(error).replace(f"{scratch}/inputs/", "").replace(f"{scratch}/", ""),)
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _stage(kind: StageKind) -> Any:
    """The module of the stage, which may load torch."""
    return importlib.import_module(f"xstilts.stages.{kind.replace('-', '_')}")


def _processor() -> str:
    """The processor's name: numbers are equal to the bit on processors of one kind alone."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _provenance(lease: Lease, started: int) -> dict[str, object]:
    return {
        "xstilts": xstilts.__version__,
        "image": os.environ.get("XSTILTS_IMAGE", ""),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "kernels": {name: os.environ[name] for name in KERNELS if name in os.environ},
        "host": socket.gethostname(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "leaseEpoch": lease.epoch,
        "started": started,
        "finished": now(),
    }
