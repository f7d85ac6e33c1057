"""Run one notebook in its own process tree."""
