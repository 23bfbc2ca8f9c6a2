"""Bugs in what keeps agents of other frameworks from doing things twice, or otherwise than approved."""

from typing import Final

from tests.mutants.mutant import Bug

_HERE: Final = "tests/adapters/test_saved_runs.py"
_FLOWS: Final = "tests/adapters/test_workflows.py"
_GRAPHS: Final = "tests/adapters/test_langgraph.py"
_HOSTILE: Final = "tests/adapters/test_hostile_json.py"
_STATE: Final = "tests/hosted_teams/test_saved_state.py"
_STEPS: Final = "tests/hosted_teams/test_coming_steps.py"
_MODEL: Final = "tests/hosted_teams/test_run_model.py"

ADAPTING: Final = (
    Bug(
        "the model of an agent in a workflow reads no reason",
        "R16",
        "countersign/frameworks/agent_framework/__init__.py",
        "        return request.to_function_approval_response(True)\n",
        "        return request.to_function_approval_response(bool(decision and decision.approved))\n",
        (f"{_FLOWS}::test_tool_in_a_workflow_runs_as_decided[Reject-window1-too much]",),
    ),
    Bug(
        "a refusal to give a number is the number 0",
        "R39",
        "countersign/frameworks/langgraph/__init__.py",
        'decision.outcome == "answered" else ""',
        'decision.outcome == "answered" else False',
        (f"{_GRAPHS}::test_rejected_number_question_is_not_read_as_zero",),
    ),
    Bug(
        "the copy of a call that LangGraph's wrapper runs is not compared",
        "R37",
        "countersign/frameworks/langgraph/__init__.py",
        'same = is_approved(action["args"], decision.arguments)',
        "same = True",
        (f"{_HOSTILE}::test_call_other_than_the_approved_does_not_run[langgraph_inbox]",),
    ),
    Bug(
        "an agent within a tool pays without a card",
        "R19",
        "countersign/frameworks/agent_framework/__init__.py",
        "            left += _referred(place)\n",
        "            pass\n",
        (f"{_FLOWS}::test_nested_agent_asks_people[within_a_tool]",),
    ),
    Bug(
        "a run that ends takes the middleware of another one",
        "R19",
        "countersign/frameworks/agent_framework/__init__.py",
        "        for agent in agents:\n            agent.middleware = [*(agent.middleware or ()), self]\n",
        "        for agent in agents:\n"
        "            rest = [one for one in agent.middleware or () if one is not self]\n"
        "            agent.middleware = [*rest, self]\n",
        (f"{_FLOWS}::test_concurrent_runs_may_share_an_agent",),
    ),
    Bug(
        "a proxy that reads the keyboard itself waits at the terminal",
        "R19",
        "countersign/frameworks/ag2_classic/__init__.py",
        "return before(prompt) if agent is None else people.answer(agent, str(prompt))",
        "return before(prompt)",
        ("tests/adapters/test_ag2_classic_adaptive.py::test_overridden_get_human_input_reaches_slack",),
    ),
    Bug(
        "a framework's own copy of a call is not compared with the approved one",
        "R37",
        "countersign/domain/json_arguments.py",
        "return approved is not None and canonical(_numbers(call)) == canonical(_numbers(approved))",
        "return True",
        (f"{_HOSTILE}::test_call_other_than_the_approved_does_not_run[agent_framework]",),
    ),
    Bug(
        "a name that stands twice in a model's arguments is read once",
        "R37",
        "countersign/domain/json_arguments.py",
        "if len(value) != len(pairs):",
        "if False:",
        (f"{_HOSTILE}::test_hostile_arguments_are_refused_or_run_exactly[ag2]",),
    ),
    Bug(
        "an answer that LangChain's middleware does not allow ends the program",
        "R7",
        "countersign/frameworks/langgraph/__init__.py",
        'if kind not in review["allowed_decisions"]:',
        'if kind == "nothing":',
        (
            f"{_GRAPHS}::test_people_edit_or_answer_calls_of_langchains_middleware"
            "[allowed2-Request changes-window2-paid2-Ask first.]",
        ),
    ),
    Bug(
        "a task that is delivered again asks anew",
        "R8",
        "countersign/client/idempotency_keys.py",
        "if not task or not task.acks_late or not task.request.id:",
        "if not task or task.acks_late or not task.request.id:",
        ("tests/api/test_django_and_celery.py::test_celery_redelivery_keeps_the_key_of_a_call",),
    ),
    Bug(
        "a workflow goes on without a checkpoint",
        "R8",
        "countersign/frameworks/agent_framework/__init__.py",
        "class _NotKept(BaseException)",
        "class _NotKept(Exception)",
        (f"{_FLOWS}::test_workflow_that_could_not_resume_asks_nobody",),
    ),
    Bug(
        "words are a yes to AG2's own approval",
        "R12",
        "countersign/frameworks/ag2/__init__.py",
        " and not isinstance(event, ToolApprovalRequest)",
        "",
        ("tests/adapters/test_ag2.py::test_ag2s_own_approval_is_asked_in_slack[Request changes-window2-paid2]",),
    ),
    Bug(
        "one approved call of a message lets the others of AG2 pass",
        "R19",
        "countersign/frameworks/ag2_classic/questions.py",
        "        return calls.pop(0) if calls else None",
        "        return None",
        ("tests/adapters/test_ag2_classic_calls.py::test_refusing_policy_rule_applies_to_each_call[sync]",),
    ),
    Bug(
        "a function of AG2 runs without the approved arguments",
        "R13",
        "countersign/frameworks/ag2_classic/questions.py",
        '"arguments": json.dumps(approved)}',
        '"arguments": "{}"}',
        ("tests/adapters/test_ag2_classic_calls.py::test_each_call_of_a_message_is_judged_separately[async]",),
    ),
    Bug(
        "code of AG2 runs again when its program comes back",
        "R8",
        "countersign/frameworks/ag2_classic/questions.py",
        "                self._code[id(agent)] = first\n",
        "                pass\n",
        ("tests/adapters/test_ag2_classic_calls.py::test_reported_code_is_replayed_to_a_restarted_program[executor]",),
    ),
    Bug(
        "a call whose program ended while it ran is done again",
        "R10",
        "countersign/client/executions.py",
        "        if begun is not None and decision.reported is None:",
        "        if begun is None:",
        (f"{_HERE}::test_program_killed_in_the_call_is_asked_about[agent framework]",),
    ),
    Bug(
        "a call that ended is not kept",
        "R8",
        "countersign/frameworks/saved_runs.py",
        "            call.ended = True\n            self.run.save()\n            others",
        "            self.run.save()\n            others",
        (f"{_HERE}::test_program_killed_after_the_call_does_not_repeat_it[agent framework]",),
    ),
    Bug(
        "a program that is started again asks anew",
        "R8",
        "countersign/frameworks/run_files.py",
        "parts = (self.key, call.id,",
        "parts = (self.key, os.getpid(), call.id,",
        (f"{_HERE}::test_program_may_end_during_the_question[agent framework]",),
    ),
    Bug(
        "an agent runs what its model wanted, whatever people made of it",
        "R13",
        "countersign/frameworks/agent_framework/__init__.py",
        "not is_approved(arguments, decision.arguments)",
        "not decision.approved",
        (f"{_HERE}::test_edited_call_runs_as_edited[agent framework]",),
    ),
    Bug(
        "two programs carry on one run",
        "R8",
        "countersign/frameworks/run_files.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ("tests/adapters/test_agent_framework.py::test_run_has_one_program_and_one_task",),
    ),
    Bug(
        "a question asked again gets the answer to the one before",
        "R4",
        "countersign/frameworks/autogen/running_team.py",
        "journal.times = Counter(kept.times)",
        "journal.times = Counter()",
        (f"{_STATE}::test_repeated_question_gets_its_own_answer",),
    ),
    Bug(
        "another worker counts the plans of a team that goes on from its state anew",
        "R4",
        "countersign/frameworks/autogen/running_team.py",
        "steps.number, steps.open = kept.plans,",
        "steps.number, steps.open = 0,",
        (f"{_STEPS}::test_next_worker_ticks_and_announces_the_following_steps",),
    ),
    Bug(
        "another worker ticks no step that was announced before the stop",
        "R4",
        "countersign/frameworks/autogen/running_team.py",
        "dict(kept.open_steps)",
        "{}",
        (f"{_STEPS}::test_next_worker_ticks_and_announces_the_following_steps",),
    ),
    Bug(
        "a team of another framework begins anew after each question",
        "R4",
        "countersign/frameworks/autogen/running_team.py",
        '        await journal.record(_KEY, Entry("done", kept.dump()), replace=True)',
        "        pass",
        (f"{_STATE}::test_equal_successive_questions_are_two_requests",),
    ),
    Bug(
        "an agent of another framework may have tools past the gate",
        "R19",
        "countersign/frameworks/agent_framework/team.py",
        "        if not isinstance(tool, _Tool):",
        "        if not isinstance(tool, FunctionTool):",
        (f"{_STATE}::test_tool_past_the_gate_is_refused_before_any_action",),
    ),
    Bug(
        "a program is started again before people have decided",
        "R8",
        "countersign/frameworks/resume.py",
        "            await client.decision(request)",
        "            pass",
        ("tests/adapters/test_agent_framework.py::test_run_resumed_before_the_decision_keeps_waiting",),
    ),
    Bug(
        "an agent of another framework asks its model past the journal",
        "R4",
        "countersign/frameworks/agent_framework/team.py",
        "return RunModel(run.model(agent), agent)",
        "return RunModel(run._model, agent)",
        (
            f"{_MODEL}::test_recorded_answer_is_not_requested_again",
            f"{_MODEL}::test_model_calls_are_limited_by_the_budget",
        ),
    ),
    Bug(
        "models of other frameworks see a tool's idempotency key",
        "R13",
        "countersign/frameworks/hosted_calls.py",
        "schemas = [without_key(tool.schema) for tool in offered]",
        "schemas = [tool.schema for tool in offered]",
        (f"{_MODEL}::test_idempotency_key_is_hidden_from_the_model",),
    ),
)
