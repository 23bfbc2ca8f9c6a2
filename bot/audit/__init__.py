"""The record: what happened, chained, exported, verified, signed, and copied into a database."""
