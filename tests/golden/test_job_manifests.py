"""Objects of the Jobs engine, whole: a change of what the cluster gets must be meant.

`XSTILTS_REGENERATE=1 pytest tests/golden/test_job_manifests.py` writes `jobs/*.yaml` anew.
"""

import os
from pathlib import Path

import pytest
import yaml

from job_studies import EVERYTHING, NODES, job
from xstilts.engines.pod_fields import Object

JOBS = Path(__file__).parent / "jobs"
OBJECTS = {
    "plain": job("evaluation"),
    "everything": job(**EVERYTHING),
    "two-nodes": job(**NODES),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_objects_are_those_of_the_file(name: str) -> None:
    file = JOBS / f"{name}.yaml"
    if os.environ.get("XSTILTS_REGENERATE"):
        file.write_text(yaml.safe_dump(OBJECTS[name], sort_keys=False, width=120))
    golden: Object = yaml.safe_load(file.read_text())
    assert OBJECTS[name] == golden
