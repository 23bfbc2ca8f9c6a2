"""Code that agents write: approved, then run."""
