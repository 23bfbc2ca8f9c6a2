"""Redaction of secrets: cards, logs and records show a mark instead (R15).

People cannot judge a hidden value, so redaction must never hide an action (R30). A value is treated as a secret only if
it could not act (`could_act`: it is not a command, a path, an address or a number, except a PIN), and the mark states
its length. A name hides its own value, not everything below it. Values that a team names (`hide=`) are always hidden;
all other hiding is our guess, and rules out approval by one click. The formats of keys follow the vendors'
documentation.

Every pattern is linear in the text: a match starts only where a run of its characters starts, and each character is
read a constant number of times.
"""

import json
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

from countersign.domain.text_checks import could_act

MARK: Final = re.compile(r"⟦hidden: [0-9,]+ characters?⟧")
"""Mark that replaces a secret."""
TYPED: Final = "⟦U+27E6⟧"
"""Replaces the first character of a mark that was already in the text."""
_DEEPEST: Final = 100
"""Most levels of JSON; deeper values are treated as one text."""


def hide(text: str) -> tuple[str, int]:
    """Replace secrets by marks like ⟦hidden: 40 characters⟧, and count them."""
    count, lower = 0, text.lower()
    for pattern in _PATTERNS if _NEEDED.search(lower) else ():
        if any(need in lower for need in pattern.needs.split()):
            text, marks = _without(text, pattern)
            count += marks
    return text, count


def hide_in(value: Any, paths: Collection[str] = ()) -> tuple[Any, tuple[str, ...]]:
    """Copy a JSON value without secrets, and list the paths of all hidden values.

    A path reads like `password`, `headers.token` or `rows.0.key`. A value is secret if it stands at or below one of
    `paths`, where `*` is any one name or number, and list indexes may be left out. By our guess, a value is also secret
    if it looks like a key, or is a text under a name like `password` that could not act.
    """
    copy = _Copy(paths)
    return copy.of(value, (), "", False), tuple(copy.found)


def guessed_in(value: Any, paths: Collection[str] = ()) -> int:
    """Count the values hidden by our guess, not by `paths`."""
    copy = _Copy(paths)
    copy.of(value, (), "", False)
    return copy.guessed


class _Copy:
    """One copy in the making."""

    def __init__(self, paths: Collection[str]) -> None:
        self._paths: dict[str, list[list[str]]] = {}
        for path in paths:  # by their last name, so that only few paths are compared with each value
            named = path.split(".")
            self._paths.setdefault(named[-1], []).append(named)
        self.found: list[str] = []
        self.guessed = 0

    def of(self, inner: Any, path: tuple[str, ...], name: str, own: bool) -> Any:
        """Copy a value under the secret `name`, or `_BELOW` if it stands deeper below one."""
        at = ".".join(path)
        own = own or self._named(path, at)
        if isinstance(inner, dict | list) and len(path) >= _DEEPEST:
            inner = json.dumps(inner, ensure_ascii=False)
        if isinstance(inner, dict):
            return {
                key: self.of(part, (*path, str(key)), str(key) if _is_secret_name(str(key)) else (name and _BELOW), own)
                for key, part in inner.items()
            }
        if isinstance(inner, list):
            return [self.of(part, (*path, str(number)), name, own) for number, part in enumerate(inner)]
        shown = _leaf(inner, name, own)
        if shown != inner:
            self.found.append(at)
            self.guessed += not own
        return shown

    def _named(self, path: tuple[str, ...], at: str) -> bool:
        """Tell whether one of the paths leads to the value, even if a name contains a dot."""
        if not self._paths:
            return False
        ways = {path, tuple(at.split("."))}
        return any(_leads(named, way) for way in ways for last in {way[-1:], ("*",)} for named in self._ending(last))

    def _ending(self, last: tuple[str, ...]) -> list[list[str]]:
        return self._paths.get(last[0], []) if last else []


_BELOW: Final = "\\0"
"""Replaces the name of a value somewhere below a secret name."""


def _leaf(value: Any, name: str, own: bool) -> Any:
    if value is None or value == "":
        return value
    if own:
        mark = isinstance(value, str) and MARK.fullmatch(value)
        return value if mark else _mark(len(value if isinstance(value, str) else json.dumps(value)))
    if isinstance(value, str):
        return _guess(value, name)
    return _mark(len(json.dumps(value))) if not isinstance(value, bool) and _is_pin(name) else value


def _guess(value: str, name: str) -> str:
    """Return the text, or a mark if its name makes it a secret."""
    if not name or MARK.fullmatch(value):
        return hide(value)[0]
    if name == _BELOW:
        secret = len(value) >= _RANDOM and _is_mixed(value) and not could_act(value)
        return _mark(len(value)) if secret else hide(value)[0]
    parts = _SCHEME if _SCHEME.match(value) else _CRUMB if _COOKIE.match(value) else None
    if parts is not None:
        return _without(value, _Pattern("", parts, lambda match: not could_act(match["secret"])))[0]
    words = _is_pin(name) and (_WORDS_ONLY.fullmatch(value) or _DRAWN.fullmatch(value))
    digits = value.isdigit() and not _is_pin(name)
    return _mark(len(value)) if words or not (digits or could_act(value)) else hide(value)[0]


def _mark(length: int) -> str:
    return f"⟦hidden: {length:,} character{'' if length == 1 else 's'}⟧"


def _leads(named: Sequence[str], path: Sequence[str]) -> bool:
    """Tell whether a team's path leads to this path, with or without list indexes."""
    places = {0}
    for name in path:
        on = {place + 1 for place in places if place < len(named) and named[place] in ("*", name)}
        places = on | places if name.isdecimal() else on
    return len(named) in places


_WORDS: Final = (
    r"pass(?:word|wd|phrase|code)|pwd|secret(?:[_-]?key)?|token|credentials?|authorization|cookie"
    r"|(?:api|access|private|signing|encryption|account|auth)[_-]?key"
)
"""The ends of names whose values are secret."""
_SECRET_NAME: Final = re.compile(rf"(?i)(?:.*[_\-. ])?(?:{_WORDS})")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PAGING: Final = re.compile(r"(?i)(?:.*[_\-. ])?(?:page|next|continuation|sync|cursor|stop|eos|bos|pad)[_\-]token")


_PIN: Final = re.compile(r"(?i)(?:.*[_\-. ])?(?:pass\w*|pwd)")


def _is_pin(name: str) -> bool:
    """Tell whether numbers under this name are secret: `password`, not `token`."""
    return len(name) <= 200 and bool(_PIN.fullmatch(_CAMEL.sub("_", name)))


def _is_secret_name(name: str) -> bool:
    """Recognise names of secrets: `db_password`, `clientSecret`; not `max_tokens`."""
    if len(name) > 200:
        return False
    split = _CAMEL.sub("_", name)
    return bool(_SECRET_NAME.fullmatch(split)) and not _PAGING.fullmatch(split)


_RANDOM: Final = 8
"""Fewest characters; a shorter text below a secret name is not treated as a secret."""
_WORDS_ONLY: Final = re.compile(r"[^\W_]+(?: [^\W_]+)*")
_DRAWN: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?!.*(?:[a-z]{4}|\$[({]))[^\s/\\`]{8,64}")
"""A password of letters and symbols: mixed case rules out commands, and the rest rules out words."""
_SCHEME: Final = re.compile(r"(?i)(?:basic|bearer|token|digest|apikey) (?P<secret>\S+)$")
_COOKIE: Final = re.compile(r"[\w.-]+=[^\s;]*(?:; ?[\w.-]+(?:=[^\s;]*)?)*;?$")
_CRUMB: Final = re.compile(r"(?<==)(?P<secret>[^\s;=]{4,}=*)")


class _Pattern(NamedTuple):
    """A regular expression whose group `secret` is hidden if `real` says so.

    `needs`: lower-case strings, separated by blanks. A text without any of them cannot match, which is fast to check.
    """

    needs: str
    regex: re.Pattern[str]
    real: Callable[[re.Match[str]], bool] = lambda _: True


def _without(text: str, pattern: _Pattern) -> tuple[str, int]:
    count = 0

    def hidden(match: re.Match[str]) -> str:
        nonlocal count
        if not pattern.real(match):
            return match[0]
        count += 1
        start, end = match.span("secret")
        return match[0][: start - match.start()] + _mark(end - start) + match[0][end - match.start() :]

    return pattern.regex.sub(hidden, text), count


def _is_mixed(secret: str) -> bool:
    """Tell whether a text mixes letters and digits, unlike words and numbers."""
    return any(c.isdigit() for c in secret) and any(c.isalpha() for c in secret)


def _is_drawn(match: re.Match[str]) -> bool:
    """Tell the rest of a key, after its known prefix, from a name in a program."""
    secret = match["secret"]
    both = any(c.islower() for c in secret[5:]) and any(c.isupper() for c in secret[5:])
    return both or sum(c.isdigit() for c in secret) >= _RANDOM


def _is_pem(match: re.Match[str]) -> bool:
    """Tell lines of base64 from paths; the last line may be short."""
    lines = re.split(r"(?:\s|\\[nr])+", re.sub(r"^(?:\s|\\[nr])+|(?:\s|\\[nr])+$", "", match["secret"]))
    if len(lines) > 1 and match.string.startswith("-----END", match.end()):
        lines.pop()
    return all(line.lower() != line != line.upper() and not could_act(line) for line in lines)


def _is_key(match: re.Match[str]) -> bool:
    """Tell a key `sk-…` from a name of hyphenated words."""
    return _is_mixed(match["secret"]) and any(c.isupper() for c in match["secret"])


_HARMLESS: Final = re.compile(
    r"(?i)none|null|nil|true|false|undefined|required|optional|string|text|password|secret|token|hidden|redacted"
    r"|x{3,}|\*{3,}|\.{3,}|-+|_+"
)
_NAME_OF_CODE: Final = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+|(?:self|os|settings|config|env)\..*")


def _is_value(match: re.Match[str]) -> bool:
    """Tell a secret after `password=` from names in programs, actions and plain text."""
    secret = match["secret"]
    if _HARMLESS.fullmatch(secret) or could_act(secret):
        return False
    name, quoted = match["name"].lower(), match["quote"]
    if secret.isdigit() and not name.startswith("pass") and name != "pwd":
        return False
    if quoted:
        return match.string.startswith(quoted, match.end())
    if _NAME_OF_CODE.fullmatch(secret) or re.search(rf"(?i)^(?:[a-z0-9]+_)*(?:{_WORDS})$", secret[:200]):
        return False
    return match["sep"] == "=" or secret.isdigit() or (_is_mixed(secret) and "://" not in secret)


def _key(needs: str, prefix: str, rest: str, real: Callable[[re.Match[str]], bool] = lambda _: True) -> _Pattern:
    return _Pattern(needs, re.compile(rf"(?<![A-Za-z0-9_-])(?P<secret>(?:{prefix}){rest})"), real)


_PATTERNS: Final = (
    _Pattern(
        "private",  # only lines of base64, so that an unterminated key hides nothing else
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?P<secret>(?:\s|\\[nr])*+(?:[A-Za-z0-9+/=]{16,}+(?:\s|\\[nr])*+)++"
            r"(?:[A-Za-z0-9+/=]++(?:\s|\\[nr])*+(?=-----END))?)"
        ),
        _is_pem,
    ),
    _key("akia asia abia acca a3t", "AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9]", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _key("aiza", "AIza", r"[A-Za-z0-9_-]{35}"),
    _key("ya29. gocspx-", r"ya29\.|GOCSPX-", r"[A-Za-z0-9_-]{20,}+"),
    _key(
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- npm_ hf_ pypi- dop_v1_",
        "gh[pousr]_|github_pat_|glpat-|npm_|hf_|pypi-|dop_v1_",
        r"[A-Za-z0-9_-]{20,}+",
        _is_drawn,
    ),
    _key("xox xapp-", r"xox[a-z](?:\.xox[a-z])?-|xapp-[0-9]-", r"[A-Za-z0-9-]{10,}+", _is_drawn),
    _Pattern(
        "hooks.slack",
        re.compile(
            r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?:[A-Za-z0-9]{1,20}/){1,3}"
            r"(?P<secret>[A-Za-z0-9_+-]{20,}+)"
        ),
    ),
    _key("sk-", "sk-", r"[A-Za-z0-9_-]{20,}+", _is_key),
    _key("k_live_ k_test_ k_prod_ whsec_", "[sr]k_(?:live|test|prod)_|whsec_", r"[A-Za-z0-9]{10,}+"),
    _key("sg.", r"SG\.", r"[A-Za-z0-9_-]{16,}+\.[A-Za-z0-9_-]{16,}+"),
    _key("eyj", "eyJ", r"[A-Za-z0-9_-]{10,}+\.eyJ[A-Za-z0-9_-]{10,}+(?:\.[A-Za-z0-9_-]*+)?"),
    _Pattern(
        "authorization",
        re.compile(
            r"(?i)authorization[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']?(?:basic|bearer|token|digest|apikey)[ \t]{1,3}"
            r"(?P<secret>[A-Za-z0-9._~+/:-]{6,}+={0,2})"
        ),
        lambda found: not could_act(found["secret"]),
    ),
    _Pattern(
        "bearer",
        re.compile(r"(?i)(?<![A-Za-z0-9])bearer[ \t]{1,3}(?P<secret>[A-Za-z0-9._~+/-]{16,}+={0,2})"),
        lambda found: _is_mixed(found["secret"]) and not could_act(found["secret"]),
    ),
    _Pattern(
        "://",  # no `#`: the text before it is the host and its port
        re.compile(r"(?<=://)[A-Za-z0-9._~%+-]{0,100}:(?P<secret>[A-Za-z0-9._~%+!*,=^-]{1,200})@"),
        lambda found: not re.fullmatch(r"[0-9]{1,5}", found["secret"]),
    ),
    _Pattern(
        "pass pwd secret token credential authorization cookie key",
        re.compile(
            rf"(?i)(?P<name>{_WORDS})(?:\\?[\"'])?(?P<sep>[ \t]{{0,3}}(?:=>|:=|={{1,3}}|:)[ \t]{{0,3}})"
            r"(?P<quote>\\?[\"'])?(?P<secret>[A-Za-z0-9_.~+/!@#%^*?:-]{4,}+={0,2})(?![(\[{])"
        ),
        _is_value,
    ),
)
_NEEDED: Final = re.compile("|".join(re.escape(need) for pattern in _PATTERNS for need in pattern.needs.split()))
