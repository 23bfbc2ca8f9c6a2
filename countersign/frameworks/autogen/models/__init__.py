"""Model clients: recorded, cached, with a fallback, or none at all."""
