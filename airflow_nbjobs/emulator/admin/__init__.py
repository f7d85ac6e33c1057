"""IAM and Service Usage, as far as ``nbjobs doctor`` asks: all permissions are granted, all services are enabled."""
