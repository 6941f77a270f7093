"""Which stages may run now, and what a stage's end means for its trials. Pure: the clock is passed in.

Stages are taken in the plan's order, so that trials finish one after the other and a study shows scores early. A stage
that can't succeed fails every trial that needs it, once, with its reason; others go on.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from xstilts.api.study import FailurePolicy
from xstilts.core.attempts import LONG_ATTEMPT_SECONDS, Cause, cause_of
from xstilts.core.plan import Plan, PlannedStage, Trial
from xstilts.core.results import Outcome

FIRST_RETRY_SECONDS = 1.0
"""Delay of the first new attempt; doubled for each one after."""


class State(StrEnum):
    """Of a stage or a trial."""

    WAITING = "Waiting"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


@dataclass
class _Attempts:
    failures: int = 0
    preemptions: int = 0
    outages: int = 0
    """In a row."""
    outage_since: float = 0.0
    not_before: float = 0.0


@dataclass
class Schedule:
    """The stages of one study between not started and done."""

    plan: Plan
    policy: FailurePolicy
    done: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    """Address to reason; stages above a failed one have the reason of the failed one."""
    _attempts: dict[str, _Attempts] = field(default_factory=dict)

    def ready(self, now: float) -> list[PlannedStage]:
        """Stages that may start, in the order in which they should; none when too many trials have failed."""
        if self.is_given_up:
            return []
        return [stage for address, stage in self.plan.stages.items() if self._may_start(address, stage, now)]

    def _may_start(self, address: str, stage: PlannedStage, now: float) -> bool:
        busy = address in self.done or address in self.running or address in self.failed
        attempts = self._attempts.get(address)
        delayed = attempts is not None and now < attempts.not_before
        return not busy and not delayed and self.done.issuperset(stage.dependencies)

    @property
    def is_given_up(self) -> bool:
        """Whether more trials have failed than the policy allows: then nothing new starts."""
        return len(self.trials(State.FAILED)) > self.policy.max_failed_trials

    @property
    def is_finished(self) -> bool:
        """Nothing runs and nothing can start any more."""
        if self.running:
            return False
        return self.is_given_up or all(address in self.done or address in self.failed for address in self.plan.stages)

    def start(self, address: str) -> None:
        self.running.add(address)

    def finish(self, address: str, outcome: Outcome, now: float) -> str | None:
        """Takes note of an attempt's end. Returns why it will be retried."""
        self.running.discard(address)
        cause = cause_of(outcome.exit_code)
        if cause is Cause.SUCCEEDED:
            self.done.add(address)
            return None
        attempts = self._attempts.setdefault(address, _Attempts())
        if cause is Cause.OUTAGE:
            return self._wait_out(address, attempts, outcome, now)
        attempts.outages = 0
        if self._retry(attempts, cause, now):
            return outcome.told
        self._fail(address, outcome.told)
        return None

    def _wait_out(self, address: str, attempts: _Attempts, outcome: Outcome, now: float) -> str | None:
        """Store or server are away: tried again until that has lasted too long, whatever the number of attempts."""
        if not attempts.outages or (outcome.finished - outcome.started) / 1000 > LONG_ATTEMPT_SECONDS:
            attempts.outages, attempts.outage_since = 0, now
        attempts.outages += 1
        allowed = self.policy.outage_seconds
        if now - attempts.outage_since >= allowed:
            self._fail(address, f"{outcome.told}; failurePolicy.outageSeconds is {allowed}")
            return None
        attempts.not_before = now + FIRST_RETRY_SECONDS * 2 ** min(attempts.outages - 1, 6)
        return outcome.told

    def _retry(self, attempts: _Attempts, cause: Cause, now: float) -> bool:
        """Charges the attempt to its budget, and says whether there is another one."""
        if cause is Cause.HOPELESS:
            return False
        if cause is Cause.LEASE_HELD:
            attempts.not_before = now + FIRST_RETRY_SECONDS
            return True
        if cause is Cause.PREEMPTED:
            attempts.preemptions += 1
            spent, budget = attempts.preemptions, self.policy.preemption_retries
        else:
            attempts.failures += 1
            spent, budget = attempts.failures, self.policy.retries
        attempts.not_before = now + FIRST_RETRY_SECONDS * 2 ** min(spent - 1, 6)
        return spent <= budget

    def _fail(self, address: str, reason: str) -> None:
        """Fails the stage and everything above it."""
        self.failed[address] = reason
        for above, stage in self.plan.stages.items():
            if above not in self.failed and address in stage.dependencies:
                self._fail(above, reason)

    def state(self, trial: Trial) -> State:
        stages = trial.stages
        if any(address in self.failed for address in stages):
            return State.FAILED
        if self.done.issuperset(stages):
            return State.SUCCEEDED
        started = any(address in self.running or address in self.done for address in stages)
        return State.RUNNING if started else State.WAITING

    def trials(self, state: State) -> list[Trial]:
        return [trial for trial in self.plan.trials if self.state(trial) is state]

    def reason(self, trial: Trial) -> str:
        """Why the trial failed; empty if it did not."""
        return next((self.failed[address] for address in trial.stages if address in self.failed), "")
