"""One notebook run: arguments, job, submission, waiting, cancellation, result. Only :mod:`.task` knows Airflow."""
