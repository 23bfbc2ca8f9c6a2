"""Approval service: asks people in Slack, and keeps what they decided."""
