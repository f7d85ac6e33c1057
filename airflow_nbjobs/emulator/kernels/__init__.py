"""Run one notebook in a process tree of its own."""
