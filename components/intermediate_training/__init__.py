"""The component of the stage `intermediate-training`."""
