"""All triggers of an event loop that wait in one place share one poller.

A place is a connection, an impersonation chain, a project, a location and an endpoint. The poller looks the connection
up once, holds one session and one token, and lists what has changed instead of asking for each job.
Triggers that wait for a job use :func:`join_poller`, and event triggers :func:`join_feed`.
"""

from __future__ import annotations

from airflow_nbjobs.watch.registry import budget_of, join_feed, join_poller

__all__ = ["budget_of", "join_feed", "join_poller"]
