"""What ``nbjobs doctor`` checks: this machine (:mod:`.machine`) and the project in Google Cloud (:mod:`.cloud`)."""
