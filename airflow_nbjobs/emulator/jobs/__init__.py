"""Vertex AI's notebook execution jobs."""
