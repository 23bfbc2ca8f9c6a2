"""Teams of other frameworks than AutoGen, for the worker."""
