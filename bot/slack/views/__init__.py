"""What Slack shows: pure functions from what is stored to Block Kit."""
