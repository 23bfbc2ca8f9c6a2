"""Redis: the keys, the one script that changes things, wake-ups, jobs, a server."""
