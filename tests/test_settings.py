"""The environment: all problems at once, each with what to fix, and no secret in any of them."""

import re
import traceback
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest

from bot.settings import WebSettings
from countersign.domain.channel_settings import ChannelSettings, OnTimeout, resolve
from countersign.domain.errors import WrongSettings
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import Reviewers
from countersign.process_settings import WorkerSettings, _misspelt, read, variables
from countersign.store.redis.connection import connect
from tests.sample_requests import BOB, LEADS

GOOD = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1", "REVIEWERS": "U0BOB, S0LEADS"}


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*variables(WebSettings), *variables(WorkerSettings)):
        monkeypatch.delenv(name, raising=False)


def given(monkeypatch: pytest.MonkeyPatch, **env: str) -> None:
    for name, value in {**GOOD, **env}.items():
        monkeypatch.setenv(name, value)


def test_default_settings_are_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    """R23: nothing is approved by timeout, nobody decides on their own request, only loopback is listened on."""
    given(monkeypatch)
    settings = read(WebSettings)
    rules = settings.rules(ChannelId("C1"))
    assert (rules.on_timeout, rules.own_requests, settings.host) == (OnTimeout.REJECT, False, "127.0.0.1")
    assert rules.reviewers == Reviewers(frozenset({BOB}), frozenset({LEADS}))


def test_channel_members_may_be_the_default_reviewers(monkeypatch: pytest.MonkeyPatch) -> None:
    """R10: how many these are, Slack says when a run starts."""
    given(monkeypatch, REVIEWERS="members U0BOB", QUORUM="2")
    rules = resolve(
        read(WebSettings).rules(ChannelId("C1")), ChannelSettings(), ChannelSettings(approvals_channel=ChannelId("C2"))
    )
    assert rules.reviewers == Reviewers(frozenset({UserId("U0BOB")}), frozenset({GroupId("C2")}))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SLACK_BOT_TOKEN", "xoxp-secret", "SLACK_BOT_TOKEN: must begin with xoxb-"),
        ("SLACK_APP_TOKEN", "secret", "SLACK_APP_TOKEN: must begin with xapp-"),
        ("REDIS_URL", "http://secret", "REDIS_URL: must begin with redis://"),
        ("REVIEWERS", "bob U0BOB", "REVIEWERS: neither user ids"),
        ("REVIEWERS", "C0LEADS", "REVIEWERS: neither user ids"),
        ("ADMINS", "S0LEADS", "ADMINS: not user ids"),
        ("APPROVAL_TIMEOUT", "soon", "APPROVAL_TIMEOUT: “soon” is not a duration"),
        ("APPROVAL_TIMEOUT", "0s", "APPROVAL_TIMEOUT: “0s” is out of range"),
        ("ON_TIMEOUT", "maybe", "ON_TIMEOUT: "),
        ("ON_TIMEOUT", "approve", "ON_TIMEOUT: approve cannot be the default of every channel. Set it in each"),  # R23
        ("PORT", "99999", "PORT: "),
        ("QUORUM", "0", "QUORUM: "),
        ("APPROVALS_CHANNEL", "my approvals", "APPROVALS_CHANNEL: "),
        ("NAMESPACE", "a b", "NAMESPACE: "),
        ("KEEP_EVENTS", "90m", "KEEP_EVENTS: “90m” is none of 0s, 12h, 30d, 8w, 7y and forever"),
        ("KEEP_AUDIT", "0s", "KEEP_AUDIT: “0s” is none of 12h, 30d, 8w, 7y and forever"),  # R25
    ],
)
def test_each_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    given(monkeypatch, **{name: value})
    with pytest.raises(WrongSettings) as wrong:
        read(WebSettings)
    assert any(problem.startswith(said) for problem in wrong.value.problems), wrong.value.problems
    assert "secret" not in str(wrong.value)


@pytest.mark.parametrize(
    ("said", "meant"),
    [("", timedelta(0)), ("0s", timedelta(0)), ("30d", timedelta(days=30)), ("Forever", None)],
)
def test_events_are_kept_as_long_as_configured(
    monkeypatch: pytest.MonkeyPatch, said: str, meant: timedelta | None
) -> None:
    """KEEP_EVENTS: not at all by default, for a time, or forever."""
    given(monkeypatch, KEEP_EVENTS=said)
    assert read(WebSettings).keep_events == meant


def test_all_problems_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, SLACK_BOT_TOKEN="", SLACK_APP_TOKEN="", REDIS_URL="x", REVIEWERS="bob", PORT="x")
    with pytest.raises(WrongSettings) as wrong:
        read(WebSettings)
    told = {problem.split(":")[0].split(" ")[0] for problem in wrong.value.problems}
    assert told == {"SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "REDIS_URL", "REVIEWERS", "PORT"}


def test_unreachable_quorum_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """R10."""
    given(monkeypatch, REVIEWERS="U0BOB", QUORUM="2")
    with pytest.raises(WrongSettings, match="REVIEWERS names only 1"):
        read(WebSettings)


@pytest.mark.parametrize("namespace", ["shop-work", "shop-work-kpay"])
def test_namespace_of_a_workers_area_is_refused(monkeypatch: pytest.MonkeyPatch, namespace: str) -> None:
    """R27: the worker of NAMESPACE=shop would own all keys of this one."""
    given(monkeypatch, NAMESPACE=namespace)
    with pytest.raises(WrongSettings, match="NAMESPACE"):
        read(WebSettings)


def test_settings_never_show_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """R15."""
    given(
        monkeypatch, SLACK_BOT_TOKEN="xoxb-hidden", REDIS_URL="redis://:hidden@localhost", SMTP_URL="smtp://u:hidden@h"
    )
    assert "hidden" not in repr(read(WebSettings)) + repr(read(WorkerSettings))


@pytest.mark.parametrize(
    "url",
    [
        "redis://web:secr/et@127.0.0.1:6379/0",
        "redis://web:secr#et@127.0.0.1:6379/0",
        "redis://web:secr?et@127.0.0.1:6379/0",
        "redis://web:secr[et@127.0.0.1:6379/0",
        "redis+cluster://web:secr/et@127.0.0.1:6379",
        "redis://web:secret@127.0.0.1:99999/0",
        "redis://web:secret@127.0.0.1:6379/0?socket_timeout=secret",
        "redis://web:secret@127.0.0.1:6379/0?nothing=secret",
        "redis+sentinel://:secret@127.0.0.1:x/main",
    ],
)
def test_invalid_address_is_reported_without_its_password(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R15: the traceback said “Port could not be cast to integer value as 'secr'”."""
    given(monkeypatch, REDIS_URL=url)
    with pytest.raises(WrongSettings, match="REDIS_URL") as wrong:
        connect(read(WebSettings).redis_url.get_secret_value())
    told = "".join(traceback.format_exception(wrong.value)) + caplog.text
    assert "secr" not in told.replace("get_secret_value", "")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+cluster://:secret@one:6379", None),
        ("rediss+sentinel://:secret@one:26379,two:26379/main/0?sentinel_password=other", None),
        ("redis+sentinel://one:26379", "redis+sentinel://host:26379/name/0"),
        ("redis+sentinel://one:26379/main/x", "redis+sentinel://host:26379/name/0"),
        ("http://one", "must begin with redis://"),
    ],
)
def test_redis_address_states_its_kind(url: str, problem: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    if problem is None:
        assert read(WorkerSettings).redis_url.get_secret_value() == url
        return
    with pytest.raises(WrongSettings, match=re.escape(problem)):
        read(WorkerSettings)


OAUTH = {
    "SLACK_CLIENT_ID": "1.2",
    "SLACK_CLIENT_SECRET": "secret",
    "SLACK_REDIRECT_URL": "https://a.example.com/slack/oauth_redirect",
    "ENCRYPTION_KEYS": "A" * 43 + "=",
    "SLACK_BOT_TOKEN": "",
    "REVIEWERS": "members",
}


def test_oauth_needs_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **OAUTH)
    settings = read(WebSettings)
    assert settings.slack_client_id == "1.2"
    assert settings.slack_bot_token is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SLACK_CLIENT_SECRET", "", "SLACK_CLIENT_SECRET is missing: with SLACK_CLIENT_ID"),
        ("SLACK_REDIRECT_URL", "", "SLACK_REDIRECT_URL is missing: with SLACK_CLIENT_ID"),
        ("SLACK_REDIRECT_URL", "https://a.example.com/elsewhere", "SLACK_REDIRECT_URL: "),
        ("ENCRYPTION_KEYS", "", "ENCRYPTION_KEYS is missing: with SLACK_CLIENT_ID"),
        ("ENCRYPTION_KEYS", "A" * 43 + "=,secret", "ENCRYPTION_KEYS: each must be 32 bytes"),
        ("SLACK_BOT_TOKEN", "xoxb-1", "SLACK_BOT_TOKEN: leave it out"),
        ("SLACK_CLIENT_ID", "", "SLACK_BOT_TOKEN is missing"),
        ("REVIEWERS", "U0BOB", "REVIEWERS: ids are of one workspace"),
        ("ADMINS", "U0BOB", "ADMINS: ids are of one workspace"),
        ("APPROVALS_CHANNEL", "C0APPROVALS", "APPROVALS_CHANNEL: an id is of one workspace"),
        ("AUDIT_SQL_URL", "sqlite+aiosqlite:///secret", "AUDIT_SQL_URL: one database"),
    ],
)
def test_wrong_oauth_setting_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str) -> None:
    given(monkeypatch, **{**OAUTH, name: value})
    with pytest.raises(WrongSettings) as wrong:
        read(WebSettings)
    assert any(problem.startswith(said) for problem in wrong.value.problems), wrong.value.problems
    assert "secret" not in str(wrong.value).replace("client secret", "")


def test_callback_networks_are_listed_individually(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, CALLBACK_NETWORKS="10.1.0.0/16, fd00::/8")
    assert read(WebSettings).callback_networks == {ip_network("10.1.0.0/16"), ip_network("fd00::/8")}
    given(monkeypatch, CALLBACK_NETWORKS="10.1.0.0/16, intranet")
    with pytest.raises(WrongSettings, match="CALLBACK_NETWORKS"):
        read(WebSettings)


def test_expiring_token_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, SLACK_BOT_TOKEN="xoxe.xoxb-1")
    with pytest.raises(WrongSettings, match="SLACK_BOT_TOKEN: this one ends in 12 hours"):
        read(WebSettings)


@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_documented_defaults_match_the_settings(
    monkeypatch: pytest.MonkeyPatch, kind: type[WebSettings | WorkerSettings]
) -> None:
    """Whoever sets every variable to the documented default changes nothing."""
    given(monkeypatch, REVIEWERS="")
    unset = read(kind)
    page = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
    for name, field in zip(variables(kind), kind.model_fields, strict=True):
        cell = re.search(rf"^\| `{name}` \| (.*?) \|", page, re.M)
        assert cell, name
        if cell[1] == "–":
            assert name in GOOD or not getattr(unset, field), name
        else:
            monkeypatch.setenv(name, cell[1].strip("`"))
    assert read(kind) == unset


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [
        ("REVIEWER", "REVIEWERS"),
        ("REDIS_URI", "REDIS_URL"),
        ("approval_timout", "APPROVAL_TIMEOUT"),
        ("QUORUMS", "QUORUM"),
    ],
)
def test_misspelt_setting_ends_the_start(monkeypatch: pytest.MonkeyPatch, given_name: str, meant: str) -> None:
    """Beside all other problems; a setting that is set is not what was meant."""
    given(monkeypatch, **{given_name: "U0BOB", "PORT": "99999"})
    monkeypatch.delenv(meant, raising=False)
    with pytest.raises(WrongSettings) as wrong:
        read(WebSettings)
    assert wrong.value.problems[0] == (
        f"{given_name.upper()} is not a setting. Did you mean {meant}? Nothing was started."
    )
    assert any(problem.startswith("PORT: ") for problem in wrong.value.problems)


def test_settings_of_the_other_process_are_not_misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both processes may read one file of settings, and short names mean other things."""
    for name in {*variables(WebSettings), *variables(WorkerSettings)} - {*GOOD}:
        monkeypatch.delenv(name, raising=False)
    given(monkeypatch, TEAM="payments", HOSTS="a b", RELEASE="1.2", MODEL_CONFIG="models.yml", REVIEWER="U0BOB")
    read(WebSettings)
    read(WorkerSettings)
    for ours, theirs in ((WebSettings, WorkerSettings), (WorkerSettings, WebSettings)):
        for name in variables(theirs).keys() - variables(ours).keys():
            monkeypatch.setenv(name, "x")
        assert list(_misspelt(ours)) == []
        for name in variables(theirs).keys() - variables(ours).keys():
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given_name", "channel"),
    [("approvals", "#approvals"), ("#approvals", "#approvals"), ("C0APPROVALS", "C0APPROVALS")],
)
def test_channel_is_taken_with_or_without_its_sign(
    monkeypatch: pytest.MonkeyPatch, given_name: str, channel: str
) -> None:
    """Slack's names have no capitals, so a name is never taken for an id."""
    given(monkeypatch, APPROVALS_CHANNEL=given_name)
    assert read(WebSettings).approvals_channel == channel
