"""The page on which an admin confirms looser rules, with the proof that they need (R33)."""

from dataclasses import replace

import pytest

from countersign import usecases
from countersign.domain.attempt_refusals import Sentence
from countersign.domain.people import Actor
from countersign.domain.proof import Proof
from countersign.policy.loosening import NeedsProof
from countersign.store.store import Store
from tests.pages.reviewer import PUBLIC, Reviewer, text_of
from tests.pages.test_proof_pages import confirm, enrol, token_in
from tests.sample_requests import BOB, GENERAL, HERE
from tests.software_passkey import SoftwarePasskey
from tests.store_fixtures import configure


async def propose(store: Store) -> str:
    """Have bob propose that a click suffices; return the path of the proposal's page."""

    async def none_wrong(_: object) -> list[Sentence]:
        return []

    await configure(store, proof=Proof.PASSKEY)
    with pytest.raises(NeedsProof) as needed:
        await usecases.configure(
            store,
            GENERAL,
            Actor(HERE, BOB),
            frozenset(),
            lambda before: replace(before, proof=Proof.SLACK),
            none_wrong,
        )
    return f"/settings/{needed.value.proposal.id}"


async def test_admin_loosens_the_rules_with_a_passkey(store: Store, visitors: dict[str, Reviewer]) -> None:
    path = await propose(store)
    dave, key = visitors["dave"], SoftwarePasskey(origin=PUBLIC, rp_id="localhost")
    await dave.sign_in()
    await enrol(dave, key)
    page = await dave.get(path)
    assert "wants to loosen the rules of #general" in text_of(page)
    begun = await dave.client.post(path, data={"token": token_in(page)})
    assert (await usecases.rules_of(store, GENERAL)).proof is Proof.PASSKEY
    assert "Proof of an approval: passkey → slack" in text_of(await dave.get(begun.headers["location"]))
    done = await confirm(dave, begun.headers["location"], key)
    assert "The rules were changed." in text_of(done)
    assert (await usecases.rules_of(store, GENERAL)).proof is Proof.SLACK


async def test_only_admins_loosen_rules_on_the_page(store: Store, bob: Reviewer) -> None:
    path = await propose(store)
    assert "An admin confirms this change." in text_of(await bob.get(path))
    forged = await bob.client.post(path, data={"token": "x"})
    assert "made for somebody else" in text_of(forged)
    assert "This change was made, or its week has passed." in text_of(await bob.get(f"/settings/{'0' * 64}"))
    assert (await usecases.rules_of(store, GENERAL)).proof is Proof.PASSKEY
