"""The Kubeflow engine: a trial is one run of the pipeline `transfer` (`pipelines/compiled/transfer.yaml`).

Here a planned trial becomes the parameters of its run. Stage configs and addresses pass as text, so every stage of a
run computes the very key that the plan has for it.
"""

import json
from collections.abc import Mapping
from typing import Any

from xstilts.api.access import StoreSpec, TrackingSpec
from xstilts.api.study import StageKind, StageResources, Study
from xstilts.core.errors import UserError
from xstilts.core.keys import canonical_json
from xstilts.core.plan import Plan, Trial

CPU, MEMORY = "cpu", "memory"
MAX_BYTES = 120 * 1024
"""Kubeflow's root driver takes all parameters of a run as one process argument, which Linux cuts off at 128 KiB."""


def pipeline_arguments(plan: Plan, trial: Trial, *, study: Study, image: str) -> dict[str, Any]:
    """Parameters of a trial's run; those left out keep the pipeline's defaults. `image` is best named by digest.

    Pretraining is no part of a run, since all trials share it: where the Study has it, its stage is to be done before.

    Raises UserError, naming the field of the Study, for what a run of this pipeline cannot carry.
    """
    spec = study.spec
    publication = {"study": plan.study, "experiment": plan.experiment, "recipe": plan.stages[trial.stages[-1]].recipe}
    arguments = {
        "image": image,
        "encoder": trial.pretraining or plan.model,
        "scaling": _config(plan, trial.scaling),
        "intermediate": _config(plan, trial.intermediate),
        "targets": [
            {
                "name": target,
                "training": _config(plan, trial.trainings.get(target)),
                "evaluation": _config(plan, evaluation),
            }
            for target, evaluation in trial.evaluations.items()
        ],
        "store": canonical_json(spec.store.document()),
        "tracking": canonical_json(spec.tracking.document()),
        "publication": canonical_json(publication),
        **_secrets(spec.store, spec.tracking),
        **_limits(spec.resources),
    }
    if (size := len(json.dumps(arguments).encode())) > MAX_BYTES:
        raise UserError(
            f"spec.targets: trial {trial.name} has {size} bytes of parameters, and a Kubeflow run takes {MAX_BYTES}; "
            "split the targets or their languages over several studies"
        )
    return arguments


def _config(plan: Plan, address: str | None) -> str:
    """A stage's config as the stage takes it; empty where the trial has no such stage."""
    return canonical_json(plan.stages[address].config) if address else ""


def _secrets(store: StoreSpec, tracking: TrackingSpec) -> dict[str, str]:
    if store.ca_secret_ref:
        raise UserError(
            f"spec.store.caSecretRef: the Kubeflow engine mounts no certificates ({store.ca_secret_ref.name!r}); "
            "put the file into the image, set AWS_CA_BUNDLE there, and remove the field"
        )
    refs = {"store_secret": store.secret_ref, "tracking_secret": tracking.secret_ref}
    return {parameter: ref.name for parameter, ref in refs.items() if ref}


def _limits(resources: Mapping[StageKind, StageResources]) -> dict[str, str]:
    """One set of limits, since all pods of a run share it; a stage that asks for nothing takes the others'."""
    shared: dict[str, str] = {}
    for kind, asked in resources.items():
        for parameter, value in _stage_limits(kind, asked).items():
            if shared.setdefault(parameter, value) != value:
                raise UserError(
                    f"spec.resources[{kind}].limits: {parameter} is {value!r}, and {shared[parameter]!r} in another "
                    "stage, but the pods of a Kubeflow run share their limits; write the same, or use engine Jobs"
                )
    return shared


def _stage_limits(kind: StageKind, asked: StageResources) -> dict[str, str]:
    field = f"spec.resources[{kind}]"
    if asked.requests or asked.nodes > 1 or asked.processes_per_node > 1:
        raise UserError(
            f"{field}: the Kubeflow engine runs one process a stage and takes limits only; "
            "remove requests, nodes and processesPerNode, or use engine Jobs"
        )
    accelerators = {name: count for name, count in asked.limits.items() if name not in {CPU, MEMORY}}
    if len(accelerators) > 1:
        raise UserError(f"{field}.limits: {', '.join(sorted(accelerators))}: give one kind of accelerator")
    limits = {name: asked.limits[name] for name in (CPU, MEMORY) if name in asked.limits}
    for name, count in accelerators.items():
        limits |= {"accelerator": name, "accelerators": count}
    return limits
