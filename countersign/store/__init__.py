"""Redis: the keys, the script that commits a change, wake-ups, jobs, a server."""
