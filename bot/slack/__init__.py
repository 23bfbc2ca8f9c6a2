"""Slack as a view of the store: what people see, and what their clicks and commands mean."""
