"""What all pods of a run have in common: image, limits and secrets, all of them parameters of the pipeline."""

from dataclasses import dataclass

from kfp import dsl, kubernetes

# as xstilts.api.access has them, which this environment need not have
STORE_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
)
TRACKING_KEYS = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


@dataclass(frozen=True)
class Pods:
    """The parameters; while a pipeline is compiled they are placeholders."""

    image: str
    cpu: str
    memory: str
    accelerator: str
    accelerators: str
    store_secret: str
    tracking_secret: str

    def run(self, task: dsl.PipelineTask, *, accelerated: bool = True) -> dsl.PipelineTask:
        """Sets up a task. KFP's cache stays off: it does not look whether what it remembers still lies in the store."""
        task.set_caching_options(False).set_container_image(self.image)
        task.set_cpu_limit(self.cpu).set_memory_limit(self.memory)
        if accelerated:
            task.set_accelerator_type(self.accelerator).set_accelerator_limit(self.accelerators)
        # kfp 2.17 hands a parameter that only limits use to no loop or condition around the task, unless asked to
        task.register_pipeline_channels([self.cpu, self.memory, self.accelerator, self.accelerators])
        self._use_secret(task, self.store_secret, STORE_KEYS)
        self._use_secret(task, self.tracking_secret, TRACKING_KEYS)
        return task

    @staticmethod
    def _use_secret(task: dsl.PipelineTask, secret: str, keys: tuple[str, ...]) -> None:
        # a secret or key that is missing is left out: the pod then has the rights of its service account
        kubernetes.use_secret_as_env(task, secret, dict(zip(keys, keys, strict=True)), optional=True)
