"""Real processes and people, hundreds of runs, and everything that can break in between: what must hold is counted."""
