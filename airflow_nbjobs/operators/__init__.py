"""Operators for notebook execution jobs on Vertex AI / Colab Enterprise: create, delete, get, list, prune."""

from airflow_nbjobs.operators.create import CreateNotebookExecutionJobOperator
from airflow_nbjobs.operators.delete import DeleteNotebookExecutionJobOperator
from airflow_nbjobs.operators.get import GetNotebookExecutionJobOperator
from airflow_nbjobs.operators.list import ListNotebookExecutionJobsOperator
from airflow_nbjobs.operators.prune import PruneNotebookExecutionJobsOperator
from airflow_nbjobs.run.sources import InlineNotebook

__all__ = [
    "CreateNotebookExecutionJobOperator",
    "DeleteNotebookExecutionJobOperator",
    "GetNotebookExecutionJobOperator",
    "InlineNotebook",
    "ListNotebookExecutionJobsOperator",
    "PruneNotebookExecutionJobsOperator",
]
