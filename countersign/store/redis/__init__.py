"""Connections to Redis, and the guarantees of its answers."""
