"""Slack as a view of the store, and people's clicks and commands as calls of it."""
