"""The benchmark: the product beside bare Bolt, Redis and AutoGen.

`make bench` runs `python -m bench`, in five minutes at most; `--quick` does the same with tiny counts, to see that it
runs, and `--only NAME` asks one question. `first_page` is a script of its own.
"""
