"""An emulator that starts no kernels, for all tests of this folder."""

from __future__ import annotations

from tests.support.emulators import using

nbjobs_emulator_session = using("simulated")
