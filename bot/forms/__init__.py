"""Forms in which people change a call: fields, groups and values, without Slack."""
