"""Imported by the process that others are forked from: it has everything in memory that they need.

None of them looks through what they share for garbage: that would copy all of it for each.
"""

from importlib import import_module

from countersign.python_gc import keep_what_is_loaded

for name in (
    "bot.__main__",
    "agents.__main__",
    "countersign.frameworks.autogen.code.gated_executor",
    "countersign.frameworks.autogen.standalone",
    "autogen_agentchat.conditions",
    "autogen_agentchat.teams",
    "docket.tasks",
    "countersign.frameworks.agent_framework.team",
):
    import_module(name)
keep_what_is_loaded()
