"""Approval service: asks people in Slack, and records their decisions."""
