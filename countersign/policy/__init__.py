"""A workspace's policy: the file, its conditions, and its judgement of an action."""
