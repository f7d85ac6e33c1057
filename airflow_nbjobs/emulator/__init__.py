"""Vertex AI on a laptop: the notebook execution jobs of the real service, run in local Jupyter kernels."""
