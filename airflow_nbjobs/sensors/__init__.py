"""Sensors that wait for notebook execution jobs: one job, or the run of a schedule."""

import airflow_nbjobs.floors  # noqa: F401 - refuses versions that are too old

from airflow_nbjobs.sensors.job import NotebookExecutionJobSensor
from airflow_nbjobs.sensors.schedule_run import NotebookScheduleRunSensor

__all__ = ["NotebookExecutionJobSensor", "NotebookScheduleRunSensor"]
