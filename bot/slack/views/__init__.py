"""Views: pure functions from stored values to Block Kit."""
