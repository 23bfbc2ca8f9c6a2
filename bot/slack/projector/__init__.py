"""Keep Slack equal to the events."""
