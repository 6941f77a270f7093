"""The stages: one use case a file, run alike by containers (`python -m xstilts.stages`), the Local engine and tests.

Each stage module has a `VERSION`, raised when its numbers change, and `run(config, inputs, bench)`, which does the work
in a local folder and returns facts. `runner` does everything around it: reuse, lease, publication, receipts, outcome.
Importing this package loads neither torch nor clients; a stage does, when it runs.
"""

from collections.abc import Mapping

from xstilts.api.study import StageKind
from xstilts.stages import data_scaling, evaluation, intermediate_training, pretraining, target_training

VERSIONS: Mapping[StageKind, int] = {
    "pretraining": pretraining.VERSION,
    "data-scaling": data_scaling.VERSION,
    "intermediate-training": intermediate_training.VERSION,
    "target-training": target_training.VERSION,
    "evaluation": evaluation.VERSION,
}
