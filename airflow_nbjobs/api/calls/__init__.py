"""Each method of the API as a value: what to send, and how to parse the answer. One module for each resource.

A call does nothing by itself: the client of a hook sends it. Paths and parameters: discovery document
``aiplatform.v1``, revision 20261106.
"""

from __future__ import annotations

from airflow_nbjobs.api.calls.call import PAGE_LIMIT, Call, Page, about
from airflow_nbjobs.api.calls.jobs import create_job, delete_job, get_job, list_jobs
from airflow_nbjobs.api.calls.operations import cancel_operation, get_operation, list_operations
from airflow_nbjobs.api.calls.resource import Resource
from airflow_nbjobs.api.calls.schedules import SCHEDULES, create_schedule, pause_schedule, resume_schedule
from airflow_nbjobs.api.calls.templates import TEMPLATES, create_template

__all__ = [
    "PAGE_LIMIT",
    "SCHEDULES",
    "TEMPLATES",
    "Call",
    "Page",
    "Resource",
    "about",
    "cancel_operation",
    "create_job",
    "create_schedule",
    "create_template",
    "delete_job",
    "get_job",
    "get_operation",
    "list_jobs",
    "list_operations",
    "pause_schedule",
    "resume_schedule",
]
