"""What a team of AutoGen agents gets: people, tools behind the gate, models and code, all of them journaled."""
