"""The component of the stage `target-training`."""
