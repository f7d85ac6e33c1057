"""Run the contract's scenarios on the real service, within a stated budget, and write the page of answers."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from live.page import answers, page
from live.tidying import delete_all

ROOT = Path(__file__).resolve().parents[1]

JOBS = 104
"""Jobs that the scenarios create, counted on the emulator."""
MINUTES = 10
"""Assumed for each job, though most are deleted before their machine has started."""
DOLLARS_PER_HOUR = 0.20
"""Of a machine with 4 cores and 16 GB. Your price may be another one."""


def main() -> int:
    """Ask for the budget, run, tidy up, write the page; the exit code is 1 if an assumption is contradicted."""
    options = _options()
    hours = JOBS * MINUTES / 60
    print(
        f"This creates {JOBS} jobs in {options.project}, {options.location}. With {MINUTES} minutes each, they take "
        f"{hours:.0f} hours of a machine: about {hours * options.price:.0f} USD at {options.price} USD an hour. It "
        "deletes all of its jobs. Executed notebooks stay in the bucket."
    )
    if not options.yes and input("Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
        print("Nothing was created. Answer y, or give --yes.")
        return 2
    prefix = f"nbjobs-contract-{secrets.token_hex(6)}"
    variables = {
        "NBJOBS_LIVE_PROJECT": options.project,
        "NBJOBS_LIVE_LOCATION": options.location,
        "NBJOBS_LIVE_BUCKET": options.bucket,
        "NBJOBS_LIVE_SERVICE_ACCOUNT": options.service_account,
        "NBJOBS_LIVE_PREFIX": prefix,
        **({"NBJOBS_LIVE_TEMPLATE": options.template} if options.template else {}),
    }
    os.environ.update(variables)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        which = f"sync and not async and ({options.only})" if options.only else "sync and not async"
        files = [f"tests/contract/test_{each}.py" for each in ("own_client", "schedules", "templates")]
        scenarios = [*(str(ROOT / file) for file in files), "-k", which]
        pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml", str(report), *scenarios]
        _run(pytest)
        delete_all(prefix)
        if not report.exists():
            print("There are no answers: pytest wrote no report.")
            return 2
        found = answers((ROOT / "docs/assumptions.md").read_text(), report.read_text())
    head = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(head, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603
    options.page.write_text(page(found, commit))
    print(f"{options.page}: {len(found)} questions.")
    return int(any(answer.outcome == "contradicted" for answer in found))


def _run(pytest: list[str]) -> None:
    """Run pytest to its end. Ctrl-C and SIGTERM let it write its report and delete the jobs of the current test."""
    child = subprocess.Popen(pytest, cwd=ROOT)  # noqa: S603 - our own tests
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: child.send_signal(signal.SIGINT))
    child.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="live", description=__doc__)
    for name in ("project", "location", "bucket", "service-account"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--template", help="full name of a runtime template; default: a custom environment")
    parser.add_argument("--only", metavar="EXPRESSION", help="run some of the tests, by pytest's -k")
    parser.add_argument("--price", type=float, default=DOLLARS_PER_HOUR, help="of the machine, USD an hour")
    parser.add_argument("--page", type=Path, default=ROOT / "docs/live.md")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
