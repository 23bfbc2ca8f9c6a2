"""The HTTP interface for programs: ask people, and wait for what they decide."""
