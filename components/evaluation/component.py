"""Interface of the stage `evaluation`."""

from kfp import dsl

from components import IMAGE, WAIT_FOR_LEASE


@dsl.container_component
def evaluation(config: str, encoder: str, store: str, tracking: str, publication: str, address: dsl.OutputPath(str)):
    """Stage evaluation: scores a trained encoder in every language of a target task, zero-shot.

    Args:
        config: The stage's config document (EvaluationConfig) as canonical JSON.
        encoder: Address of the encoder to score: a target training, or any encoder for a retrieval task.
        store: Where data sets and artifacts lie: the `store` section of a Study as JSON.
        tracking: The MLflow server: the `tracking` section of a Study as JSON.
        publication: Names to publish under, as JSON: study, experiment, recipe.

    Returns:
        address: Where predictions and metrics lie in the store.
    """
    return dsl.ContainerSpec(
        image=IMAGE,
        command=["python", "-m", "xstilts.stages", "evaluation"],
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
