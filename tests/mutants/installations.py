"""Bugs in the installation by OAuth and in what keeps workspaces apart."""

from typing import Final

from tests.mutants.mutant import Bug

_OAUTH = "tests/installations/test_oauth.py::"
_ORGANIZATIONS = "tests/installations/test_organizations.py::"
_REFUSED = "tests/slack/test_token_refused.py::"
_TOKENS = "tests/installations/test_tokens.py::"

INSTALLING: Final = (
    Bug(
        "a wrong code is logged as it came",
        "R15",
        "bot/installations/oauth.py",
        "return Flow(client=client, logger=_of_bolt,",
        "return Flow(client=client, logger=_log,",
        (_OAUTH + "test_a_code_that_is_not_ours_installs_nothing",),
    ),
    Bug(
        "a browser keeps its cookie of OAuth, so its state is good again",
        "R9",
        "bot/installations/oauth.py",
        "    if cookie:",
        "    if not cookie:",
        (_OAUTH + "test_a_state_is_good_once_in_time_and_in_the_browser_that_began",),
    ),
    Bug(
        "a link brings scopes that are fewer, and the installation is taken",
        "R9",
        "bot/installations/oauth.py",
        "if missing or not installation.bot_token:",
        "if not installation.bot_token:",
        (_OAUTH + "test_what_cannot_be_served_is_refused_with_a_sentence",),
    ),
    Bug(
        "the sealed tokens of one workspace serve in the place of another's",
        "R9",
        "bot/installations/records.py",
        "return installation if installation.workspace == workspace else None",
        "return installation",
        (_TOKENS + "test_a_key_can_be_changed_and_one_that_is_lost_stops_nobody_else",),
    ),
    Bug(
        "an event alone ends an installation that still has its token",
        "R9",
        "bot/installations/workspace_registry.py",
        "        if why in slack_errors.FINAL:\n            ended",
        "        if stored.installation.token:\n            ended",
        (_TOKENS + "test_what_may_have_been_an_older_token_ends_nothing",),
    ),
    Bug(
        "a click without a workspace is taken for one of the clicker's home workspace",
        "R1",
        "bot/installations/workspace_registry.py",
        "if one.opened is not None and await one.opened.has_card(body)",
        "if False",
        (_ORGANIZATIONS + "test_a_click_that_names_no_workspace_finds_its_card",),
    ),
    Bug(
        "a disallowed address erases every installation",
        "R40",
        "bot/slack_errors.py",
        'FINAL: Final = frozenset({"account_inactive", "token_revoked"})',
        'FINAL: Final = frozenset({"account_inactive", "token_revoked", "invalid_auth"})',
        (_TOKENS + "test_a_temporary_refusal_erases_no_installation",),
    ),
    Bug(
        "no metric tells that Slack refuses the token",
        "R46",
        "bot/slack/answer_check.py",
        "        metrics.token_refused(self._workspace, refused)\n",
        "",
        (_REFUSED + "test_drawing_waits_while_slack_refuses_the_token",),
    ),
    Bug(
        "texts name a command that another app has",
        "R45",
        "bot/__main__.py",
        "    NAMES.approvals = settings.approvals_command\n",
        "",
        ("tests/slack/test_command_names.py::test_renamed_commands_are_served_and_named_in_replies",),
    ),
    Bug(
        "a card that an uninstalled app could not post is given up for ever",
        "R21",
        "bot/slack/ports.py",
        "in TRANSIENT | OF_THE_TOKEN\n",
        "in TRANSIENT\n",
        (_TOKENS + "test_what_slack_says_of_a_token_is_no_word_about_the_message",),
    ),
)
