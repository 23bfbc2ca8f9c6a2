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
        (_OAUTH + "test_foreign_oauth_code_installs_nothing",),
    ),
    Bug(
        "a browser keeps its cookie of OAuth, so its state is good again",
        "R9",
        "bot/installations/oauth.py",
        "    if cookie:",
        "    if not cookie:",
        (_OAUTH + "test_oauth_state_is_valid_once_for_its_browser",),
    ),
    Bug(
        "a link brings scopes that are fewer, and the installation is taken",
        "R9",
        "bot/installations/oauth.py",
        "if missing or not installation.bot_token:",
        "if not installation.bot_token:",
        (_OAUTH + "test_incomplete_installation_is_refused_with_a_sentence",),
    ),
    Bug(
        "the sealed tokens of one workspace serve in the place of another's",
        "R9",
        "bot/installations/records.py",
        "return installation if installation.workspace == workspace else None",
        "return installation",
        (_TOKENS + "test_encryption_key_can_change_and_its_loss_is_contained",),
    ),
    Bug(
        "an event alone ends an installation that still has its token",
        "R9",
        "bot/installations/workspace_registry.py",
        "        if why in slack_errors.FINAL:\n            ended",
        "        if stored.installation.token:\n            ended",
        (_TOKENS + "test_revocation_of_an_older_token_ends_nothing",),
    ),
    Bug(
        "a click without a workspace is taken for one of the clicker's home workspace",
        "R1",
        "bot/installations/workspace_registry.py",
        "if one.opened is not None and await one.opened.has_card(body)",
        "if False",
        (_ORGANIZATIONS + "test_click_without_a_workspace_finds_its_card",),
    ),
    Bug(
        "a disallowed address erases every installation",
        "R40",
        "bot/slack_errors.py",
        'FINAL: Final = frozenset({"account_inactive", "token_revoked"})',
        'FINAL: Final = frozenset({"account_inactive", "token_revoked", "invalid_auth"})',
        (_TOKENS + "test_temporary_refusal_erases_no_installation",),
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
        "a label takes every value that somebody sends",
        "R46",
        "countersign/metrics.py",
        "    if value not in known and len(known) < MOST_VALUES:\n",
        "    if value not in known:\n",
        ("tests/test_metrics.py::test_metric_labels_do_not_grow_with_input",),
    ),
    Bug(
        "a request without a card is not counted",
        "R46",
        "countersign/store/commit_plan.py",
        "                self._add(self.names.unposted, request.created_at, request.id)\n",
        "                pass\n",
        ("tests/test_metrics.py::test_unposted_requests_are_counted_until_their_card_stands",),
    ),
    Bug(
        "a web without Redis is taken out of service, and people get no sentence",
        "R7",
        "bot/slack/health.py",
        "        if self._wrong_clock:\n",
        "        if self._away:\n            return Readiness(self._away)\n        if self._wrong_clock:\n",
        ("tests/slack/test_health.py::test_web_without_redis_stays_alive_and_ready",),
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
        (_TOKENS + "test_token_error_does_not_give_up_a_message",),
    ),
)
