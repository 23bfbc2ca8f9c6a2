"""The benchmark: what the product takes beside what Bolt, Redis and AutoGen take by themselves.

`make bench` runs `python -m bench`, in five minutes at most; `--quick` does the same with tiny counts, to see that it
runs, and `--only NAME` asks one question. `first_page` and `job_engine` are scripts of their own.
"""
