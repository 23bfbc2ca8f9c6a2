"""Samples of the rarer views: forms, windows to read, notices in channels."""

from datetime import timedelta
from typing import Any, Final

from bot.audit.figures import Figures
from bot.slack import settings_proposals
from bot.slack.views import (
    answer_modals,
    audit_posts,
    commands_text,
    edit_modal,
    home,
    modal_parts,
    settings_modal,
    settings_text,
    thread_notes,
)
from bot.slack.views.block_kit import Drawing
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import ChannelSettings
from countersign.domain.decision_attempts import decide
from countersign.domain.hash_chain import Head
from countersign.domain.ids import ChannelId, digest_of
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question, Request, Scope, Verb
from countersign.domain.runs import Status as RunStatus
from countersign.policy.loosening import Configured, SettingsProposal
from tests.audit.generated_record import samples
from tests.sample_requests import ALICE, BOB, GENERAL, attempt, later, question, request, rules
from tests.slack.sample_views import LATER, LINK, at_work, card, decided, ended, refund, run, talk
from tests.slack.test_home import CAME_OF, DONE, FAILED, listed, permitted

_FIELDS: Final = {
    "type": "object",
    "properties": {
        "region": {"type": "string", "enum": ["eu", "us"]},
        "percent": {"type": "integer", "minimum": 1, "maximum": 100, "description": "Of the customers"},
        "note": {"type": "string", "default": ""},
    },
    "required": ["region", "percent"],
}
_OPS: Final = ChannelId("C0OPS")
_PROPOSAL: Final = SettingsProposal(GENERAL, BOB, ChannelSettings(own_requests=True), 1, digest_of("rules"))


def form() -> Question:
    """Ask as a program does that wants a form filled in."""
    fields = Call("form", "{}", canonical(_FIELDS))
    offers = (Verb.EDIT, Verb.RESPOND, Verb.REJECT)
    return question(
        "The last version went to 20 %.",
        kind=Kind.FORM,
        title="How far does 2.1 go?",
        agent="rollout",
        offers=offers,
        call=fields,
    )


def filled() -> Request:
    answers = canonical({"region": "eu", "percent": 20})
    asked = request(asked=form())
    return decide(asked, attempt(asked, BOB, Verb.EDIT, arguments=answers), later(minutes=5)).request


def _changed(**after: Any) -> Configured:
    return Configured(rules(), rules(**after), rules(), rules())


def _drawn(drawing: Drawing | None) -> Drawing:
    assert drawing is not None
    return drawing


def _week() -> Drawing:
    """Draw the digest of a week with some of everything."""
    figures, made = Figures(), samples()
    for number in range(audit_posts.LEAST):
        for name in ("asked", "approved"):
            entry = {**made[name], "request": f"q{number}"}
            figures.take({**entry, "what": {**entry["what"], "tool": "refund_order"}})
    for name in ("asked", "expired", "passed"):
        figures.take(made[name])
    links = dict.fromkeys(figures.last, "https://example.slack.com/archives/C0APPROVALS/p1")
    return audit_posts.weekly_digest(figures, later().replace(day=2), links)


NOTICES: Final[dict[str, Drawing]] = {
    "card_form": card(request(asked=form())),
    "card_form_rejected": card(decided(Verb.REJECT, "Not now.", request(asked=form()))),
    "card_form_filled_approved": card(filled()),
    "notice_settings": _drawn(settings_text.change_notice(GENERAL, _changed(quorum=2), BOB, None)),
    "notice_proposal": settings_text.proposal_notice(
        GENERAL, _changed(own_requests=True), BOB, settings_proposals.written(_PROPOSAL)
    ),
    "notice_proposal_confirmed": settings_text.confirmed_notice(GENERAL, _changed(own_requests=True), BOB, ALICE),
    "notice_not_proposed": settings_text.not_proposed_notice(GENERAL, _OPS),
    "notice_nobody_left": thread_notes.nobody_left_note(request(), "its reviewers have all left the workspace"),
    "note_requester_left": thread_notes.requester_left_note(ended(), thread_notes.outcome_note(ended())),
    "note_requester_gone": thread_notes.requester_gone_note(run(), rules().reviewers),
    "note_requester_gone_without_reviewers": thread_notes.requester_gone_note(run(), Reviewers()),
    "notice_record": audit_posts.daily_checkpoint(Head(1204, "0f" * 32), later().date()),
    "digest": _week(),
    "list_permissions": commands_text.standing_permissions([permitted(Scope.TOOL)]),
    "list_pending": commands_text.pending_requests(
        home.entries(listed(request(asked=refund()), talk()), reader=ALICE), 40
    ),
    "list_history": commands_text.last_decisions(
        home.outcomes(listed(decided(Verb.REJECT), DONE, FAILED, of=CAME_OF), later(hours=13))
    ),
    "list_status": commands_text.runs_in_progress(
        [
            home.run_entry(at_work(), LINK, listed(), ALICE),
            home.run_entry(run(status=RunStatus.WAITING), "", listed(talk()), ALICE),
        ],
        17,
    ),
}
WINDOWS: Final[dict[str, dict[str, Any]]] = {
    "modal_fill_in": edit_modal.edit(request(asked=form()), GENERAL),
    "modal_more": answer_modals.more(request(asked=refund(), break_glass=True, **LATER), GENERAL),
    "modal_loading": modal_parts.loading(),
    "modal_settings_to_read": settings_modal.view_only(
        settings_text.describe(GENERAL, rules(timeout=timedelta(minutes=15))),
        "Only reviewers of this channel and admins can change these settings.",
    ),
}
