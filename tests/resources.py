"""Manifests of our resources: those that k8s shows, and Studies that hypothesis makes up."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from xstilts.api import study
from xstilts.api.base import DECIMAL

K8S = Path(__file__).parent.parent / "k8s"
SAMPLES = sorted((K8S / "samples").glob("*.yaml"))
EXPECT = "# expect: "


@dataclass(frozen=True)
class Invalid:
    """A manifest that is refused, or after another of the same name, with all of the expected texts in the answer."""

    name: str
    expected: tuple[str, ...]
    documents: tuple[dict[str, Any], ...]

    @property
    def refused(self) -> dict[str, Any]:
        return self.documents[-1]

    @property
    def is_change(self) -> bool:
        return len(self.documents) == 2


def invalid_manifests() -> list[Invalid]:
    return [
        Invalid(
            name=file.stem,
            expected=tuple(line.removeprefix(EXPECT) for line in text.splitlines() if line.startswith(EXPECT)),
            documents=tuple(yaml.safe_load_all(text)),
        )
        for file in sorted((K8S / "invalid").glob("*.yaml"))
        for text in [file.read_text()]
    ]


def as_read(stored: dict[str, Any]) -> dict[str, Any]:
    """An object of the API server as models read it: without the metadata that are the server's own."""
    metadata = {key: stored["metadata"][key] for key in ("name", "namespace") if key in stored["metadata"]}
    return {key: stored[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": metadata}


# ---- Studies that a cluster takes

names = st.from_regex(study.NAME, fullmatch=True).filter(
    lambda text: len(text) <= 52 and text not in {study.BASELINE, study.PRETRAINING}
)
tasks = st.from_regex(study.TASK_NAME, fullmatch=True).filter(lambda text: len(text) <= 63)
languages = st.lists(st.sampled_from(["en", "de", "zh_Hans", "pt-BR", "swh"]), min_size=1, unique=True)
decimals = st.from_regex(DECIMAL, fullmatch=True).filter(lambda text: len(text) < 12) | st.integers(0, 10**9)
shares = st.decimals("0.01", "0.99", places=4).map(str) | st.sampled_from(["1e-5", ".5", "0.50"])
sizes = st.from_regex(study.SIZE, fullmatch=True) | st.integers(0, 9_999_999_999)
seeds = st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=4, unique=True)
counts = st.integers(1, 4096)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


def _all(fields: dict[str, st.SearchStrategy[Any]], **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(fields, optional=optional)


def _named(item: st.SearchStrategy[Any], **bounds: int) -> st.SearchStrategy[Any]:
    return st.lists(item, **bounds, unique_by=lambda value: value["name"])


settings = _some(
    learningRate=decimals, batchSize=counts, dropout=shares, precision=st.sampled_from(["Float32", "BFloat16"])
)
target_settings = _some(
    epochs=decimals,
    tuning=st.sampled_from(["Full", "Prefix"]),
    parser=_some(beamSize=st.integers(1, 64), labelSmoothing=shares),
    perTask=st.lists(_all({"name": tasks}, maxLength=st.integers(8, 8192)), max_size=3),
)
one_task = st.lists(_all({"name": tasks}, lossScale=shares, translation=st.just("de")), min_size=1, max_size=1)
two_tasks = st.tuples(_all({"name": st.just("mnli")}, lossScale=shares), st.just({"name": "qqp"})).map(list)
mixing = st.one_of(
    _all({"strategy": st.just("Temperature"), "temperature": decimals}, cap=counts),
    st.fixed_dictionaries({"strategy": st.just("Specified"), "weights": st.tuples(decimals, decimals).map(list)}),
    _some(strategy=st.just("Proportional"), cap=counts),
)
mlm = _all({"dataset": tasks, "ratio": shares}, smoothing=shares, languages=languages)
recipe = st.one_of(
    _all({"name": names, "tasks": one_task}, mlm=mlm, sizes=st.lists(sizes, max_size=3)),
    _all({"name": names, "tasks": two_tasks}, sampling=mixing),
)
environment = st.one_of(
    st.fixed_dictionaries({"name": st.sampled_from(["A", "b_1"]), "value": st.text(max_size=20)}),
    st.just({"name": "C", "secretKeyRef": {"name": "s", "key": "k"}}),
)
quantities = st.sampled_from([1, "500m", "8", "1.5Gi"])
resources = _some(
    nodes=st.integers(1, 8), limits=_some(cpu=quantities, memory=quantities, **{"nvidia.com/gpu": st.integers(0, 8)})
)
specs = _all(
    {
        "model": st.sampled_from([{"name": "xlm-roberta-base"}, {"uri": "s3://bucket/encoder"}]),
        "recipes": _named(recipe, min_size=1, max_size=3),
        "sizes": st.lists(sizes, min_size=1, max_size=4),
        "targets": _named(_all({"name": tasks}, languages=languages), min_size=1, max_size=3),
        "store": _all({"uri": st.just("s3://bucket/prefix")}, pathStyle=st.booleans(), region=st.text(max_size=64)),
        "tracking": st.just({"uri": "https://mlflow"}),
    },
    pretraining=_all({"steps": counts}, maskProbability=shares, training=settings),
    seeds=seeds,
    subsetSeeds=seeds,
    budgets=st.lists(_all({"steps": counts}) | _all({"epochs": decimals}), max_size=3),
    training=_some(intermediate=settings, target=target_settings),
    protocols=st.lists(st.sampled_from(["Last", "Best", "Averaged", "Oracle"]), min_size=1, unique=True),
    engine=st.sampled_from([{}, {"type": "Jobs", "queueName": "q"}, {"type": "Kubeflow", "endpoint": "http://kfp"}]),
    resources=_some(evaluation=resources, **{"data-scaling": resources}),
    podTemplate=_some(env=_named(environment), shm=quantities, labels=st.just({"team": ""})),
    failurePolicy=_some(retries=st.integers(0, 100), activeDeadlineSeconds=counts),
    suspend=st.booleans(),
    maxGPUHours=decimals,
)
studies = st.builds(
    lambda name, spec: {"apiVersion": study.API_VERSION, "kind": "Study", "metadata": {"name": name}, "spec": spec},
    names,
    specs,
)
"""Most of them valid: what is left to chance is whether sizes and budgets are listed twice."""
