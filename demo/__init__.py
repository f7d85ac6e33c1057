"""A real Airflow beside the emulator: what `make demo` shows and the system tests drive."""
