"""The demo: what it needs besides Countersign itself."""
