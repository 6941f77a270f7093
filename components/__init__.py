"""Container interfaces of the stages for Kubeflow Pipelines: which inputs, which command, which output.

All behaviour is in `xstilts.stages`; the image needs no kfp. Store, tracking and artifacts travel as text, since
the addresses of artifacts are made from their content and KFP's own artifacts are not.
"""

IMAGE = "xstilts-trainer"
"""Stands in every component until the pipeline's `image` parameter replaces it, which names the image by digest."""

WAIT_FOR_LEASE = "86400"
"""Seconds for which a stage waits for another run of itself: a pipeline does not try a task that failed again."""
