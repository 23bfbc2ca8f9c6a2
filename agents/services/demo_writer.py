"""The writer of the demo model's mails: rules instead of a model.

Feedback is worked in by what it plainly asks for (shorter, longer, a subject, recipients, words to mention or to
replace). What no rule knows goes into the mail as the reviewer's own words: seen, not understood.
"""

import re
import unicodedata
from dataclasses import dataclass, field

from countersign.teams import DEMO_NOTE

from .mail import MAX_RECIPIENTS, is_address

SUBJECT_LENGTH = 60
"""Characters; a whole task is too long for a subject."""

MAX_BODY = 200_000
"""Characters; "replace e with (a long text)", again and again, must not grow for ever."""

_WHO = r"(?:(?:the|our|my|your|all)\s+)?(?P<who>[^\s,:]+)"
_VERBS = (
    "make|mention|add|include|change|set|replace|remove|drop|delete|omit|send|cc|sign|say|ask|use|shorten|"
    "address|note|tell|write|keep|leave|don't"
)
_CLAUSES = re.compile(
    rf"[;\n]+|(?<=[.!?])\s+|,?\s+(?:and|but|then|also)(?:\s+(?:then|also))?\s+(?=(?:{_VERBS})\b)", re.IGNORECASE
)


@dataclass
class _Draft:
    """The parts of the mail.

    `length` is 0 for a full mail, below 0 for shorter ones, 1 for a longer one.
    """

    to: list[str]
    subject: str
    point: str
    opening: str
    cc: list[str] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)
    length: int = 0
    replaced: list[tuple[str, str]] = field(default_factory=list)


def write_mail(task: str, feedback: list[str]) -> str:
    """Write a mail for the task, in the form of `agents.services.mail.FORMAT`.

    Each feedback is worked in, the oldest first.
    """
    draft = _begin(_clean(task))
    for words in feedback:
        for clause in _CLAUSES.split(_clean(words)):
            if clause.strip(" .!?,"):
                _work_in(draft, clause.strip())
    return _render(draft)


def _clean(text: str) -> str:
    """Plain text: what a mail cannot carry becomes a space."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(
        char if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") else " " for char in text
    ).strip()


def _begin(task: str) -> _Draft:
    task = re.sub(r"^(?:please\s+|can you\s+|could you\s+)+", "", task, flags=re.IGNORECASE).rstrip(" .!?")
    addresses = _addresses(task)
    rules: list[tuple[str, str]] = [
        (rf"(?:tell|inform|notify|update)\s+{_WHO}\s+(?P<how>about|of|to|that)\s+(?P<rest>.+)", ""),
        (
            rf"(?:tell|inform|notify|update|let)\s+{_WHO}\s+(?:know\s+)?(?:that\s+)?(?P<rest>.+)",
            "I am writing to let you know that {rest}.",
        ),
        (
            rf"(?P<verb>ask|invite|thank|remind|congratulate|warn)\s+{_WHO}\s+(?P<rest>.+)",
            "I am writing to {verb} you {rest}.",
        ),
        (
            rf"(?:write|send|draft|compose)?\s*(?:an?\s+)?(?:(?:e-?)?mail|message|note|letter)?\s*to\s+{_WHO}"
            r"[\s,:]+(?P<how>about|that|saying|for|to)\s+(?P<rest>.+)",
            "",
        ),
    ]
    openings = {
        "about": "I am writing about {rest}.",
        "of": "I am writing to inform you of {rest}.",
        "to": "I am writing to ask you to {rest}.",
        "for": "I am writing to ask you for {rest}.",
        "that": "I am writing to let you know that {rest}.",
        "saying": "I am writing to let you know that {rest}.",
    }
    for pattern, opening in rules:
        match = re.fullmatch(pattern, task, re.IGNORECASE | re.DOTALL)
        if match is None:
            continue
        parts = match.groupdict()
        rest = parts["rest"].strip()
        words = opening or openings[parts["how"].lower()]
        point = re.sub(r"^(?:that|about|to|for|of)\s+", "", rest, flags=re.IGNORECASE)
        return _Draft(
            to=addresses or [_invented(parts["who"])],
            subject=_subject(point),
            point=_sentence(point),
            opening=words.format(rest=rest, verb=(parts.get("verb") or "").lower()),
        )
    return _Draft(
        to=addresses or ["someone@example.com"],
        subject=_subject(task),
        point=_sentence(task),
        opening=f"I am writing about the following: {task or 'nothing in particular'}.",
    )


def _work_in(draft: _Draft, clause: str) -> None:
    """Change the draft by one wish of the reviewer; the first rule that knows it wins."""
    bare = clause.strip(" .!?,")

    def asks(pattern: str) -> re.Match[str] | None:
        return re.search(pattern, bare, re.IGNORECASE)

    addresses = _addresses(bare)
    if match := asks(r"\b(?:subject|title)(?:\s+line)?(?:\s+(?:should\s+be|to|is|be|as)|\s*:)\s*(.+)"):
        draft.subject = _subject(_unquoted(match[1]))
    elif asks(r"\b(?:shorter|shorten|briefer|brief|concise|too long|trim)\b|\bcut it\b"):
        draft.length = max(draft.length - 1, -3)
    elif asks(r"\b(?:longer|more detail(?:s|ed)?|elaborate|expand|too short)\b"):
        draft.length = min(draft.length + 1, 1)
    elif addresses and not asks(r"^(?:please\s+)?(?:mention|note|say|include)\b"):
        if asks(r"\b(?:cc|copy)\b"):
            draft.cc = _joined(draft.cc, addresses)
        else:
            draft.to = _joined(draft.to, addresses) if asks(r"\b(?:also|add|too|as well)\b") else addresses
    elif (
        (match := asks(r"\b(?:change|replace)\s+(?P<old>.+?)\s+(?:to|with|by|into)\s+(?P<new>.+)"))
        or (match := asks(r"^(?:say|use|write|ask for)?\s*(?P<new>.+?)\s+instead of\s+(?P<old>.+)"))
    ) and _replace(draft, match["old"], match["new"]):
        pass
    else:
        draft.extras.append(_extra(bare))


def _extra(words: str) -> str:
    """Return a sentence of the mail that holds the reviewer's words."""
    words = re.sub(r"^(?:please|also|and)\s+", "", words, flags=re.IGNORECASE)
    about = r"(?:(?:a|one)\s+(?:line|sentence|word|paragraph|note|few words)\s+(?:about|on|that)\s+)?"
    if match := re.fullmatch(
        rf"(?:mention|note|add|include|say|state)\s+{about}(.+)", words, re.IGNORECASE | re.DOTALL
    ):
        return f"Please also note {_unquoted(match[1])}."
    if match := re.fullmatch(r"(ask|tell|remind)\s+(?:them|her|him|for\b)?\s*(.+)", words, re.IGNORECASE | re.DOTALL):
        asked = f"for {match[2]}" if re.match(r"ask\s+for\b", words, re.IGNORECASE) else match[2]
        return f"We would also like to {match[1].lower()} you {asked}."
    return f"(The reviewer asked: {words}.)"


def _replace(draft: _Draft, old: str, new: str) -> bool:
    """Put one wording for another; False if the draft does not have it."""
    old, new = _unquoted(old), _unquoted(new)
    if not old or not new or old.lower() not in _body(draft).lower():
        return False
    draft.replaced.append((old, new))
    return True


def _render(draft: _Draft) -> str:
    heads = [f"To: {', '.join(draft.to[: MAX_RECIPIENTS // 2])}"]
    if draft.cc:
        heads.append(f"Cc: {', '.join(draft.cc[: MAX_RECIPIENTS // 2])}")
    heads.append(f"Subject: {_subject(_with_replacements(draft, draft.subject))}")
    return "\n".join(heads) + f"\n\n{_body(draft)}\n\n{DEMO_NOTE}"


def _body(draft: _Draft) -> str:
    paragraphs = [draft.opening if draft.length > -3 else draft.point]
    if draft.length >= 1:
        paragraphs.append(
            "Some background: this matters for our plans in the coming weeks, and we would rather settle it early "
            "than leave it open."
        )
    paragraphs += draft.extras
    if draft.length >= 0:
        paragraphs += [
            "Could you please look into this and tell us how you would like to go on? A short reply is enough, and "
            "we are glad to answer any question.",
            "Thank you for your time. We look forward to hearing from you.",
        ]
    elif draft.length == -1:
        paragraphs.append("Thank you for a short reply.")
    if draft.length > -3:
        paragraphs = ["Hello,", *paragraphs, "Kind regards"]
    return _with_replacements(draft, "\n\n".join(paragraphs))


def _with_replacements(draft: _Draft, text: str) -> str:
    for old, new in draft.replaced:
        match = re.compile(re.escape(old), re.IGNORECASE)
        if len(text) + len(match.findall(text)) * len(new) <= MAX_BODY:
            text = match.sub(new.replace("\\", r"\\"), text)
    return text


def _subject(text: str) -> str:
    """One line that a header can carry; never empty."""
    line = " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split()).replace("=?", "= ?")
    if len(line) > SUBJECT_LENGTH:
        line = line[:SUBJECT_LENGTH].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
    line = line.strip(" .!?")
    return line[:1].upper() + line[1:] if line else "A short question"


def _sentence(text: str) -> str:
    text = text or "nothing in particular"
    return f"{text[:1].upper()}{text[1:]}."


def _unquoted(text: str) -> str:
    return text.strip().strip("\"'“”‘’«»").strip()


def _addresses(text: str) -> list[str]:
    words = (word.strip(".!?:'") for word in re.split(r"[\s,;<>()\[\]\"“”]+", text))
    return _joined([], [word for word in words if is_address(word)])


def _joined(first: list[str], second: list[str]) -> list[str]:
    """Both lists, each address once."""
    return list(dict.fromkeys([*first, *second]))


def _invented(who: str) -> str:
    """Invent an address at example.com, which belongs to nobody (RFC 2606)."""
    name = re.sub(r"[^a-z0-9]+", "-", who.lower()).strip("-")[:40].strip("-")
    return f"{name or 'someone'}@example.com"
