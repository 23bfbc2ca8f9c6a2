"""Secrets do not leave the store (R15): what is drawn, logged or audited holds a mark in their place.

What is hidden is not judged, so hiding must never hide an action: a value is taken for a secret only where it could
not be a command (no blanks, no `$(…)`, no `;`, `|`, `&`, no backslash), and the mark says how long it was. The
formats of keys are those that the vendors document; gitleaks and detect-secrets look for the same.

Every pattern is linear in the text: a match starts only where a run of its characters starts, and nothing is read
twice more than a constant number of times.
"""

import json
import re
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

MARK: Final = re.compile(r"⟦hidden: [0-9,]+ characters?⟧")
"""What stands in the place of a secret."""
_DEEPEST: Final = 100
"""Levels of JSON; what is nested deeper is one text."""


def hide(text: str) -> tuple[str, int]:
    """The text with secrets replaced by ⟦hidden: 40 characters⟧, and how many were."""
    count, lower = 0, text.lower()
    for pattern in _PATTERNS:
        if any(need in lower for need in pattern.needs.split()):
            text, found = _without(text, pattern)
            count += found
    return text, count


def hide_in(value: Any, paths: Collection[str] = ()) -> tuple[Any, tuple[str, ...]]:
    """A copy of a JSON value without secrets, and the paths (`password`, `headers.token`, `rows.0.key`) of all hidden.

    Secret is what stands under a name like `password` or `api_key`, what looks like a key, and what stands at or
    below one of `paths`, where `*` is any one name or number. Numbers are hidden too; true, false and null are not,
    except at `paths`.
    """
    named = re.compile("|".join(_path_pattern(path) for path in paths) or r"(?!)")
    found: list[str] = []

    def copy(inner: Any, path: tuple[str, ...], secret: bool, own: bool) -> Any:
        at = ".".join(path)
        own = own or bool(path and named.fullmatch(at))
        secret = own or secret or bool(path and _is_secret_name(path[-1]))
        if isinstance(inner, dict | list) and len(path) >= _DEEPEST:
            inner = json.dumps(inner, ensure_ascii=False)
        if isinstance(inner, dict):
            return {key: copy(part, (*path, str(key)), secret, own) for key, part in inner.items()}
        if isinstance(inner, list):
            return [copy(part, (*path, str(number)), secret, own) for number, part in enumerate(inner)]
        shown = _leaf(inner, secret, own)
        if shown != inner:
            found.append(at)
        return shown

    return copy(value, (), False, False), tuple(found)


def _leaf(value: Any, secret: bool, own: bool) -> Any:
    if value is None or value == "" or (isinstance(value, bool) and not own):
        return value
    if isinstance(value, str):
        return _mark(len(value)) if secret and not MARK.fullmatch(value) else hide(value)[0]
    return _mark(len(json.dumps(value))) if secret else value


def _mark(length: int) -> str:
    return f"⟦hidden: {length:,} character{'' if length == 1 else 's'}⟧"


def _path_pattern(path: str) -> str:
    return r"\.".join("[^.]*" if part == "*" else re.escape(part) for part in path.split("."))


_WORDS: Final = (
    r"pass(?:word|wd|phrase|code)|pwd|secret(?:[_-]?key)?|token|credentials?|authorization|cookie"
    r"|(?:api|access|private|signing|encryption|account|auth)[_-]?key"
)
"""The ends of names whose values are secret."""
_SECRET_NAME: Final = re.compile(rf"(?i)(?:.*[_\-. ])?(?:{_WORDS})")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PAGING: Final = re.compile(r"(?i)(?:.*[_\-. ])?(?:page|next|continuation|sync|cursor|stop|eos|bos|pad)[_\-]token")


def _is_secret_name(name: str) -> bool:
    """`password`, `db_password`, `clientSecret`, `X-Api-Key`; not `max_tokens`, not `next_page_token`."""
    if len(name) > 200:
        return False
    split = _CAMEL.sub("_", name)
    return bool(_SECRET_NAME.fullmatch(split)) and not _PAGING.fullmatch(split)


class _Pattern(NamedTuple):
    """A regular expression whose group `secret` is hidden if `real` says so.

    `needs`: lower case, separated by blanks; a text without any of them has no match. Looking for them is fast.
    """

    needs: str
    regex: re.Pattern[str]
    real: Callable[[re.Match[str]], bool] = lambda _: True


def _without(text: str, pattern: _Pattern) -> tuple[str, int]:
    count = 0

    def hidden(found: re.Match[str]) -> str:
        nonlocal count
        if not pattern.real(found):
            return found[0]
        count += 1
        start, end = found.span("secret")
        return found[0][: start - found.start()] + _mark(end - start) + found[0][end - found.start() :]

    return pattern.regex.sub(hidden, text), count


def _is_mixed(secret: str) -> bool:
    """Letters and digits: no word, no number."""
    return any(c.isdigit() for c in secret) and any(c.isalpha() for c in secret)


def _is_key(found: re.Match[str]) -> bool:
    """A key of `sk-…`: no name of words with hyphens in between."""
    return _is_mixed(found["secret"]) and any(c.isupper() for c in found["secret"])


_HARMLESS: Final = re.compile(
    r"(?i)none|null|nil|true|false|undefined|required|optional|string|text|password|secret|token|hidden|redacted"
    r"|x{3,}|\*{3,}|\.{3,}|-+|_+"
)
_NAME_OF_CODE: Final = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+|(?:self|os|settings|config|env)\..*")
_FILE: Final = re.compile(r"(?:\.{0,2}|~)/[a-z0-9_./-]*")


def _is_value(found: re.Match[str]) -> bool:
    """What stands after `password=`: no name in a program, no path, no number, not the next word of a sentence."""
    secret = found["secret"]
    if _HARMLESS.fullmatch(secret) or _FILE.fullmatch(secret):
        return False
    name, quoted = found["name"].lower(), found["quote"]
    if secret.isdigit() and not name.startswith("pass") and name != "pwd":
        return False
    if quoted:
        return found.string.startswith(quoted, found.end())
    if _NAME_OF_CODE.fullmatch(secret) or re.search(rf"(?i)^(?:[a-z0-9]+_)*(?:{_WORDS})$", secret[:200]):
        return False
    return found["sep"] == "=" or secret.isdigit() or (_is_mixed(secret) and "://" not in secret)


def _key(needs: str, prefix: str, rest: str, real: Callable[[re.Match[str]], bool] = lambda _: True) -> _Pattern:
    return _Pattern(needs, re.compile(rf"(?<![A-Za-z0-9_-])(?P<secret>(?:{prefix}){rest})"), real)


_PATTERNS: Final = (
    _Pattern(
        "private",  # only lines of base64, so that nothing else hides behind a key that never ends
        re.compile(
            r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?P<secret>(?:\s|\\[nr])*+(?:[A-Za-z0-9+/=]{16,}+(?:\s|\\[nr])*+)++(?:[A-Za-z0-9+/=]++(?:\s|\\[nr])*+)?)"
        ),
    ),
    _key("akia asia abia acca a3t", "AKIA|ASIA|ABIA|ACCA|A3T[A-Z0-9]", r"[A-Z0-9]{16}(?![A-Za-z0-9])"),
    _key("aiza", "AIza", r"[A-Za-z0-9_-]{35}"),
    _key("ya29. gocspx-", r"ya29\.|GOCSPX-", r"[A-Za-z0-9_-]{20,}+"),
    _key(
        "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- npm_ hf_ pypi- dop_v1_",
        "gh[pousr]_|github_pat_|glpat-|npm_|hf_|pypi-|dop_v1_",
        r"[A-Za-z0-9_-]{20,}+",
    ),
    _key("xox xapp-", r"xox[a-z](?:\.xox[a-z])?-|xapp-[0-9]-", r"[A-Za-z0-9-]{10,}+"),
    _Pattern(
        "hooks.slack",
        re.compile(r"hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/(?P<secret>[A-Za-z0-9/_+-]{20,}+)"),
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
    ),
    _Pattern(
        "bearer",
        re.compile(r"(?i)(?<![A-Za-z0-9])bearer[ \t]{1,3}(?P<secret>[A-Za-z0-9._~+/-]{16,}+={0,2})"),
        lambda found: _is_mixed(found["secret"]),
    ),
    _Pattern("://", re.compile(r"(?<=://)[A-Za-z0-9._~%+-]{0,100}:(?P<secret>[A-Za-z0-9._~%+!*,=^#-]{1,200})@")),
    _Pattern(
        "pass pwd secret token credential authorization cookie key",
        re.compile(
            rf"(?i)(?P<name>{_WORDS})(?:\\?[\"'])?(?P<sep>[ \t]{{0,3}}(?:=>|:=|={{1,3}}|:)[ \t]{{0,3}})"
            r"(?P<quote>\\?[\"'])?(?P<secret>[A-Za-z0-9_.~+/!@#%^*?:-]{4,}+={0,2})(?![(\[{])"
        ),
        _is_value,
    ),
)
