"""Connections to Redis, and their guarantees."""
