"""HTTP interface for programs: ask people, and wait for their decisions."""
