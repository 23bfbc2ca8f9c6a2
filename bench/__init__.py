"""How fast a click wakes an agent and how many clicks a process takes, beside what Redis and Bolt cost by themselves;
and what it takes for a run to survive.

`make bench` runs `python -m bench`; `--quick` does the same with tiny counts, to see that it runs. bench/engine.py is
a script of its own.
"""
