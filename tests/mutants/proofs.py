"""Bugs in what an approval is proved with."""

from typing import Final

from tests.mutants.mutant import Bug

_KEYS = "tests/bot/test_passkeys.py::"
_RECEIPTS = "tests/audit/test_signed_receipts.py::"
_TABLES = "tests/domain/test_who_may_decide.py::test_rules_agree_with_every_line_of_the_tables"

PROOFS: Final = (
    Bug(
        "silence approves where a proof is needed",
        "R23",
        "countersign/policy/evaluation.py",
        "takes_a_person = asked.risk is Risk.HIGH or asked.proof is not Proof.SLACK",
        "takes_a_person = asked.risk is Risk.HIGH",
        (_KEYS + "test_silence_never_counts_as_proof",),
    ),
    Bug(
        "a proof of something else counts",
        "R9",
        "countersign/domain/proof.py",
        "return None if covers(said, says) else Refusal.PROOF_OF_OTHER",
        "return None",
        (_TABLES, _KEYS + "test_wrong_assertions_are_refused_with_their_reason"),
    ),
    Bug(
        "a new passkey approves at once",
        "R9",
        "countersign/domain/proof.py",
        "if now < proved.key.usable_at:",
        "if False:",
        (_KEYS + "test_new_passkey_cannot_approve_during_its_cooling_period",),
    ),
    Bug(
        "a challenge is good more than once",
        "R3",
        "countersign/store/store.py",
        "self.client.getdel(self.keys.challenge(digest_of(nonce)))",
        "self.client.get(self.keys.challenge(digest_of(nonce)))",
        (_KEYS + "test_wrong_assertions_are_refused_with_their_reason",),
    ),
    Bug(
        "a challenge is good in any session",
        "R9",
        "countersign/domain/proof.py",
        "if (user, session) != (self.user, self.session):",
        "if user != self.user:",
        (_KEYS + "test_wrong_assertions_are_refused_with_their_reason",),
    ),
    Bug(
        "a passkey need not verify its user",
        "R9",
        "bot/passkeys.py",
        "            require_user_verification=True,\n        ).new_sign_count",
        "            require_user_verification=False,\n        ).new_sign_count",
        (_KEYS + "test_wrong_assertions_are_refused_with_their_reason",),
    ),
    Bug(
        "a session enrols a passkey beside another",
        "R9",
        "countersign/domain/passkeys.py",
        "if told and proved is not None and proved.by is Proof.PASSKEY:",
        "if True:",
        (_KEYS + "test_enrolment_needs_more_than_a_session",),
    ),
    Bug(
        "one admin lets a person enrol again after a loss",
        "R33",
        "countersign/domain/passkeys.py",
        "(2 if passkeys.keys else 1)",
        "1",
        (_KEYS + "test_recovery_needs_the_codes_of_two_admins",),
    ),
    Bug(
        "an edit leads into a rule with a stronger proof",
        "R19",
        "countersign/usecases/decisions.py",
        "if judgement.then is Action.DENY or proved_less:",
        "if judgement.then is Action.DENY:",
        (_KEYS + "test_edit_into_a_rule_with_a_proof_is_refused",),
    ),
    Bug(
        "a click loosens rules that need a proof",
        "R33",
        "countersign/usecases/effective_settings.py",
        "why_not = why_not or loosening.why_not_confirmed(confirms, actor, admins, effect, proved, seen.now)",
        "pass",
        (_KEYS + "test_loosening_needs_the_proof_that_the_rules_need",),
    ),
    Bug(
        "a receipt is believed whatever was answered",
        "R25",
        "bot/audit/signatures.py",
        'decision.get("content") or "", chosen, words) != subject.answer:',
        'decision.get("content") or "", chosen, words) == "":',
        (_RECEIPTS + "test_service_key_forges_no_signed_decision",),
    ),
)
