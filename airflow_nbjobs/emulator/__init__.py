"""A local Vertex AI: the notebook execution jobs of the real service, run in local Jupyter kernels.

.. code-block:: python

    from airflow_nbjobs.emulator import Emulator

    with Emulator() as emulator:
        os.environ.update(emulator.env)

It needs the extra ``airflow-nbjobs[emulator]``. The rest of the package is imported when ``Emulator`` is first used.

What all services share is at the root: ``server`` (the library), ``app`` (the routes), ``faults`` (failures on
request), ``guard`` (refuses web pages). Each service has a folder: ``methods`` are its requests, ``model`` is its
behavior, ``checks`` are its rules for input, ``pages`` its lists. ``kernels`` runs a notebook in a separate process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_nbjobs.emulator.errors import EmulatorError

if TYPE_CHECKING:
    from airflow_nbjobs.emulator.server import Emulator

__all__ = ["Emulator", "EmulatorError"]


def __getattr__(name: str) -> object:
    if name != "Emulator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from airflow_nbjobs.emulator.server import Emulator
    except ModuleNotFoundError as error:
        remedy = "the emulator needs an extra: pip install 'airflow-nbjobs[emulator]'"
        raise ImportError(f"No module named {error.name!r}; {remedy}", name=error.name) from error
    return Emulator
