"""Interface of the stage `data-scaling`."""

from kfp import dsl

from components import IMAGE, WAIT_FOR_LEASE


@dsl.container_component
def data_scaling(config: str, store: str, tracking: str, publication: str, address: dsl.OutputPath(str)):
    """Stage data-scaling: draws the nested subset of English training data that a size and a subset seed mean.

    Args:
        config: The stage's config document (ScalingConfig) as canonical JSON.
        store: Where data sets and artifacts lie: the `store` section of a Study as JSON.
        tracking: The MLflow server: the `tracking` section of a Study as JSON.
        publication: Names to publish under, as JSON: study, experiment, recipe.

    Returns:
        address: Where the subset lies in the store.
    """
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python", "-m", "xstilts.stages", "data-scaling"],
        args=[
            *("--config", config),
            *("--store", store),
            *("--tracking", tracking),
            *("--publication", publication),
            *("--wait-for-lease", WAIT_FOR_LEASE),
            *("--address-file", address),
        ],
    )
