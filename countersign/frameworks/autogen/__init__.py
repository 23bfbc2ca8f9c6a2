"""The parts of AutoGen teams: people, gated tools, models and code, all journaled."""
