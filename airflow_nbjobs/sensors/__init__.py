"""Sensors that wait for notebook execution jobs: one job, or the run of a schedule."""

from airflow_nbjobs.sensors.job import NotebookExecutionJobSensor
from airflow_nbjobs.sensors.schedule_run import NotebookScheduleRunSensor

__all__ = ["NotebookExecutionJobSensor", "NotebookScheduleRunSensor"]
