"""Waiting is shared: one poller for all triggers of an event loop that wait in one place.

A place is a connection, an impersonation chain, a project, a location and an endpoint. Its poller looks the connection
up once, holds one session and one token, and asks for what has changed, not for each job. What a trigger sees of all
that is :func:`waiting`.

* :mod:`.poller`: what is asked next, and when;
* :mod:`.horizon`: how far back a list has to be read;
* :mod:`.lists`: whether lists are to be had;
* :mod:`.errands`: what a list did not show, asked for by the page or one by one;
* :mod:`.pace` and :mod:`.line`: when it looks, and how it bears a service that does not answer;
* :mod:`.endings`: one connection for all jobs that are ended at the same time;
* :mod:`.jobs`: the jobs, and who waits for them.
"""

from __future__ import annotations

from airflow_nbjobs.watch.registry import waiting

__all__ = ["waiting"]
