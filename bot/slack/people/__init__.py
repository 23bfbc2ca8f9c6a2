"""Who people are and what channels are, asked of Slack."""
