"""Look up people and channels in Slack."""
