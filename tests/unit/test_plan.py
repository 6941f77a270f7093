"""The plan: every wanted combination once, equal work shared, a change reaching exactly what depends on it."""

import itertools
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plans import (
    ALL_EVALUATIONS,
    ALL_INTERMEDIATES,
    ALL_TARGETS,
    BELOW_INTERMEDIATES,
    MIX_ONLY,
    VERSIONS,
    changed,
    dataset,
    replaced,
    study,
    world,
    world_with_text,
)
from xstilts.api.study import Study
from xstilts.core.errors import UserError
from xstilts.core.keys import canonical_json, digest, stage_key
from xstilts.core.plan import Plan
from xstilts.core.planner import plan
from xstilts.core.world import World
from xstilts.store import studies
from xstilts.store.memory import MemoryStore


def kinds(planned: Plan) -> dict[str, int]:
    kinds = [stage.kind for stage in planned.stages.values()]
    return {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}


def test_stages_are_shared_as_the_study_needs_them() -> None:
    planned = plan(study(), world())
    # baseline 2; for each recipe: size 100 x 2 subset seeds x 2 seeds, full x 2 seeds
    assert len(planned.trials) == 2 + 2 * (4 + 2)
    assert kinds(planned) == {
        "target-training": 2 * 14,
        "evaluation": 3 * 14 - 1,  # the untrained model retrieves alike under every seed
        "data-scaling": 2 * (2 + 1),
        "intermediate-training": 2 * (4 + 2),
    }
    # a naive grid: 2 recipes x (0, 100, full) x 2 x 2 cells, each target with 4 stages (retrieval 3), 2 less at size 0
    assert planned.naive_stages == 2 * 2 * 2 * (5 + 11 + 11)


@given(
    sizes=st.lists(st.sampled_from(["0", "10", "10%", "100", "full", "2000"]), min_size=1, unique=True),
    subset_seeds=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    seeds=st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True),
    budgets=st.lists(st.sampled_from([{"epochs": "3"}, {"steps": 10}, {"epochs": "0.5"}]), max_size=3, unique_by=str),
    targets=st.lists(st.sampled_from(["xnli", "xsid", "tatoeba"]), min_size=1, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_every_wanted_combination_appears_exactly_once(
    sizes: list[str], subset_seeds: list[int], seeds: list[int], budgets: list[dict[str, Any]], targets: list[str]
) -> None:
    wanted_study = study(
        sizes=sizes, subsetSeeds=subset_seeds, seeds=seeds, budgets=budgets, targets=[{"name": t} for t in targets]
    )
    planned = plan(wanted_study, world())
    cells: set[tuple[Any, ...]] = set()
    for recipe, size, subset_seed, budget, seed in itertools.product(
        [("mnli", 1000), ("mix", 2000)], sizes, subset_seeds, wanted_study.spec.budgets or (None,), seeds
    ):
        name, available = recipe
        rows = {"0": 0, "10": 10, "10%": available // 10, "100": 100, "full": available, "2000": 2000}[size]
        if rows == 0:
            cells.add(("baseline", 0, None, None, seed))
        elif rows <= available:
            cells.add((name, rows, None if rows == available else subset_seed, budget, seed))
    points = [trial.point for trial in planned.trials]
    found = [(p.recipe, p.rows, p.subset_seed, p.budget, p.seed) for p in points]
    assert len(found) == len(set(found))
    assert set(found) == cells
    assert all(list(trial.evaluations) == targets for trial in planned.trials)
    assert len({trial.name for trial in planned.trials}) == len(planned.trials)
    left_out = {(entry.recipe, entry.size, entry.available) for entry in planned.not_applicable}
    assert left_out == ({("mnli", "2000", 1000)} if "2000" in sizes else set())


def test_stages_come_after_what_they_need_and_each_trial_has_all_of_its_own() -> None:
    planned = plan(study(), world())
    done: set[str] = {planned.model}
    for address, stage in planned.stages.items():
        assert set(stage.inputs.values()) <= done
        assert address == stage.address
        assert stage.key == stage_key(kind=stage.kind, version=stage.version, config=stage.config, inputs=stage.inputs)
        done.add(address)
    assert {address for trial in planned.trials for address in trial.stages} == set(planned.stages)


def test_equal_studies_give_equal_plans_and_names_do_not_matter_to_keys() -> None:
    first = plan(study(), world())
    renamed = study(
        recipes=[
            {"name": "a", "tasks": [{"name": "mnli"}]},
            {"name": "b", "tasks": [{"name": "mnli"}, {"name": "squad"}]},
        ]
    )
    assert plan(study(), world()) == first
    assert set(plan(renamed, world()).stages) == set(first.stages)


@pytest.mark.parametrize(
    ("spec", "outside", "expected"),
    [
        pytest.param({"parallelism": 3}, {}, set(), id="parallelism changes nothing"),
        pytest.param({"training": {"target": {"learningRate": "3e-5"}}}, {}, ALL_TARGETS, id="a target setting leaves the intermediate phase alone"),
        pytest.param({"training": {"intermediate": {"learningRate": "3e-5"}}}, {}, ALL_INTERMEDIATES | BELOW_INTERMEDIATES, id="an intermediate setting leaves the baseline and the subsets alone"),
        pytest.param({"training": {"intermediate": {"perTask": [{"name": "mix", "batchSize": 4}]}}}, {}, MIX_ONLY - {"data-scaling mix"}, id="a setting for one recipe changes that recipe"),
        pytest.param({"training": {"intermediate": {"learningRate": "0.00001"}}}, {}, set(), id="the default written out changes nothing"),
        pytest.param({"targets": [{"name": "xnli", "languages": ["de"]}, {"name": "xsid"}, {"name": "tatoeba"}]}, {}, ALL_EVALUATIONS, id="fewer languages only evaluate again"),
        pytest.param({"targets": [{"name": "xnli"}, {"name": "xsid"}, {"name": "tatoeba", "retrieval": {"layer": 3}}]}, {}, ALL_EVALUATIONS, id="another layer only evaluates again"),
        pytest.param({}, {"datasets": replaced("squad", train_en=1001)}, MIX_ONLY, id="a row more in one data set reaches the recipes that use it"),
        pytest.param({}, {"datasets": replaced("xnli", test_de=51)}, ALL_EVALUATIONS, id="another test file only evaluates again"),
        pytest.param({}, {"datasets": replaced("xsid", train_en=999)}, ALL_TARGETS, id="other target data leave the intermediate phase alone"),
        pytest.param({}, {"versions": VERSIONS | {"evaluation": 2}}, ALL_EVALUATIONS, id="a new version of a stage runs it again"),
        pytest.param({}, {"model_digest": "m1"}, ALL_TARGETS | ALL_INTERMEDIATES, id="another model leaves only the subsets"),
        pytest.param({"seeds": [1, 2, 3]}, {}, ALL_TARGETS | ALL_INTERMEDIATES, id="one seed more adds its stages"),
    ],
)  # fmt: skip
def test_a_change_reaches_exactly_what_depends_on_it(
    spec: dict[str, Any], outside: dict[str, Any], expected: set[str]
) -> None:
    assert changed(plan(study(), world()), plan(study(**spec), world(**outside))) == expected


def test_appending_keeps_every_stage_there_was() -> None:
    before = plan(study(), world())
    after = plan(
        study(
            sizes=["0", "100", "full", "500"],
            seeds=[1, 2, 3],
            targets=[{"name": t} for t in ("xnli", "xsid", "tatoeba", "mnli")],
        ),
        world(),
    )
    assert set(before.stages) < set(after.stages)


def test_two_recipes_of_equal_content_share_every_stage() -> None:
    twins = study(recipes=[{"name": name, "tasks": [{"name": "mnli"}]} for name in ("a", "b")])
    single = study(recipes=[{"name": "a", "tasks": [{"name": "mnli"}]}])
    assert set(plan(twins, world()).stages) == set(plan(single, world()).stages)


def test_a_mixture_splits_the_total_by_full_sizes() -> None:
    datasets = dict(world().datasets) | {"squad": dataset("squad", {"train.en": 3000, "dev.en": 9})}
    planned = plan(study(), world(datasets=datasets))
    subsets = [
        [(entry["task"], entry["rows"]) for entry in stage.config["subsets"]]  # type: ignore[attr-defined]
        for stage in planned.stages.values()
        if stage.kind == "data-scaling" and stage.recipe == "mix"
    ]
    assert subsets == [[("mnli", 25), ("squad", 75)]] * 2 + [[("mnli", 1000), ("squad", 3000)]]


@pytest.mark.parametrize(
    ("spec", "outside", "expected"),
    [
        pytest.param({"targets": [{"name": "xnly"}]}, {}, ["targets[0].name", "'xnly'", "xnli"], id="an unknown task"),
        pytest.param({"recipes": [{"name": "r", "tasks": [{"name": "tatoeba"}]}]}, {}, ["recipes[0].tasks[0]", "never trained"], id="an intermediate task that is never trained"),
        pytest.param({"recipes": [{"name": "r", "tasks": [{"name": "mnli"}], "sizes": ["5000"]}]}, {}, ["recipes[0].sizes", "5000", "1000 rows"], id="a recipe's own size above its data"),
        pytest.param({"targets": [{"name": "xnli", "languages": ["sw"]}]}, {}, ["targets[0].languages", "'sw'", "test.de"], id="a language without data"),
        pytest.param({}, {"datasets": {}}, ["targets[0]", "xstilts data import xnli --from"], id="a data set that is not in the store"),
        pytest.param({"reuse": "Never"}, {}, ["spec.reuse", "Always"], id="a kind of reuse that this version does not know"),
        pytest.param({"recipes": [{"name": "r", "tasks": [{"name": "mnli", "data": "xsod"}]}]}, {}, ["xsod", "not in the store"], id="data of another name that is not there"),
    ],
)  # fmt: skip
def test_what_cannot_be_planned_is_explained(
    spec: dict[str, Any], outside: dict[str, Any], expected: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        plan(study(**spec), world(**outside))
    assert all(part in str(caught.value) for part in expected), str(caught.value)


PRETRAINING = {"steps": 100, "training": {"batchSize": 8, "maxLength": 32}}
ALL_TRAINED = ALL_TARGETS | ALL_INTERMEDIATES


def pretrained(**changes: Any) -> Study:
    return study(pretraining=PRETRAINING | changes)


def test_one_pretraining_is_the_base_of_every_trial() -> None:
    planned = plan(pretrained(), world_with_text())
    (stage,) = [stage for stage in planned.stages.values() if stage.kind == "pretraining"]
    assert next(iter(planned.stages)) == stage.address
    assert stage.inputs == {"encoder": planned.model}
    assert [ref["language"] for ref in stage.config["text"]["data"]] == ["de", "en"]  # type: ignore[attr-defined]
    assert all(trial.pretraining == stage.address in trial.stages for trial in planned.trials)
    users = [other for other in planned.stages.values() if other.inputs.get("encoder") == stage.address]
    assert {str(user.config.get("checkpoint", user.config.get("checkpoints"))) for user in users} == {
        "last",
        "['last']",
    }
    assert {user.kind for user in users} == {"intermediate-training", "target-training", "evaluation"}
    assert not any(planned.model in other.inputs.values() for other in planned.stages.values() if other != stage)
    assert planned.naive["pretraining"] == 1


@pytest.mark.parametrize(
    ("before", "after", "outside", "expected"),
    [
        pytest.param(study(), pretrained(), {}, ALL_TRAINED | {"pretraining pretraining"}, id="pretraining leaves only the subsets"),
        pytest.param(pretrained(), pretrained(steps=101), {}, ALL_TRAINED | {"pretraining pretraining"}, id="another step count reaches all that is trained"),
        pytest.param(pretrained(), pretrained(maskProbability="0.2"), {}, ALL_TRAINED | {"pretraining pretraining"}, id="another share of masks does too"),
        pytest.param(pretrained(), pretrained(smoothing="0.30"), {}, set(), id="the default written out changes nothing"),
        pytest.param(pretrained(), pretrained(training={"batchSize": 8, "maxLength": 32, "docStride": 8, "epochs": "7", "selection": "Last"}), {}, set(), id="settings without meaning for it change nothing"),
        pytest.param(pretrained(languages=["de"]), pretrained(languages=["de"]), {"en": 201}, set(), id="text of a language that is not asked for does not matter"),
        pytest.param(pretrained(), pretrained(), {"th": 10}, ALL_TRAINED | {"pretraining pretraining"}, id="text of one more language does"),
    ],
)  # fmt: skip
def test_a_change_of_pretraining_reaches_exactly_what_depends_on_it(
    before: Study, after: Study, outside: dict[str, int], expected: set[str]
) -> None:
    assert changed(plan(before, world_with_text()), plan(after, world_with_text(**outside))) == expected


@pytest.mark.parametrize(
    ("spec", "outside", "expected"),
    [
        pytest.param(pretrained(), world(), ["spec.pretraining.data", "xstilts data import text --from"], id="text that is not in the store"),
        pytest.param(pretrained(languages=["sw"]), world_with_text(), ["spec.pretraining.languages", "'sw'", "train.de"], id="a language without text"),
    ],
)  # fmt: skip
def test_pretraining_that_cannot_be_planned_is_explained(spec: Study, outside: World, expected: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        plan(spec, outside)
    assert all(part in str(caught.value) for part in expected), str(caught.value)


def test_a_plan_survives_its_own_document() -> None:
    planned = plan(study(), world())
    assert Plan.model_validate(planned.document()) == planned


def test_a_plan_holds_equal_configs_once_also_when_it_comes_from_the_store() -> None:
    planned = plan(study(sizes=["0", *map(str, range(100, 120))], seeds=[1, 2, 3]), world())
    store = MemoryStore()
    studies.put_plan(store, study(), planned)
    stored = studies.load_plan(store, "s")
    assert stored == planned
    for each in (planned, stored):
        configs = {id(stage.config) for stage in each.stages.values()}
        assert len(configs) == len({canonical_json(stage.config) for stage in each.stages.values()})
        assert len(configs) < len(each.stages) / 4


def test_the_digest_is_that_of_the_whole_document() -> None:
    planned = plan(study(), world())
    assert planned.digest == digest(planned.document())


def test_a_plan_takes_little_more_memory_to_hash_and_store_than_to_hold() -> None:
    planned = plan(study(sizes=["0", *map(str, range(100, 130))], subsetSeeds=[1, 2, 3], seeds=[1, 2, 3]), world())
    store = MemoryStore()
    tracemalloc.start()
    try:
        assert planned.digest
        hashing = tracemalloc.get_traced_memory()[1]
        studies.put_plan(store, study(), planned)
        storing = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = len(store.read("studies/s/plan.json"))
    assert hashing < size / 4
    assert storing < 1.5 * size


def test_a_study_of_the_baseline_alone_has_a_naive_grid_too() -> None:
    planned = plan(study(recipes=[], sizes=["0"]), world())
    # 2 subset seeds x 2 seeds: xnli and xsid are trained and evaluated, tatoeba is evaluated
    assert planned.naive == {"data-scaling": 0, "intermediate-training": 0, "target-training": 8, "evaluation": 12}
    assert len(planned.stages) == 4 + 5  # tatoeba does not depend on the seed
