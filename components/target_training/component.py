"""Interface of the stage `target-training`."""

from kfp import dsl

from components import IMAGE, WAIT_FOR_LEASE


@dsl.container_component
def target_training(
    config: str, encoder: str, store: str, tracking: str, publication: str, address: dsl.OutputPath(str)
):
    """Stage target-training: fine-tunes the encoder on the English data of a target task and registers its checkpoints.

    Args:
        config: The stage's config document (TrainingConfig) as canonical JSON.
        encoder: Address of the encoder to start from.
        store: Where data sets and artifacts lie: the `store` section of a Study as JSON.
        tracking: The MLflow server: the `tracking` section of a Study as JSON.
        publication: Names to publish under, as JSON: study, experiment, recipe.

    Returns:
        address: Where the checkpoints lie in the store.
    """
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python", "-m", "xstilts.stages", "target-training"],
        args=[
            *("--config", config),
            *("--encoder", encoder),
            *("--store", store),
            *("--tracking", tracking),
            *("--publication", publication),
            *("--wait-for-lease", WAIT_FOR_LEASE),
            *("--address-file", address),
        ],
    )
