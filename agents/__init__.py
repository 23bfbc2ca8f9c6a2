"""The process that runs agents: AutoGen teams and what they work with."""
