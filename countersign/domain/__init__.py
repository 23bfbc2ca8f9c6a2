"""The rules: pure functions over plain values, standard library only.

They read no clock, write no log and never wait.
"""
