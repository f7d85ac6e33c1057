"""Many tasks that submit at once."""

from __future__ import annotations

import json

from bench.measure import in_fresh_process

CREATES, REFUSED = 24, 12


def test_a_wave_half_refused_creates_each_job_once():
    """In a process of its own: each thread stands for a worker, with a connection and a client of its own."""
    refusal = {"method": "create", "status": 429, "times": REFUSED}
    wave = in_fresh_process("bench.submission", str(CREATES), json.dumps(refusal))
    assert (wave["failed"], wave["errors"], wave["twice"]) == (0, [], 0)
    assert wave["jobs"] == CREATES
    assert wave["creates_refused"] == REFUSED
