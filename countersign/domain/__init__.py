"""The rules: pure functions over plain values. Standard library only, no clock, no log, not async."""
