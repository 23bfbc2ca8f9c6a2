"""Redis: the truth. Keys, the one script that changes things, wake-ups, the job engine, an embedded server."""
