"""Bugs in the pages on which people review in a browser."""

from typing import Final

from tests.mutants.mutant import Bug

_PROOFS = "tests/pages/test_proof_pages.py::"
_OUT = "tests/pages/test_signed_out.py::"
_AWAY = "tests/pages/test_slack_away.py::"
_GUARD = "tests/pages/test_guard.py::"

PAGES: Final = (
    Bug(
        "a confirmation shows a content that was not signed",
        "R13",
        "bot/pages/request_pages.py",
        "if any(row.digest != shown for row, (_, shown) in zip(rows, found.about, strict=True)):",
        "if False:",
        (_PROOFS + "test_confirmation_shows_everything_that_is_signed",),
    ),
    Bug(
        "a confirmation hides what is signed",
        "R13",
        "bot/pages/request_pages.py",
        "return ToConfirm(label, articles, [(name, text) for name, text in entered if text])",
        "return ToConfirm(label, [], [(name, text) for name, text in entered if text])",
        (_PROOFS + "test_confirmation_shows_everything_that_is_signed",),
    ),
    Bug(
        "a young login counts for a newer question",
        "R9",
        "countersign/usecases/proofs.py",
        "CLOCKS_DIFFER: Final = timedelta(seconds=5)",
        "CLOCKS_DIFFER: Final = timedelta(seconds=60)",
        ("tests/pages/test_sign_in.py::test_old_login_proves_nothing",),
    ),
    Bug(
        "a login in another browser counts",
        "R9",
        "bot/pages/proof_pages.py",
        "if found.login is None or pending is None or digest_of(pending.verifier) != found.browser:",
        "if found.login is None:",
        (_PROOFS + "test_login_in_another_browser_proves_nothing",),
    ),
    Bug(
        "a click loosens what a channel with a proof inherits",
        "R33",
        "countersign/usecases/effective_settings.py",
        "strictest(*in_policy, *milder), dependents)",
        "strictest(*in_policy), dependents)",
        ("tests/slack/test_proofs.py::test_inherited_loosening_needs_the_inheriting_channels_proof",),
    ),
    Bug(
        "a stolen session outlives its owner's cut-off",
        "R9",
        "bot/pages/sessions.py",
        "if ended is not None and session.began_at <= ended:",
        "if False:",
        (_OUT + "test_sign_out_ends_every_session_of_a_person", _OUT + "test_admin_signs_another_person_out"),
    ),
    Bug(
        "a deactivated account stays signed in",
        "R9",
        "bot/pages/door.py",
        "if not actor.checked or not (actor.is_deactivated or actor.is_stranger):",
        "if True:",
        (_OUT + "test_deactivated_account_ends_its_sessions",),
    ),
    Bug(
        "anybody signs others out",
        "R9",
        "bot/pages/proof_pages.py",
        "if not (await reader_of(desk, session.user)).is_admin:",
        "if False:",
        (_OUT + "test_admin_signs_another_person_out",),
    ),
    Bug(
        "the audit log hides that Slack's answer was old",
        "R25",
        "countersign/domain/decision_attempts.py",
        "    if ages:\n",
        "    if False:\n",
        (_AWAY + "test_five_requests_are_decided_while_slack_is_away",),
    ),
    Bug(
        "Slack's last answer counts for ever",
        "R9",
        "bot/slack/people/users_and_groups.py",
        'return await self.lookups.find(("person", user), ask, kept=self._last_known)',
        'return await self.lookups.find(("person", user), ask, kept=timedelta(days=999))',
        (_AWAY + "test_outdated_slack_answers_do_not_count",),
    ),
    Bug(
        "a mail is sent again and again",
        "R26",
        "countersign/store/sign_ins.py",
        "zip(requests, told, strict=True) if moment is None]",
        "zip(requests, told, strict=True)]",
        ("tests/pages/test_mails.py::test_a_mail_names_what_waits_once",),
    ),
    Bug(
        "a password goes in the clear",
        "R15",
        "bot/pages/mails.py",
        "start_tls=True if needs_tls else None,",
        "start_tls=None,",
        ("tests/pages/test_mails.py::test_a_password_stays_at_home_without_tls",),
    ),
    Bug(
        "a form of another session counts",
        "R9",
        "bot/pages/request_pages.py",
        'if sent is None or name is None or not session.fits(token, f"{name} {shown}"):',
        "if sent is None or name is None:",
        (_GUARD + "test_forged_form_decides_nothing",),
    ),
)
