"""The operator: watches Studies and StudySchedules and brings the cluster to where they want it.

Pure modules decide, on `views`: `reconcile` (with `stages`, `progress`, `deletion`, `shares`) and `schedules` (with
`slots`). Around them, in the way of an event: `watch` (kopf), `state`, the loops (`controller`, `schedule_loop`),
`effects` on the cluster, and the `desk`, where a `clerk` works with stores and MLflow. `operator` puts them together;
`leader`, `resync`, `metrics` and `probes` stand beside.
"""
