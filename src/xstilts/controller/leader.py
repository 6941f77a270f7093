"""One operator acts at a time: a Lease of the cluster, held by renewing it.

The holder stops acting by its own clock before another may take over, so the two never overlap, whatever the network
does: the lease is renewed until `RENEW_SHARE` of its duration has passed since the last renewal was sent, and taken
over after a whole duration without a renewal that the waiter itself has seen.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from xstilts.api import names
from xstilts.cluster.errors import AlreadyExists, Conflict, NotFound
from xstilts.cluster.port import LEASES, Cluster, Object
from xstilts.core.errors import XstiltsError

RENEW_SHARE = 2 / 3
"""Share of the duration after which a holder that could not renew stops acting."""
RENEWALS = 3
"""Renewals in a duration."""

log = logging.getLogger(__name__)


class Leader:
    """Takes and keeps the Lease `name`. Safe under threads."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        namespace: str,
        name: str,
        identity: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._clock = clock
        self._renewed = float("-inf")
        """When the last renewal that was answered had been sent."""
        self._seen: tuple[str, float] = ("", 0.0)
        """Version of the foreign lease, and since when it has stood still."""

    def may_act(self) -> bool:
        """Whether the lease is ours for sure."""
        return self._clock() - self._renewed < self._seconds * RENEW_SHARE

    def keep(self, stop: threading.Event, on_taken: Callable[[], None]) -> None:
        """Takes the lease as soon as it is free and renews it, until asked to stop; then gives it back."""
        while not stop.is_set():
            had = self.may_act()
            self.try_once()
            if self.may_act() and not had:
                log.info("%s acts from now on", self._identity)
                on_taken()
            stop.wait(self._seconds / RENEWALS / (1 if self.may_act() else 2))
        self.release()

    def try_once(self) -> None:
        """Renews the lease, or takes it if it is free or has stood still for its duration."""
        sent = self._clock()
        try:
            found = self._cluster.get(LEASES, self._namespace, self._name)
            if found is None:
                self._cluster.create(LEASES, self._document({}))
            elif self._is_ours(found) or self._is_free(found):
                self._cluster.replace(LEASES, self._document(found))
            else:
                return
        except (Conflict, AlreadyExists, NotFound):
            return  # another was faster
        except XstiltsError as error:
            log.warning("lease %s/%s: %s", self._namespace, self._name, error)
            return
        self._renewed = sent

    def release(self) -> None:
        """Lets another take it at once."""
        if not self.may_act():
            return
        self._renewed = float("-inf")
        try:
            found = self._cluster.get(LEASES, self._namespace, self._name)
            if found and self._is_ours(found):
                spec = found["spec"] | {"holderIdentity": ""}
                self._cluster.replace(LEASES, found | {"spec": spec})
        except XstiltsError as error:
            log.warning("lease %s/%s was not given back: %s", self._namespace, self._name, error)

    def _is_ours(self, found: Object) -> bool:
        return bool(found.get("spec", {}).get("holderIdentity") == self._identity)

    def _is_free(self, found: Object) -> bool:
        if not found.get("spec", {}).get("holderIdentity"):
            return True
        version = found["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, self._clock())
            return False
        duration = float(found["spec"].get("leaseDurationSeconds") or self._seconds)
        return self._clock() - self._seen[1] >= duration

    def _document(self, found: Object) -> Object:
        now = datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = dict(found.get("spec", {}))
        if spec.get("holderIdentity") != self._identity:
            spec |= {"acquireTime": now, "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._seconds)),
            "renewTime": now,
        }
        metadata = found.get("metadata") or {
            "name": self._name,
            "namespace": self._namespace,
            "labels": {names.MANAGED_BY: names.MANAGER},
        }
        return {"metadata": metadata, "spec": spec}
