"""One trial: intermediate training on a subset, then every target's English training and zero-shot evaluation."""

from kfp import dsl

from components.data_scaling.component import data_scaling
from components.intermediate_training.component import intermediate_training
from pipelines.pods import Pods
from pipelines.targets import score_targets


@dsl.pipeline(name="transfer")
def transfer(
    image: str,
    encoder: str,
    targets: list[dict],
    store: str,
    tracking: str,
    publication: str,
    scaling: str = "",
    intermediate: str = "",
    cpu: str = "0",
    memory: str = "0",
    accelerator: str = "nvidia.com/gpu",
    accelerators: str = "0",
    store_secret: str = "xstilts-store",  # noqa: S107 - the name of one
    tracking_secret: str = "xstilts-tracking",  # noqa: S107 - the name of one
):
    """One trial of an intermediate-task transfer study.

    Args:
        image: Image of all stages, by digest.
        encoder: Address of the pretrained encoder in the store, such as models/<digest>.
        targets: A list of {name, training, evaluation}: configs as canonical JSON; training is "" for retrieval.
        store: The `store` section of the Study as JSON.
        tracking: The `tracking` section of the Study as JSON.
        publication: Names to publish under as JSON, {study, experiment, recipe}.
        scaling: Config of data-scaling as canonical JSON; empty for the baseline, which trains on targets alone.
        intermediate: Config of intermediate-training as canonical JSON; empty for the baseline.
        cpu: CPU limit of each pod; 0 is none.
        memory: Memory limit of each pod; 0 is none.
        accelerator: Resource name of the accelerators.
        accelerators: Accelerators of each pod but that of data-scaling.
        store_secret: Secret with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, if it exists.
        tracking_secret: Secret with MLFLOW_TRACKING_USERNAME and _PASSWORD, or _TOKEN, if it exists.
    """
    access = {"store": store, "tracking": tracking, "publication": publication}
    pods = Pods(image, cpu, memory, accelerator, accelerators, store_secret, tracking_secret)
    with dsl.If(scaling != ""):
        scaled = pods.run(data_scaling(config=scaling, **access), accelerated=False)
        subset = scaled.outputs["address"]
        trained = pods.run(intermediate_training(config=intermediate, encoder=encoder, subset=subset, **access))
        score_targets(targets, encoder=trained.outputs["address"], pods=pods, access=access)
    with dsl.If(scaling == ""):
        score_targets(targets, encoder=encoder, pods=pods, access=access)
