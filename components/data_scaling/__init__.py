"""The component of the stage `data-scaling`."""
