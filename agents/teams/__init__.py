"""The teams: one file each, found by being here. Copy one to make yours.

A team file holds `TEAM: Team`. One that does not load is announced with its problem, and the others work.

Say that it can be started in two ways, and how it plays without a model:

    def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
        "What this agent's model says next; the same messages always give the same answer."
        if agent == "clerk" and demo_turns(messages) == 0:
            return [DemoCall("look_up", {"order": 17})]
        return f"Nothing to do. {DEMO_NOTE}"

    TEAM = Team(
        "refunds", "looks into refunds", build, options=(Option("pace", "Pace", ("slow", "fast"), "slow"),), demo=play
    )

`/agent refunds pace=fast order 17` starts it; so does the window of `/agent`, which shows a select for each option; and
`build` finds `run.options["pace"]`. All of these names are in `countersign`.
"""
