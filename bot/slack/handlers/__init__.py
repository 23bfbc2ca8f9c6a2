"""Handlers of commands, clicks and windows; each stores before it acks."""
