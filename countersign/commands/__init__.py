"""Commands for shells, over the public client: `run` and `ask`."""
