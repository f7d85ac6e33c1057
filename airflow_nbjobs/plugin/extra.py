"""The packages of the extra ``ui``, which render notebooks."""

from __future__ import annotations

from importlib.util import find_spec

from airflow_nbjobs.plugin.unavailable import Unavailable

__all__ = ["check_extra"]


def check_extra() -> None:
    """Check that the extra is installed.

    :raises Unavailable: if it is not.
    """
    if missing := next((name for name in ("nbconvert", "nh3") if find_spec(name) is None), None):
        raise Unavailable(
            "no_extra",
            f"The notebook cannot be shown, since {missing} is not installed where the API server runs. Install it "
            "there: pip install 'airflow-nbjobs[ui]'.",
        )
