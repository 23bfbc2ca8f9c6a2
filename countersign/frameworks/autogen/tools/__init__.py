"""Tools behind the approval gate."""
