"""What every cluster promises: one suite over memory and a real API server.

It uses a kind of its own, so that nothing here depends on what a Study may say.
"""

import json
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from xstilts.cluster import Cluster, Object, Resource, connection
from xstilts.cluster.api import ApiCluster
from xstilts.cluster.errors import AlreadyExists, Conflict, Invalid, NotFound
from xstilts.cluster.memory import MemoryCluster
from xstilts.cluster.port import EVENTS, LEASES, PODS, SECRETS

THINGS = Resource("contract.xstilts.dev", "v1", "things", "Thing")
PAGE = 3

_WORDS = {"type": "object", "additionalProperties": {"type": "string"}}
_ENTRY = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
}
_SPEC = {
    "number": {"type": "integer", "minimum": 0},
    "words": _WORDS,
    "tags": {"type": "array", "items": {"type": "string"}},
    "env": {"type": "array", "items": _ENTRY, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
}
_SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "properties": _SPEC},
        "status": {"type": "object", "properties": {"seen": {"type": "integer"}, "words": _WORDS}},
    },
}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{THINGS.plural}.{THINGS.group}"},
    "spec": {
        "group": THINGS.group,
        "scope": "Namespaced",
        "names": {"plural": THINGS.plural, "kind": THINGS.kind},
        "versions": [
            {
                "name": THINGS.version,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": _SCHEMA},
            }
        ],
    },
}


@pytest.fixture(scope="session")
def api_cluster(request: pytest.FixtureRequest) -> ApiCluster:
    control_plane = request.getfixturevalue("control_plane")
    control_plane.define(json.dumps(DEFINITION))
    return ApiCluster(connection.find(kubeconfig=control_plane.kubeconfig()), page=PAGE)


@pytest.fixture(params=["memory", "api server"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return MemoryCluster(page=PAGE) if request.param == "memory" else request.getfixturevalue("api_cluster")


@pytest.fixture
def place(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    """A namespace of the test's own."""
    if isinstance(cluster, MemoryCluster):
        return f"test-{uuid.uuid4().hex[:8]}"
    return str(request.getfixturevalue("namespace"))


Make = Callable[..., Object]


@pytest.fixture
def thing(place: str) -> Make:
    """Makes the text of a Thing."""

    def make(name: str = "one", spec: Object | None = None, **metadata: Any) -> Object:
        return {"metadata": {"name": name, "namespace": place, **metadata}, "spec": spec or {}}

    return make


def finalized(cluster: Cluster, obj: Object) -> None:
    """Take the finalizers off."""
    metadata = obj["metadata"]
    cluster.patch(THINGS, metadata["namespace"], metadata["name"], {"metadata": {"finalizers": None}})


# ---- create, get, list


def test_an_object_reads_as_it_was_made(cluster: Cluster, place: str, thing: Make) -> None:
    made = cluster.create(THINGS, thing(spec={"number": 1, "tags": ["a", "b"]}))
    assert cluster.get(THINGS, place, "one") == made
    assert made["spec"] == {"number": 1, "tags": ["a", "b"]}
    assert (made["apiVersion"], made["kind"]) == ("contract.xstilts.dev/v1", "Thing")
    assert made["metadata"]["generation"] == 1
    assert {"uid", "resourceVersion", "creationTimestamp"} <= made["metadata"].keys()
    assert "managedFields" not in made["metadata"]


def test_what_is_returned_is_the_callers_own(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing(spec={"tags": ["a"]}))["spec"]["tags"].append("b")
    found = cluster.get(THINGS, place, "one")
    assert found is not None
    assert found["spec"] == {"tags": ["a"]}


def test_a_missing_object_is_none(cluster: Cluster, place: str) -> None:
    assert cluster.get(THINGS, place, "nothing") is None
    assert cluster.get(SECRETS, place, "nothing") is None


def test_a_name_is_taken_once(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing())
    with pytest.raises(AlreadyExists, match="one"):
        cluster.create(THINGS, thing())


def test_what_is_created_has_no_version_yet(cluster: Cluster, thing: Make) -> None:
    with pytest.raises(Invalid, match="resourceVersion"):
        cluster.create(THINGS, thing(resourceVersion="1"))


def test_of_many_who_create_one_name_one_wins(cluster: Cluster, thing: Make) -> None:
    def create(number: int) -> bool:
        try:
            cluster.create(THINGS, thing(spec={"number": number}))
        except AlreadyExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(create, range(16))).count(True) == 1


def test_a_name_may_be_generated(cluster: Cluster, place: str, thing: Make) -> None:
    text = thing()
    del text["metadata"]["name"]
    text["metadata"]["generateName"] = "one-"
    first, second = cluster.create(THINGS, text), cluster.create(THINGS, text)
    assert first["metadata"]["name"] != second["metadata"]["name"]
    assert first["metadata"]["name"].startswith("one-")


def test_a_listing_has_all_pages_in_the_order_of_names(cluster: Cluster, place: str, thing: Make) -> None:
    for number in (3, 1, 0, 6, 2, 5, 4):
        cluster.create(THINGS, thing(f"thing-{number}"))
    listed = list(cluster.list(THINGS, place))
    assert [each["metadata"]["name"] for each in listed] == [f"thing-{number}" for number in range(7)]
    assert listed[0] == cluster.get(THINGS, place, "thing-0")
    assert {item["metadata"]["namespace"] for item in cluster.list(THINGS, None)} >= {place}


def test_a_listing_selects_by_all_labels_given(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing("a", labels={"x/study": "s", "x/trial": "t"}))
    cluster.create(THINGS, thing("b", labels={"x/study": "s"}))
    cluster.create(THINGS, thing("c"))
    names = [each["metadata"]["name"] for each in cluster.list(THINGS, place, labels={"x/study": "s"})]
    assert names == ["a", "b"]
    assert len(list(cluster.list(THINGS, place, labels={"x/study": "s", "x/trial": "t"}))) == 1
    assert list(cluster.list(THINGS, place, labels={"x/study": "other"})) == []


def test_a_listing_selects_by_fields_of_events(cluster: Cluster, place: str) -> None:
    for name, uid, reason in (("a", "u1", "FailedCreate"), ("b", "u1", "Other"), ("c", "u2", "FailedCreate")):
        about = {"kind": "Job", "namespace": place, "name": "job", "uid": uid}
        event = {"metadata": {"name": name, "namespace": place}, "involvedObject": about, "reason": reason}
        cluster.create(EVENTS, event | {"type": "Warning", "message": "told", "source": {"component": "tests"}})
    fields = {"involvedObject.uid": "u1", "reason": "FailedCreate"}
    assert [each["metadata"]["name"] for each in cluster.list(EVENTS, place, fields=fields)] == ["a"]


def test_items_of_a_listing_know_their_kind(cluster: Cluster, place: str) -> None:
    cluster.create(SECRETS, {"metadata": {"name": "s", "namespace": place}, "stringData": {"a": "b"}})
    (found,) = (each for each in cluster.list(SECRETS, place) if each["metadata"]["name"] == "s")
    assert (found["apiVersion"], found["kind"]) == ("v1", "Secret")


# ---- patch, replace


def test_a_merge_patch_sets_changes_and_removes(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing(spec={"number": 1, "words": {"a": "1", "b": "2"}, "tags": ["x", "y"]}))
    patched = cluster.patch(THINGS, place, "one", {"spec": {"words": {"a": None, "c": "3"}, "tags": ["z"]}})
    assert patched["spec"] == {"number": 1, "words": {"b": "2", "c": "3"}, "tags": ["z"]}
    assert cluster.get(THINGS, place, "one") == patched


def test_a_patch_of_what_is_not_there_is_not_found(cluster: Cluster, place: str, thing: Make) -> None:
    with pytest.raises(NotFound, match="nothing"):
        cluster.patch(THINGS, place, "nothing", {"spec": {"number": 1}})
    with pytest.raises(NotFound, match="nothing"):
        cluster.patch(THINGS, place, "nothing", {"status": {"seen": 1}}, subresource="status")
    with pytest.raises(NotFound):
        cluster.json_patch(THINGS, place, "nothing", [{"op": "test", "path": "/spec", "value": {}}])
    with pytest.raises(NotFound):
        cluster.replace(THINGS, thing("nothing", resourceVersion="1"))


def test_a_patch_that_names_a_version_wants_that_version(cluster: Cluster, place: str, thing: Make) -> None:
    first = cluster.create(THINGS, thing())["metadata"]["resourceVersion"]
    patch = {"metadata": {"resourceVersion": first}, "spec": {"number": 1}}
    second = cluster.patch(THINGS, place, "one", patch)["metadata"]["resourceVersion"]
    assert second != first
    with pytest.raises(Conflict):
        cluster.patch(THINGS, place, "one", {"metadata": {"resourceVersion": first}, "spec": {"number": 2}})
    with pytest.raises(Conflict):
        cluster.patch(
            THINGS, place, "one", {"metadata": {"resourceVersion": first}, "status": {"seen": 2}}, subresource="status"
        )


def test_a_patch_that_names_a_uid_wants_that_object(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing())
    with pytest.raises(Conflict):
        cluster.patch(THINGS, place, "one", {"metadata": {"uid": str(uuid.uuid4())}, "spec": {"number": 2}})


def test_a_write_that_changes_nothing_leaves_the_version(cluster: Cluster, place: str, thing: Make) -> None:
    made = cluster.create(THINGS, thing(spec={"number": 1}))
    assert cluster.patch(THINGS, place, "one", {"spec": {"number": 1}}) == made
    assert cluster.replace(THINGS, made) == made


def test_a_replacement_wants_the_version_that_was_read(cluster: Cluster, place: str, thing: Make) -> None:
    made = cluster.create(THINGS, thing(spec={"number": 1, "tags": ["a"]}))
    replaced = cluster.replace(THINGS, made | {"spec": {"number": 2}})
    assert replaced["spec"] == {"number": 2}
    with pytest.raises(Conflict):
        cluster.replace(THINGS, made | {"spec": {"number": 3}})
    with pytest.raises(Invalid, match="resourceVersion"):
        cluster.replace(THINGS, thing(spec={"number": 3}))


def test_a_lease_is_taken_by_who_replaces_the_version_that_was_read(cluster: Cluster, place: str) -> None:
    lease = cluster.create(LEASES, {"metadata": {"name": "l", "namespace": place}, "spec": {"holderIdentity": "a"}})

    def take(number: int) -> bool:
        try:
            cluster.replace(LEASES, lease | {"spec": {"holderIdentity": f"holder-{number}"}})
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(take, range(16))).count(True) == 1


def test_a_json_patch_changes_lists_and_tests_first(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing(spec={"tags": ["a", "b"]}, finalizers=["x/one", "x/two"]))
    test = {"op": "test", "path": "/metadata/finalizers/1", "value": "x/two"}
    remove = {"op": "remove", "path": "/metadata/finalizers/1"}
    patched = cluster.json_patch(
        THINGS, place, "one", [test, remove, {"op": "add", "path": "/spec/tags/-", "value": "c"}]
    )
    assert patched["metadata"]["finalizers"] == ["x/one"]
    assert patched["spec"]["tags"] == ["a", "b", "c"]
    with pytest.raises(Conflict):
        cluster.json_patch(THINGS, place, "one", [test, remove])
    wrong = {"op": "test", "path": "/spec/tags/0", "value": "z"}
    with pytest.raises(Conflict):
        cluster.json_patch(THINGS, place, "one", [wrong, {"op": "remove", "path": "/spec/tags/0"}])
    assert cluster.get(THINGS, place, "one") == patched
    finalized(cluster, patched)


# ---- status and generation


def test_a_status_is_written_only_as_the_subresource(cluster: Cluster, place: str, thing: Make) -> None:
    made = cluster.create(THINGS, thing() | {"status": {"seen": 1}})
    assert "status" not in made
    assert "status" not in cluster.patch(THINGS, place, "one", {"status": {"seen": 2}})
    change = {"spec": {"number": 9}, "metadata": {"labels": {"a": "b"}}, "status": {"seen": 3}}
    patched = cluster.patch(THINGS, place, "one", change, subresource="status")
    assert patched["status"] == {"seen": 3}
    assert patched["spec"] == {}
    assert "labels" not in patched["metadata"]
    replaced = cluster.replace(THINGS, patched | {"status": {"seen": 4}}, subresource="status")
    assert replaced["status"] == {"seen": 4}
    kept = cluster.replace(THINGS, {key: value for key, value in replaced.items() if key != "status"})
    assert kept["status"] == {"seen": 4}
    assert cluster.apply(THINGS, thing() | {"status": {"seen": 5}})["status"] == {"seen": 4}


def test_generations_count_changes_of_the_spec(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing(spec={"number": 1}))
    status = cluster.patch(THINGS, place, "one", {"status": {"seen": 1}}, subresource="status")
    label = cluster.patch(THINGS, place, "one", {"metadata": {"labels": {"a": "b"}}})
    assert status["metadata"]["generation"] == label["metadata"]["generation"] == 1
    assert cluster.patch(THINGS, place, "one", {"spec": {"number": 2}})["metadata"]["generation"] == 2
    assert cluster.apply(THINGS, thing(spec={"number": 3}))["metadata"]["generation"] == 3


# ---- deletion


def test_deleting_is_idempotent(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing())
    cluster.delete(THINGS, place, "one")
    cluster.delete(THINGS, place, "one")
    assert cluster.get(THINGS, place, "one") is None


def test_deleting_by_uid_spares_a_successor(cluster: Cluster, place: str, thing: Make) -> None:
    first = cluster.create(THINGS, thing())["metadata"]["uid"]
    cluster.delete(THINGS, place, "one", uid=first)
    second = cluster.create(THINGS, thing())
    assert second["metadata"]["uid"] != first
    cluster.delete(THINGS, place, "one", uid=first)
    assert cluster.get(THINGS, place, "one") == second


def test_an_object_with_finalizers_stays_until_they_are_gone(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.create(THINGS, thing(finalizers=["x/one", "x/two"]))
    cluster.delete(THINGS, place, "one")
    deleting = cluster.get(THINGS, place, "one")
    assert deleting is not None
    assert "deletionTimestamp" in deleting["metadata"]
    assert deleting["metadata"]["generation"] == 2
    cluster.delete(THINGS, place, "one")
    assert cluster.get(THINGS, place, "one") == deleting
    with pytest.raises(AlreadyExists, match="deleted"):
        cluster.create(THINGS, thing())
    with pytest.raises(Invalid, match="finalizers"):
        cluster.patch(THINGS, place, "one", {"metadata": {"finalizers": ["x/one", "x/two", "x/three"]}})
    cluster.patch(THINGS, place, "one", {"status": {"seen": 1}}, subresource="status")
    cluster.patch(THINGS, place, "one", {"metadata": {"finalizers": ["x/two"]}})
    assert cluster.get(THINGS, place, "one") is not None
    cluster.patch(THINGS, place, "one", {"metadata": {"finalizers": None}})
    assert cluster.get(THINGS, place, "one") is None


@pytest.mark.parametrize(("propagation", "finalizer"), [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")])
def test_a_deletion_that_waits_for_the_collector_is_a_finalizer(
    cluster: Cluster, place: str, thing: Make, propagation: Any, finalizer: str
) -> None:
    cluster.create(THINGS, thing(finalizers=["x/one"]))
    cluster.delete(THINGS, place, "one", propagation=propagation)
    found = cluster.get(THINGS, place, "one")
    assert found is not None
    assert "x/one" in found["metadata"]["finalizers"]
    finalized(cluster, found)


# ---- server-side apply


def test_applying_makes_what_is_not_there(cluster: Cluster, place: str, thing: Make) -> None:
    applied = cluster.apply(THINGS, thing(spec={"number": 1}))
    assert applied["spec"] == {"number": 1}
    assert cluster.apply(THINGS, thing(spec={"number": 1})) == applied


def test_fields_that_are_applied_no_more_are_removed(cluster: Cluster, place: str, thing: Make) -> None:
    env = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    cluster.apply(THINGS, thing(spec={"number": 1, "words": {"a": "1", "b": "2"}, "env": env}, labels={"x": "1"}))
    again = cluster.apply(THINGS, thing(spec={"words": {"b": "3"}, "env": env[1:]}))
    assert again["spec"] == {"words": {"b": "3"}, "env": env[1:]}
    assert not again["metadata"].get("labels")


def test_fields_of_others_are_left(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.apply(THINGS, thing(spec={"words": {"a": "1"}, "env": [{"name": "A", "value": "1"}]}))
    other = thing(spec={"words": {"b": "2"}, "env": [{"name": "B", "value": "2"}]})
    cluster.apply(THINGS, other, field_manager="other")
    cluster.patch(THINGS, place, "one", {"metadata": {"labels": {"c": "3"}}, "spec": {"number": 1}})
    again = cluster.apply(THINGS, thing(spec={}))
    assert again["spec"] == {"number": 1, "words": {"b": "2"}, "env": [{"name": "B", "value": "2"}]}
    assert again["metadata"]["labels"] == {"c": "3"}


def test_a_field_that_two_apply_stays_until_both_let_go(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.apply(THINGS, thing(spec={"number": 1, "tags": []}))
    cluster.apply(THINGS, thing(spec={"number": 1}), field_manager="other", force=False)
    assert cluster.apply(THINGS, thing(spec={"tags": []}))["spec"] == {"number": 1, "tags": []}
    assert cluster.apply(THINGS, thing(), field_manager="other")["spec"] == {"tags": []}


def test_a_field_of_another_is_taken_only_by_force(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.apply(THINGS, thing(spec={"number": 1}), field_manager="other")
    with pytest.raises(Conflict, match=r"\.spec\.number"):
        cluster.apply(THINGS, thing(spec={"number": 2}), force=False)
    assert cluster.apply(THINGS, thing(spec={"number": 2}))["spec"] == {"number": 2}
    assert cluster.apply(THINGS, thing(spec={}), field_manager="other")["spec"] == {"number": 2}


def test_a_list_without_keys_is_applied_as_a_whole(cluster: Cluster, place: str, thing: Make) -> None:
    cluster.apply(THINGS, thing(spec={"tags": ["a", "b"]}))
    assert cluster.apply(THINGS, thing(spec={"tags": ["b", "c"]}))["spec"] == {"tags": ["b", "c"]}


def test_owners_and_finalizers_of_several_appliers_add_up(cluster: Cluster, place: str, thing: Make) -> None:
    owners = [cluster.create(THINGS, thing(name)) for name in ("first", "second")]
    references = [_reference(owner) for owner in owners]
    cluster.apply(THINGS, thing(ownerReferences=references[:1], finalizers=["x/one"]), field_manager="a")
    both = cluster.apply(THINGS, thing(ownerReferences=references[1:], finalizers=["x/two"]), field_manager="b")
    assert both["metadata"]["ownerReferences"] == references
    assert both["metadata"]["finalizers"] == ["x/one", "x/two"]
    left = cluster.apply(THINGS, thing(), field_manager="a")
    assert left["metadata"]["ownerReferences"] == references[1:]
    assert left["metadata"]["finalizers"] == ["x/two"]
    finalized(cluster, left)


def test_a_dry_run_changes_nothing(cluster: Cluster, place: str, thing: Make) -> None:
    assert cluster.apply(THINGS, thing(spec={"number": 1}), dry_run=True)["spec"] == {"number": 1}
    assert cluster.get(THINGS, place, "one") is None
    made = cluster.apply(THINGS, thing(spec={"number": 1}))
    assert cluster.apply(THINGS, thing(spec={"number": 2}), dry_run=True)["spec"] == {"number": 2}
    assert cluster.get(THINGS, place, "one") == made


def test_applying_with_a_version_wants_that_version(cluster: Cluster, place: str, thing: Make) -> None:
    version = cluster.apply(THINGS, thing())["metadata"]["resourceVersion"]
    cluster.apply(THINGS, thing(spec={"number": 1}, resourceVersion=version))
    with pytest.raises(Conflict):
        cluster.apply(THINGS, thing(spec={"number": 2}, resourceVersion=version))


# ---- pods and permissions


def test_a_pod_that_nothing_runs_has_an_empty_log(cluster: Cluster, place: str) -> None:
    spec = {"containers": [{"name": "c", "image": "none"}]}
    cluster.create(PODS, {"metadata": {"name": "p", "namespace": place}, "spec": spec})
    assert cluster.pod_log(place, "p") == b""
    assert b"".join(cluster.follow_pod_log(place, "p")) == b""


def test_a_pod_that_is_not_there_has_no_log(cluster: Cluster, place: str) -> None:
    with pytest.raises(NotFound, match="nothing"):
        cluster.pod_log(place, "nothing", tail_lines=10, limit_bytes=100)
    with pytest.raises(NotFound, match="nothing"):
        list(cluster.follow_pod_log(place, "nothing"))


def test_an_administrator_may_do_everything(cluster: Cluster, place: str) -> None:
    assert cluster.can_i("create", THINGS, place)
    assert cluster.can_i("patch", THINGS, place, "one", subresource="status")
    assert cluster.can_i("list", PODS, None)


# ---- garbage


def secret(cluster: Cluster, place: str, name: str, *owners: Object, **reference: Any) -> Object:
    references = [_reference(owner) | reference for owner in owners]
    return cluster.create(SECRETS, {"metadata": {"name": name, "namespace": place, "ownerReferences": references}})


def collected(cluster: Cluster, done: Callable[[], bool]) -> bool:
    """Let the garbage collector do its work."""
    if isinstance(cluster, MemoryCluster):
        cluster.collect_garbage()
    deadline = time.monotonic() + 60
    while not (finished := done()) and time.monotonic() < deadline and not isinstance(cluster, MemoryCluster):
        time.sleep(0.05)
    return finished


def test_what_an_object_owns_goes_with_it(cluster: Cluster, place: str) -> None:
    owner = secret(cluster, place, "owner")
    child = secret(cluster, place, "child", owner)
    secret(cluster, place, "grandchild", child)
    cluster.delete(SECRETS, place, "owner")
    assert collected(cluster, lambda: cluster.get(SECRETS, place, "grandchild") is None)
    assert cluster.get(SECRETS, place, "child") is None


def test_what_several_own_stays_until_the_last_is_gone(cluster: Cluster, place: str) -> None:
    first, second = secret(cluster, place, "first"), secret(cluster, place, "second")
    secret(cluster, place, "shared", first, second)
    cluster.delete(SECRETS, place, "first")

    def one_owner() -> bool:
        found = cluster.get(SECRETS, place, "shared")
        assert found is not None
        return [owner["name"] for owner in found["metadata"]["ownerReferences"]] == ["second"]

    assert collected(cluster, one_owner)
    cluster.delete(SECRETS, place, "second")
    assert collected(cluster, lambda: cluster.get(SECRETS, place, "shared") is None)


def test_what_is_orphaned_stays_and_has_no_owner(cluster: Cluster, place: str) -> None:
    secret(cluster, place, "child", secret(cluster, place, "owner"))
    cluster.delete(SECRETS, place, "owner", propagation="Orphan")
    assert collected(cluster, lambda: cluster.get(SECRETS, place, "owner") is None)
    child = cluster.get(SECRETS, place, "child")
    assert child is not None
    assert "ownerReferences" not in child["metadata"]


def test_a_foreground_deletion_waits_for_what_blocks_it(cluster: Cluster, place: str) -> None:
    child = secret(cluster, place, "child", secret(cluster, place, "owner"), blockOwnerDeletion=True)
    cluster.patch(SECRETS, place, "child", {"metadata": {"finalizers": ["x/one"]}})
    cluster.delete(SECRETS, place, "owner", propagation="Foreground")

    def deleting() -> bool:
        found = cluster.get(SECRETS, place, "child")
        return found is not None and "deletionTimestamp" in found["metadata"]

    assert collected(cluster, deleting)
    assert cluster.get(SECRETS, place, "owner") is not None
    cluster.patch(SECRETS, place, child["metadata"]["name"], {"metadata": {"finalizers": None}})
    assert collected(cluster, lambda: cluster.get(SECRETS, place, "owner") is None)


def _reference(owner: Object) -> Object:
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
