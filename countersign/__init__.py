"""Slack approvals for AutoGen agents."""
