"""Pipelines for Kubeflow: wiring of the components alone. `python -m pipelines.compile` writes `compiled/`."""
