"""The process that runs agents: AutoGen teams, their journal, and the people they ask."""
