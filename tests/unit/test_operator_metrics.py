"""What Prometheus reads, asked over HTTP, and the dashboard and alerts that are made of it."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from xstilts.controller import metrics
from xstilts.controller.metrics import Snapshot

DASHBOARDS = Path(__file__).parents[2] / "k8s" / "dashboards"
SNAPSHOT = Snapshot(
    trials={("research", "running"): 3, ("research", "queued"): 5, ("other", "running"): 1},
    studies={("research", "Succeeded", "Unknown"): 2},
    watch_age_seconds=12.5,
    leads=True,
)


@pytest.fixture
def port() -> Iterator[int]:
    with metrics.serve(0, lambda: SNAPSHOT) as port:
        yield port


def samples(port: int) -> dict[tuple[str, ...], float]:
    """Values by name and the values of the labels, which come in the order of their names."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def told() -> None:
    """Each metric has a value."""
    metrics.reconciled("Study", "done", 0.02)
    metrics.called("Accept", 4.0)
    metrics.stages_reused(7)
    metrics.answered("patch", "trials", 200)


def test_what_the_loops_tell_is_counted(port):
    told()
    before = samples(port)
    told()
    now = samples(port)
    for key, growth in {
        ("xstilts_reconciles_total", "Study", "done"): 1,
        ("xstilts_reconcile_seconds_count", "Study"): 1,
        ("xstilts_reconcile_seconds_bucket", "Study", "0.01"): 0,
        ("xstilts_reconcile_seconds_bucket", "Study", "0.03"): 1,
        ("xstilts_desk_seconds_sum", "Accept"): 4,
        ("xstilts_stages_reused_total",): 7,
        ("xstilts_api_requests_total", "200", "trials", "patch"): 1,
    }.items():
        assert now[key] - before[key] == growth, key


def test_what_there_is_is_looked_at_when_asked(port):
    found = samples(port)
    assert found["xstilts_trials", "research", "queued"] == 5
    assert found["xstilts_studies", "Succeeded", "research", "Unknown"] == 2
    assert found["xstilts_watch_age_seconds",] == 12.5
    assert found["xstilts_leader",] == 1
    assert found["process_resident_memory_bytes",] > 0


def test_the_port_is_free_again_and_another_operator_of_the_process_counts_for_itself():
    for leads in (True, False):
        with metrics.serve(0, lambda leads=leads: Snapshot(leads=leads)) as port:
            assert samples(port)["xstilts_leader",] == leads
    with pytest.raises(OSError, match="refused"):
        samples(port)


# ---- the dashboard and the alerts


def expressions() -> list[str]:
    """Of all panels, variables and alerts."""
    board = json.loads((DASHBOARDS / "xstilts.json").read_text())
    rules = yaml.safe_load((DASHBOARDS / "prometheus-rule.yaml").read_text())
    return [
        *(target["expr"] for panel in board["panels"] for target in panel["targets"]),
        *(variable["query"] for variable in board["templating"]["list"]),
        *(rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"]),
    ]


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:xstilts|process)_[a-z_]+", expression))


def labels_in(expression: str) -> Iterator[tuple[str, str]]:
    """Metric and label of each selector."""
    for name, selector in re.findall(r"\b(xstilts_[a-z_]+)\{([^}]*)\}", expression):
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
            yield name, label


def test_dashboard_and_alerts_ask_for_metrics_that_there_are_and_the_dashboard_for_all_of_ours(port):
    told()
    there = {name for name, *_ in samples(port)}
    asked = {name for expression in expressions() for name in metrics_in(expression)}
    assert asked <= there
    ours = {re.sub("_(bucket|sum|count|created)$", "", name) for name in there if name.startswith("xstilts_")}
    shown = {re.sub("_bucket$", "", name) for expression in expressions() for name in metrics_in(expression)}
    assert ours - {name.removesuffix("_total") for name in shown} <= shown


def test_selectors_name_labels_that_the_metrics_have(port):
    told()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    labels = {sample.name: set(sample.labels) for family in families for sample in family.samples}
    asked = {found for expression in expressions() for found in labels_in(expression)}
    assert asked
    assert {(name, label) for name, label in asked if label not in labels[name]} == set()


def test_panels_have_places_and_identities_of_their_own():
    panels = json.loads((DASHBOARDS / "xstilts.json").read_text())["panels"]
    places = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(places)) == len(places)
    assert all(x < 24 for x, _ in places)
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] for panel in panels)
