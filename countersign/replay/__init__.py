"""The journal of a run, by which it survives its process."""
