"""Operators for notebook execution jobs, schedules and runtime templates of Vertex AI / Colab Enterprise."""

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

from airflow_nbjobs.operators.create import CreateNotebookExecutionJobOperator
from airflow_nbjobs.operators.create_schedule import CreateNotebookScheduleOperator
from airflow_nbjobs.operators.delete import DeleteNotebookExecutionJobOperator
from airflow_nbjobs.operators.get import GetNotebookExecutionJobOperator
from airflow_nbjobs.operators.list import ListNotebookExecutionJobsOperator
from airflow_nbjobs.operators.prune import PruneNotebookExecutionJobsOperator
from airflow_nbjobs.operators.run_schedule import RunNotebookScheduleOperator
from airflow_nbjobs.operators.schedules import (
    DeleteNotebookScheduleOperator,
    GetNotebookScheduleOperator,
    ListNotebookSchedulesOperator,
    PauseNotebookScheduleOperator,
    ResumeNotebookScheduleOperator,
)
from airflow_nbjobs.operators.templates import (
    CreateNotebookRuntimeTemplateOperator,
    DeleteNotebookRuntimeTemplateOperator,
    GetNotebookRuntimeTemplateOperator,
    ListNotebookRuntimeTemplatesOperator,
)
from airflow_nbjobs.run.sources import InlineNotebook

__all__ = [
    "CreateNotebookExecutionJobOperator",
    "CreateNotebookRuntimeTemplateOperator",
    "CreateNotebookScheduleOperator",
    "DeleteNotebookExecutionJobOperator",
    "DeleteNotebookRuntimeTemplateOperator",
    "DeleteNotebookScheduleOperator",
    "GetNotebookExecutionJobOperator",
    "GetNotebookRuntimeTemplateOperator",
    "GetNotebookScheduleOperator",
    "InlineNotebook",
    "ListNotebookExecutionJobsOperator",
    "ListNotebookRuntimeTemplatesOperator",
    "ListNotebookSchedulesOperator",
    "PauseNotebookScheduleOperator",
    "PruneNotebookExecutionJobsOperator",
    "ResumeNotebookScheduleOperator",
    "RunNotebookScheduleOperator",
]
