"""What ``nbjobs doctor`` checks: this machine, the project in Google Cloud, and what its administrators set."""
