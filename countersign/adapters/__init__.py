"""Adapters for the frameworks of agents, loaded only by programs that import one."""
