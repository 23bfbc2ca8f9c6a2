"""Why a run survives its process: the journal, the order of what reached a team, effects done once."""
