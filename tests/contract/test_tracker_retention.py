"""What retention asks of a tracker, over all of them: who wants weights, and marks on versions that have none."""

from dataclasses import replace

from cluster.tracked import Place, training


def test_a_stage_is_kept_for_an_alias_or_a_pin_of_any_of_its_versions(everywhere: Place, study: str) -> None:
    aliased, pinned, other = training(study), training(study), training(study)
    versions = {trained.key: everywhere.tracker.publish_stage(trained).versions for trained in (aliased, pinned, other)}
    assert not {aliased.key, pinned.key, other.key} & everywhere.tracker.kept_stages().keys()

    everywhere.view.set_alias(aliased.registered_model, "champion", versions[aliased.key]["best"])
    everywhere.view.pin(pinned.registered_model, versions[pinned.key]["last"])

    kept = everywhere.tracker.kept_stages()
    assert f"alias champion of {study}.mnli" in kept[aliased.key]
    assert f"pin of {study}.mnli" in kept[pinned.key]
    assert other.key not in kept


def test_all_versions_of_a_stage_are_marked_and_no_others(everywhere: Place, study: str) -> None:
    evicted, other = training(study), training(study)
    elsewhere = replace(evicted, study=f"{study}-later")
    for record in (evicted, other, elsewhere):
        everywhere.tracker.publish_stage(record)

    for _ in range(2):
        everywhere.tracker.set_evicted([evicted.key], evicted=True)

    assert everywhere.view.evicted(evicted.registered_model) == [1, 2]
    assert everywhere.view.evicted(elsewhere.registered_model) == [1, 2]

    for _ in range(2):
        everywhere.tracker.set_evicted([evicted.key, other.key], evicted=False)

    assert everywhere.view.evicted(evicted.registered_model) == []
    assert everywhere.view.evicted(elsewhere.registered_model) == []


def test_a_mark_survives_another_publication(everywhere: Place, study: str) -> None:
    trained = training(study)
    published = everywhere.tracker.publish_stage(trained)
    everywhere.tracker.set_evicted([trained.key], evicted=True)
    assert everywhere.tracker.publish_stage(trained) == published
    assert everywhere.view.evicted(trained.registered_model) == [1, 2]


def test_a_version_that_a_person_copied_keeps_its_stage_too(mlflow_place: Place, study: str) -> None:
    trained = training(study)
    published = mlflow_place.tracker.publish_stage(trained)
    client = mlflow_place.mlflow.client
    client.copy_model_version(f"models:/{trained.registered_model}/{published.versions['best']}", f"{study}-production")
    mlflow_place.view.set_alias(f"{study}-production", "live", 1)
    assert mlflow_place.tracker.kept_stages()[trained.key] == f"alias live of {study}-production"
