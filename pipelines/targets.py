"""The second half of a trial: every target's English training and zero-shot evaluation, side by side."""

from kfp import dsl

from components.evaluation.component import evaluation
from components.target_training.component import target_training
from pipelines.pods import Pods


def score_targets(targets: list[dict], *, encoder: str, pods: Pods, access: dict[str, str]) -> None:
    """Wires training and evaluation of each target; a target without training (retrieval) scores the encoder as it is.

    Two If instead of If and Else: the pair would put one more DAG, and so a driver pod, around each target.
    """
    with dsl.ParallelFor(targets) as target:
        with dsl.If(target.training != ""):
            trained = pods.run(target_training(config=target.training, encoder=encoder, **access))
            pods.run(evaluation(config=target.evaluation, encoder=trained.outputs["address"], **access))
        with dsl.If(target.training == ""):
            pods.run(evaluation(config=target.evaluation, encoder=encoder, **access))
