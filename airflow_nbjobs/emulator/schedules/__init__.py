"""Vertex AI's schedules, which create notebook execution jobs."""
