"""A schedule of Vertex AI, which Airflow does not know."""

from airflow_nbjobs.hooks import NotebookExecutionJobHook

hook = NotebookExecutionJobHook()
schedule = hook.schedules.get("projects/my-project/locations/us-central1/schedules/1234567890")
print(schedule.cron, schedule.job)
