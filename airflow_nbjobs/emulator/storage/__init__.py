"""Cloud Storage: fake-gcs-server behind a port that checks every request."""
