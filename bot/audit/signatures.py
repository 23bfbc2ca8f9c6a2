"""Check what people proved with the decisions in a receipt, off-line.

The receipt's own signature proves that the service wrote it. A passkey's signature proves more: it was made outside the
service, over a statement of who decides what. This module checks that the statement matches the receipt, and that the
key of the person's enrolment signed it. If so, not even the service could have changed the content, the rules or the
answer afterwards.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import digest_of_rules
from countersign.domain.errors import InvalidInput
from countersign.domain.events import without_secrets
from countersign.domain.proof import Assertion, Proof, Statement, Subject, read_statement
from countersign.domain.redaction import MARK, hide
from countersign.domain.requests import How, Kind, Question, Request, Verb, approves, digest, digest_of_answer

from ..passkeys import origin_of, signed

_APPROVING: Final = {
    "approved": (Verb.APPROVE,),
    "edited": (Verb.EDIT,),
    "answered": (Verb.CHOOSE, Verb.RESPOND),
    "counted": (Verb.APPROVE, Verb.CHOOSE),
}
_VERBS: Final = {**_APPROVING, "rejected": (Verb.REJECT,)}
"""Verbs that a person may have signed, by the outcome of the entry."""
_BY_PEOPLE: Final = (How.REVIEWERS, How.BREAK_GLASS)
_REPEATED: Final = ("digest", "kind", "title", "tool")
"""Fields of the question that each entry about a request repeats."""


class Finding(NamedTuple):
    """A finding on one entry; a `problem` says why the receipt must not be believed."""

    n: int
    sentence: str
    problem: str = ""


class _Mismatch(Exception):
    """A proof does not fit its entry."""


def content_of(request: Request) -> dict[str, Any] | None:
    """Return all that a request's digest is made of; None if parts of it are hidden.

    It holds the salt of the question, which keeps nothing once its content is shown.
    """
    question, decision = request.question, request.decision
    call = question.call
    texts = [question.title, question.content, *question.options, *question.notes]
    if decision is not None:
        texts += [decision.words, decision.content]
    calls = [] if call is None else [call.arguments, decision.arguments if decision is not None else ""]
    shown = all(hide(text)[1] == 0 for text in texts) and all(
        MARK.search(without_secrets(one, call.hidden)) is None for one in calls if one and call is not None
    )
    if not shown:
        return None
    return {
        "kind": question.kind.value,
        "title": question.title,
        "content": question.content,
        "offers": [verb.value for verb in question.offers],
        "call": None if call is None else [call.tool, call.arguments],
        "options": list(question.options),
        "several": question.several,
        "notes": list(question.notes),
        "about": question.about,
        "salt": question.salt,
    }


def verdicts(receipt: Mapping[str, Any]) -> list[Finding]:
    """Judge every approval in a receipt that was read and whose own signature fits."""
    entries = [part["entry"] for part in receipt["entries"]]
    content, found = receipt.get("content"), list[Finding]()
    asked = next((entry for entry in entries if entry.get("type") == "request_asked"), None)
    if content is not None and (why := _why_other_content(content, asked, receipt["request"])):
        return [Finding(0, "", why)]
    proved = dict[str, Proof]()
    if not any(entry.get("type") == "request_decided" for entry in entries):
        return [Finding(0, "", "It holds no decision.")]
    for entry in entries:
        try:
            if "gone" in entry.get("what", {}):
                told = "The request was gone when this was recorded, so nothing shows what was proved."
                found.append(Finding(_number(entry), told))
            elif asked is not None and (why := _why_other_question(entry, asked)):
                found.append(Finding(_number(entry), "", why))
            elif entry.get("type") in ("vote_cast", "request_decided"):
                verdict = _judged(receipt, entry, proved)
                found += [verdict] if verdict is not None else []
            elif "proved" in entry:
                found.append(Finding(_number(entry), "", f"Entry {_number(entry)} is of no kind that anybody signs."))
        except (KeyError, TypeError, AttributeError, ValueError):
            found.append(Finding(_number(entry), "", f"Entry {_number(entry)} can't be read."))
    return found


def _why_other_question(entry: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """Say why an entry is not about the question that was asked; "" if it is."""
    repeated = {name: asked["what"][name] for name in _REPEATED if name in asked["what"]}
    said = {name: value for name, value in entry.get("what", {}).items() if name in _REPEATED}
    return "" if said == repeated else f"Entry {_number(entry)} is about another question."


def _number(entry: Any) -> int:
    n = entry.get("n") if isinstance(entry, dict) else None
    return n if isinstance(n, int) else 0


def _judged(receipt: Mapping[str, Any], entry: Mapping[str, Any], proved: dict[str, Proof]) -> Finding | None:
    """Judge one vote or decision; `proved` collects what each person proved."""
    n, outcome = _number(entry), entry["outcome"]
    needed = Proof(entry.get("rules", {}).get("proof", Proof.SLACK))
    by = Proof.SLACK
    sentence = ""
    if "proved" in entry:
        try:
            by, sentence = _proof_of(receipt, entry)
        except _Mismatch as wrong:
            return Finding(n, "", f"Entry {n}: {wrong}")
        proved[entry["user"]] = by
    if outcome not in _APPROVING:
        return None
    if entry["type"] == "vote_cast":
        if not by.reaches(needed):
            return Finding(n, "", f"Entry {n}: its rules need the proof {needed}, and it has none.")
        return Finding(n, sentence) if sentence else None
    decision = entry["decision"]
    if decision["outcome"] != outcome:
        return Finding(n, "", f"Entry {n} says both {outcome} and {decision['outcome']}.")
    if (how := How(decision["how"])) not in _BY_PEOPLE:
        if "proved" in entry or (how is How.TIMEOUT and needed is not Proof.SLACK):
            return Finding(n, "", f"Entry {n} says that it came about by {how}, which its rules and its proof exclude.")
        return Finding(n, f"Nobody signed this decision: it came about by {how}.")
    people = [user for user in decision["by"] if not proved.get(user, Proof.SLACK).reaches(needed)]
    if people and not (outcome == "answered" and not decision.get("chosen") and _sends_back(receipt)):
        return Finding(n, "", f"Entry {n}: its rules need the proof {needed}, and {', '.join(people)} gave none.")
    if "proof" in decision and any(not p.reaches(Proof(decision["proof"])) for p in _proofs(decision, proved)):
        return Finding(n, "", f"Entry {n} says that it was proved with {decision['proof']}, and that isn't shown.")
    quorum = entry["rules"].get("quorum", 1) if outcome == "approved" and decision["how"] == "reviewers" else 1
    if len(set(decision["by"])) < quorum:
        return Finding(n, "", f"Entry {n}: its rules need {quorum} people, and fewer decided.")
    if not sentence and by is Proof.SLACK and needed is Proof.SLACK:
        names = " and ".join(decision["by"])
        return Finding(n, f"{names} clicked in Slack: the service's record says so, and no key of theirs signed it.")
    return Finding(n, sentence)


def _proofs(decision: Mapping[str, Any], proved: Mapping[str, Proof]) -> list[Proof]:
    return [proved.get(user, Proof.SLACK) for user in decision["by"]]


def _sends_back(receipt: Mapping[str, Any]) -> bool:
    """Tell whether an answer only asks for changes, which needs no proof."""
    asked = next(part["entry"]["what"] for part in receipt["entries"] if part["entry"]["type"] == "request_asked")
    question = Question("", 0, Kind(asked["kind"]), "", "", tuple(Verb(verb) for verb in asked["offers"]))
    return not approves(question, Verb.RESPOND)


def _proof_of(receipt: Mapping[str, Any], entry: Mapping[str, Any]) -> tuple[Proof, str]:
    """Return the proof of an entry, and a sentence about it.

    _Mismatch if the proof does not fit the entry.
    """
    proof, user = entry["proved"], entry["user"]
    by = Proof(proof["by"])
    if not proof["statement"]:
        return Proof.SLACK, f"{user} was signed in to the page; nothing was signed for this decision."
    try:
        said = read_statement(proof["statement"])
    except InvalidInput as wrong:
        raise _Mismatch(str(wrong)) from None
    content = _compare(receipt, entry, said)
    if by is Proof.OIDC:
        login = proof["login"]
        return by, (
            f"{user} signed in at {login['issuer']} as {login['subject']} for {content}: the service says so; the "
            "provider's answer isn't in the receipt, and no key of the person's signed it."
        )
    if by is not Proof.PASSKEY:
        raise _Mismatch("its proof is of an unknown kind.")
    assertion, key = Assertion(**proof["assertion"]), proof["key"]
    origin = origin_of(assertion)
    host = urlsplit(origin).hostname or ""
    if host != key["rp_id"] and not host.endswith(f".{key['rp_id']}"):
        raise _Mismatch("the passkey was used on another site than it was enrolled for.")
    if assertion.credential != key["credential"]:
        raise _Mismatch("another passkey answered than the one whose key is shown.")
    if signed(proof["statement"], assertion, key["public_key"], key["rp_id"], origin) is None:
        raise _Mismatch("the passkey's signature doesn't fit what the entry says was signed.")
    enrolled = _enrolment(receipt, entry, key)
    return by, (
        f"{user}'s passkey {key['credential'][:12]}…, {enrolled}, signed {content} on {origin}, after it had verified "
        "its user. Not proved by this signature: that the passkey was in that person's hands, which rests on its "
        "enrolment, and the time, which is the service's."
    )


def _compare(receipt: Mapping[str, Any], entry: Mapping[str, Any], said: Statement) -> str:
    """Describe what the statement is about. _Mismatch if it is about something else."""
    request, decision = receipt["request"], entry.get("decision", {})
    if (said.user, said.workspace) != (entry["user"], entry["workspace"]):
        raise _Mismatch("somebody else signed.")
    if entry["type"] == "request_decided" and said.user not in decision["by"]:
        raise _Mismatch("who signed isn't among those who decided.")
    if said.verb not in _VERBS.get(entry["outcome"], ()):
        raise _Mismatch("another answer was signed.")
    if said.alone != (decision.get("how") == "break_glass"):
        raise _Mismatch("another route was signed.")
    standing = decision.get("standing")
    if entry["type"] == "request_decided" and bool(said.permission) != bool(standing):
        raise _Mismatch("another permission was signed.")
    if standing and said.permission.split(" ")[0] != standing["scope"]:
        raise _Mismatch("another permission was signed.")
    subject = next((one for one in said.about if one.id == request), None)
    if subject is None or subject.digest != entry["what"]["digest"]:
        raise _Mismatch("another content was signed.")
    if subject.rules != digest_of_rules(entry["rules"]):
        raise _Mismatch("other rules were signed.")
    content = receipt.get("content")
    if content is None:
        return "the digest of this content, of which parts are hidden here, and these rules"
    if entry["type"] == "vote_cast":
        decision = _chosen_with(receipt, entry)
    if entry["type"] != "vote_cast" or decision:
        _compare_answer(decision, subject, content["salt"])
    others = len(said.about) - 1
    more = f", with {others} more request{'s' if others > 1 else ''} at once" if others else ""
    return f"exactly this content, answer and rules{more}"


def _chosen_with(receipt: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choice that this vote counts for, or {}.

    The reason of an approving vote is not recorded.
    """
    entries = [part["entry"] for part in receipt["entries"]]
    decision: dict[str, Any] = next((one["decision"] for one in entries if one["type"] == "request_decided"), {})
    mine = [
        one for one in entries if one["type"] in ("vote_cast", "request_decided") and one.get("user") == entry["user"]
    ]
    counts = mine[-1] is entry and entry["user"] in decision.get("by", ())
    return {"chosen": decision["chosen"]} if counts and decision.get("chosen") else {}


def _compare_answer(decision: Mapping[str, Any], subject: Subject, salt: str) -> None:
    arguments = canonical(json.loads(decision["arguments"])) if decision.get("arguments") else ""
    chosen, words = tuple(decision.get("chosen") or ()), decision.get("words") or ""
    if digest_of_answer(salt, arguments, decision.get("content") or "", chosen, words) != subject.answer:
        raise _Mismatch("another answer was signed.")


def _enrolment(receipt: Mapping[str, Any], entry: Mapping[str, Any], key: Mapping[str, Any]) -> str:
    """Say how the passkey was enrolled.

    _Mismatch if its enrolment is about something else.
    """
    if datetime.fromisoformat(entry["at"]) < datetime.fromisoformat(key["usable_at"]):
        raise _Mismatch("the passkey was too new to approve.")
    when = f"enrolled {key['enrolled_at'][:10]}"
    how = {
        "login": "by a login at {issuer} as {subject}",
        "code": "by a code of {vouched}",
        "passkey": "by another passkey of the same person",
    }[key["enrolled_by"]]
    login = key.get("login") or {"issuer": "", "subject": ""}
    how = how.format(vouched=" and ".join(key["vouched_by"]), **{k: login[k] for k in ("issuer", "subject")})
    for part in receipt.get("enrolments", ()):
        one, data = part["entry"], part["entry"]["data"]
        if data["passkey"] != key["credential"]:
            continue
        same = (
            (data["public_key"], key["public_key"]),
            (data["holder"], entry["user"]),
            (one["workspace"], entry["workspace"]),
            (data["enrolled_at"], key["enrolled_at"]),
            (data["usable_at"], key["usable_at"]),
            (data["enrolled_by"], key["enrolled_by"]),
            (data["vouched_by"], " ".join(key["vouched_by"])),
            (data["rp_id"], key["rp_id"]),
            (one["type"], "passkey_enrolled"),
        )
        if any(shown != said for shown, said in same):
            raise _Mismatch("the passkey's enrolment says something else.")
        return f"{when} {how} (entry {_number(one)})"
    raise _Mismatch("the passkey's enrolment is missing.")


def _why_other_content(content: Mapping[str, Any], asked: Mapping[str, Any] | None, request: str) -> str:
    """Say why the content does not have the digest of the request; "" if it does."""
    other = f"The content isn't that of request {request}."
    if asked is None:
        return other
    try:
        call = None if content["call"] is None else Call(*content["call"])
        made = Question(
            "",
            0,
            Kind(content["kind"]),
            content["title"],
            content["content"],
            tuple(Verb(verb) for verb in content["offers"]),
            call,
            tuple(content["options"]),
            content["several"],
            tuple(content["notes"]),
            salt=content["salt"],
            about=content["about"],
        )
        what = asked["what"]
        shown = {
            "digest": digest(made),
            "kind": made.kind.value,
            "title": made.title,
            "content": made.content,
            "offers": list(made.offers),
            "options": list(made.options),
            "notes": list(made.notes),
        }
        same = (not made.several or bool(made.options)) and all(
            (what.get(name) or type(value)()) == value for name, value in shown.items()
        )
        if call is not None:
            same = same and what["tool"] == call.tool and json.loads(what["arguments"]) == json.loads(call.arguments)
        return "" if same else other
    except (KeyError, TypeError, ValueError, AttributeError):
        return other


def keys_of(entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Map the passkeys that signed in these entries to when they were enrolled."""
    keys = [entry["proved"]["key"] for entry in entries if "key" in entry.get("proved", {})]
    return {key["credential"]: key["enrolled_at"] for key in keys}
