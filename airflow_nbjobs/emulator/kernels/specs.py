"""The Python in which notebooks run: by default the emulator's own, or another one that a user names."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from airflow_nbjobs.emulator.errors import EmulatorError

_CHECK_SECONDS = 60.0


def use_python(python: Path, folder: Path) -> dict[str, str]:
    """Define the kernel ``python3`` as another Python, and return the environment in which Jupyter finds it.

    :param python: the program, such as ``/home/me/.venv/bin/python``. It needs the package ipykernel.
    :param folder: where the definition is written.
    :raises EmulatorError: if it cannot be run, or has no ipykernel.
    """
    program = str(python.expanduser().absolute())  # not resolved: a link is what makes a virtual environment
    _check(program)
    spec = {
        "argv": [program, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
    }
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True, exist_ok=True)
    (kernel / "kernel.json").write_text(json.dumps(spec))
    others = os.environ.get("JUPYTER_PATH")
    return {"JUPYTER_PATH": os.pathsep.join([str(folder.resolve()), *([others] if others else [])])}


def _check(program: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # as notebooks have it
    try:
        done = subprocess.run(  # noqa: S603 - the user's own Python
            [program, "-c", "import ipykernel"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it did not answer within {_CHECK_SECONDS:g} s"
        raise EmulatorError(f"the Python {program!r} of --kernel-python cannot be run: {reason}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise EmulatorError(
            f"the Python {program!r} of --kernel-python cannot run notebooks: {last}. Install ipykernel there: "
            f"{program} -m pip install ipykernel"
        )
