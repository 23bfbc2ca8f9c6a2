"""Keeps Slack equal to the events."""
