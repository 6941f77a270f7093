"""A desk without any store or server: for tests, and for trying an operator out. Says what it was asked, in order."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from xstilts.acceptance import publication_of
from xstilts.api.names import Reason
from xstilts.api.status import CurveFit
from xstilts.api.study import Study
from xstilts.cluster.port import Object
from xstilts.controller.views import (
    Accepted,
    Check,
    Claim,
    Conclusion,
    Diagnosis,
    JobEnd,
    Known,
    Refusal,
    Start,
    outline,
)
from xstilts.core.errors import UserError, XstiltsError
from xstilts.core.plan import Plan
from xstilts.engines import jobs


@dataclass
class MemoryDesk:
    """One store and one server for everybody. Safe under threads as far as its dictionaries are."""

    planner: Callable[[Study], Plan]
    made: set[str] = field(default_factory=set)
    """Addresses of stages that the store has."""
    published: set[tuple[str, str]] = field(default_factory=set)
    """Stages and the Studies that they were shown for."""
    claims: dict[str, Claim] = field(default_factory=dict)
    checks: tuple[Check, Check] = (Check(True, Reason.READY), Check(True, Reason.READY))
    outcomes: dict[str, Diagnosis] = field(default_factory=dict)
    """What stages left behind when they failed."""
    curves: tuple[CurveFit, ...] = ()
    """Of every Study that ends."""
    asked: Counter[str] = field(default_factory=Counter)
    previous: list[str | None] = field(default_factory=list)
    """Plans that Studies were to be accepted by, in order."""
    fault: Callable[[str], XstiltsError | None] = lambda call: None
    """Decides over every call whether it fails."""
    _plans: dict[str, Plan] = field(default_factory=dict)

    def preflight(self, namespace: str, study: Study) -> tuple[Check, Check]:
        self._note("preflight")
        return self.checks

    def accept(self, namespace: str, study: Study, previous: str | None) -> Accepted | Refusal:
        self._note("accept")
        self.previous.append(previous)
        try:
            jobs.check(study)
            plan = self.planner(study)
        except UserError as error:
            return Refusal(Reason.INVALID, str(error))
        self._plans[plan.digest] = plan
        return self.recall(namespace, study, plan.digest)

    def recall(self, namespace: str, study: Study, digest: str) -> Accepted:
        self._note("recall")
        plan = self._plans[digest]
        known = {address: self._known(address, plan.study) for address in plan.stages}
        return Accepted(outline(plan, uri=f"memory:/{digest}"), known)

    def changed(self, namespace: str, study: Study) -> bool:
        self._note("changed")
        return not self.made.issuperset(self.planner(study).stages)

    def prepare(self, namespace: str, study: Study, digest: str, start: Start) -> Object | Known | Claim:
        self._note("prepare")
        plan = self._plans[digest]
        if start.address in self.made:
            return self.publish(namespace, study, digest, start.address)
        if start.address in self.claims:
            return self.claims[start.address]
        stage = plan.stages[start.address]
        return jobs.manifest(
            stage,
            study=study,
            uid=start.uid,
            trial=start.trial,
            publication=publication_of(plan, stage),
            generation=start.generation,
            image=start.image,
        )

    def publish(self, namespace: str, study: Study, digest: str, address: str) -> Known | Claim:
        self._note("publish")
        if address not in self.made:
            return Known.ABSENT
        self.published.add((address, study.metadata.name))
        return Known.DONE

    def diagnose(self, namespace: str, study: Study, address: str, printed: bytes | None, end: JobEnd) -> Diagnosis:
        self._note("diagnose")
        return self.outcomes.get(address, Diagnosis(end.reason, end.message))

    def publish_trial(self, namespace: str, study: Study, digest: str, trial: str) -> dict[str, str]:
        self._note("publish_trial")
        return {target.name: "50.00" for target in study.spec.targets}

    def conclude(self, namespace: str, study: Study, digest: str, failures: Mapping[str, str]) -> Conclusion:
        self._note("conclude")
        return Conclusion(curves=self.curves, report_url=f"memory:/{study.metadata.name}/report.html")

    def _known(self, address: str, study: str) -> Known:
        if address not in self.made:
            return Known.ABSENT
        return Known.DONE if (address, study) in self.published else Known.UNPUBLISHED

    def _note(self, call: str) -> None:
        self.asked[call] += 1
        if error := self.fault(call):
            raise error
