"""Operators for notebook execution jobs on Vertex AI / Colab Enterprise: create, delete, get, list, prune."""

from airflow_nbjobs.operators.create import CreateNotebookExecutionJobOperator
from airflow_nbjobs.operators.delete import DeleteNotebookExecutionJobOperator
from airflow_nbjobs.operators.prune import PruneNotebookExecutionJobsOperator
from airflow_nbjobs.operators.read import GetNotebookExecutionJobOperator, ListNotebookExecutionJobsOperator

__all__ = [
    "CreateNotebookExecutionJobOperator",
    "DeleteNotebookExecutionJobOperator",
    "GetNotebookExecutionJobOperator",
    "ListNotebookExecutionJobsOperator",
    "PruneNotebookExecutionJobsOperator",
]
