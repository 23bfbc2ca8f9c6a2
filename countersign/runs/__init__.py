"""A worker's side of runs: leases, journals, the job queue, and calls to `web`."""
