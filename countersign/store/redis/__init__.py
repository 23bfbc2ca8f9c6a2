"""The way to Redis, and what it promises."""
