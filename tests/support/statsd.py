"""A StatsD server: it receives what Airflow sends over UDP."""

from __future__ import annotations

import socket
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread

from tests.support.waiting import eventually

PREFIX = "airflow.nbjobs."


class Statsd:
    """What has been received, of the metrics of this package.

    :ivar port: of UDP, on the loopback interface.
    """

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._lines: list[str] = []
        self._thread = Thread(target=self._receive, daemon=True)

    def _receive(self) -> None:
        while data := self._socket.recv(65_536):
            self._lines += data.decode().splitlines()

    @property
    def env(self) -> dict[str, str]:
        """The settings that make an Airflow send here."""
        settings = {"ON": "True", "HOST": "127.0.0.1", "PORT": str(self.port), "PREFIX": "airflow"}
        tags = {"AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True"}  # tags follow the name: "name,key=value:1|c"
        return {f"AIRFLOW__METRICS__STATSD_{name}": value for name, value in settings.items()} | tags

    def values(self, name: str, **tags: str) -> list[float]:
        """Return the values that were sent for a metric with these tags and perhaps others, in order."""
        found = []
        for line in list(self._lines):
            head, _, value = line.partition(":")
            metric, *pairs = head.split(",")
            known = dict(pair.split("=", 1) for pair in pairs)
            if metric == PREFIX + name and known.items() >= tags.items():
                found.append(float(value.partition("|")[0]))
        return found

    def counts(self, **tags: str) -> Mapping[str, float]:
        """Return the sum of each counter of jobs."""
        sums: dict[str, float] = defaultdict(float)
        for name in ("submitted", "adopted", "succeeded", "failed", "cancelled"):
            if values := self.values(f"job.{name}", **tags):
                sums[name] = sum(values)
        return dict(sums)

    def reaches(self, counts: Mapping[str, float], *, within_seconds: float = 10, **tags: str) -> None:
        """Wait until the counters of jobs have these values; what comes after them is not waited for."""
        eventually(lambda: self.counts(**tags) == counts, within_seconds=within_seconds)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", ("127.0.0.1", self.port))  # an empty datagram ends the thread
        self._thread.join()
        self._socket.close()

    def start(self) -> None:
        self._thread.start()


@contextmanager
def listening() -> Iterator[Statsd]:
    """Run a StatsD server."""
    server = Statsd()
    server.start()
    try:
        yield server
    finally:
        server.close()
