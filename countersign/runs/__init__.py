"""Runs as a worker advances them: leases, journals, the job queue, and calls of `web`."""
