"""Page of a change that loosens rules which need a proof (R33).

An admin confirms the change there, with that proof.
"""

import asyncio
from typing import Final

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from countersign import usecases
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import CountersignError, InvalidInput, NotFound, StoreUnavailable
from countersign.domain.ids import Digest
from countersign.domain.proof import Proof, Proved, new_nonce
from countersign.policy import loosening
from countersign.policy.loosening import SettingsProposal
from countersign.usecases.effective_settings import preview

from ..slack.people.account_check import problems
from ..slack.views.settings_text import proposal_notice
from .block_html import Node, names_in, nodes, sentence_parts
from .confirmations import Confirmation, Confirmations, ToConfirm
from .desk import reader_of
from .door import Door, Visit
from .window_forms import Entered, first

_GONE: Final = (
    "This change was made, or its week has passed. Nothing was changed; propose it again if it is still wanted."
)
_ADMINS: Final = "An admin confirms this change. Nothing was changed."


class SettingsPage:
    """Pages of proposals, by their ids."""

    def __init__(self, door: Door, confirmations: Confirmations) -> None:
        self._door = door
        self._confirmations = confirmations

    @property
    def routes(self) -> list[Route]:
        """Return the routes of these pages."""
        return [
            Route("/settings/{id}", self._door.told(self._show)),
            Route("/settings/{id}", self._door.deciding(self._begin), methods=["POST"]),
        ]

    async def _proposal(self, visit: Visit) -> SettingsProposal:
        name = Digest.named(visit.http.path_params["id"])
        proposal = None if name is None else await visit.desk.store.proposal(name)
        if proposal is None:
            raise NotFound(_GONE)
        return proposal

    async def _show(self, visit: Visit) -> Response:
        return await self._page(visit, await self._proposal(visit))

    async def _page(self, visit: Visit, proposal: SettingsProposal, status: int = 200, said: Sentence = ()) -> Response:
        desk = visit.desk
        reader = await reader_of(desk, visit.session.user)
        if not reader.is_admin:
            raise InvalidInput(_ADMINS)
        blocks = await self._content(visit, proposal)
        alert = sentence_parts(said)
        return self._door.page(
            "settings.html",
            status,
            visit,
            proposal=proposal,
            blocks=blocks,
            alert=alert,
            names=await names_in(desk.directory, blocks, [alert]),
            token=visit.session.token(f"settings {proposal.id}"),
        )

    async def _content(self, visit: Visit, proposal: SettingsProposal) -> list[Node]:
        effect = await preview(visit.desk.store, proposal.channel, proposal.wanted)
        return nodes(proposal_notice(proposal.channel, effect, proposal.by, "", "").blocks)

    async def show_confirmed(self, visit: Visit, found: Confirmation) -> ToConfirm:
        """Return the change that waits for its proof."""
        proposal = await visit.desk.store.proposal(Digest(first(found.form, "proposal")))
        if proposal is None:
            raise NotFound(_GONE)
        return ToConfirm("Loosen the rules", [await self._content(visit, proposal)])

    async def _begin(self, visit: Visit, form: Entered) -> Response:
        """Begin to confirm; the permission is judged and recorded once the proof is there."""
        proposal, session, desk = await self._proposal(visit), visit.session, visit.desk
        if not session.fits(first(form, "token"), f"settings {proposal.id}"):
            await self._door.refuse(session, desk, visit.http, Refusal.FORM_NOT_YOURS, {})
        effect = await preview(desk.store, proposal.channel, proposal.wanted)
        needs = loosening.needed_proof(effect)
        statement = loosening.statement(session.workspace, session.user, proposal, new_nonce())
        try:
            made = await self._confirmations.of_statement(
                desk,
                session,
                statement,
                "settings",
                Proof.OIDC if needs is Proof.SLACK else needs,
                {"proposal": [proposal.id]},
                f"/settings/{proposal.id}",
            )
        except StoreUnavailable:
            raise
        except CountersignError as refused:
            return await self._page(visit, proposal, 409, refused.sentence)
        return RedirectResponse(made.path, 303)

    async def confirm(self, visit: Visit, found: Confirmation, proved: Proved) -> Response:
        """Make the change, by the use case that confirms it in Slack."""
        desk, name = visit.desk, Digest(first(found.form, "proposal"))
        proposal = await desk.store.proposal(name)
        if proposal is None:
            raise NotFound(_GONE)
        before = await usecases.rules_of(desk.store, proposal.channel)
        actor, proposer = await asyncio.gather(
            *(desk.directory.actor(user, before.reviewers.groups) for user in (visit.session.user, proposal.by))
        )

        async def check(rules: Rules) -> list[Sentence]:
            return [problem.sentence for problem in await problems(desk.directory, rules, self._door.public_url)]

        try:
            await usecases.configure(
                desk.store,
                proposal.channel,
                actor,
                desk.admins,
                lambda _: proposal.wanted,
                check,
                confirms=proposal,
                proposer=proposer,
                proved=proved,
            )
        except StoreUnavailable:
            raise
        except CountersignError as refused:
            return await self._page(visit, proposal, 409, refused.sentence)
        return self._door.sentence("The rules were changed. Their channel is told.", 200)
