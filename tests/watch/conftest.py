"""A fast emulator, whose jobs go as a test says."""

from __future__ import annotations

from tests.support.emulators import using

nbjobs_emulator_session = using("lasting")
