"""Vertex AI's notebook runtime templates."""
