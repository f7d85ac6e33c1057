"""Measurements, ours and our peers' side by side: `make bench` runs them and writes `docs/benchmarks.md`."""
