"""Handle commands, clicks and windows; each handler stores before it acks."""
