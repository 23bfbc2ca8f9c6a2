"""Whether our tests can fail: bugs planted on purpose, one at a time, in a copy of this tree."""
