"""A team file that does not load."""

raise ImportError("No module named 'warehouse'")
