"""Secrets from files: each is read, stripped, refused with a sentence, and never shown."""

from pathlib import Path

import pytest

from bot.settings import WebSettings
from countersign.client.connection import Address
from countersign.doctor import process_of
from countersign.domain.errors import InvalidInput, WrongSettings
from countersign.frameworks.autogen.models.config import load_model
from countersign.process_settings import CommonSettings, WorkerSettings, read, secret_files, variables
from countersign.secret_files import read_secret

OPERATIONS = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
GOOD = {"SLACK_BOT_TOKEN": "xoxb-1", "SLACK_APP_TOKEN": "xapp-1"}


@pytest.fixture(autouse=True)
def empty(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (WebSettings, WorkerSettings):
        for name in (*variables(kind), *secret_files(kind).values()):
            monkeypatch.delenv(name, raising=False)


def written(folder: Path, content: str | bytes) -> str:
    path = folder / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_trailing_newline_of_a_secret_file_is_stripped(tmp_path: Path, end: str) -> None:
    assert read_secret("TOKEN", {"TOKEN_FILE": written(tmp_path, f" a b{end}")}) == " a b"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("hidden\nhidden\n", "alone, in one line"),
        ("hidden" * 20_000, "alone, in one line"),
        (b"hidden\xff", "is not text in UTF-8"),
    ],
)
def test_unusable_secret_file_is_refused_without_showing_it(tmp_path: Path, content: str | bytes, said: str) -> None:
    """R15, R29."""
    with pytest.raises(InvalidInput, match=said) as wrong:
        read_secret("TOKEN", {"TOKEN_FILE": written(tmp_path, content)})
    assert str(wrong.value).startswith(f"TOKEN_FILE: the file “{tmp_path / 'secret'}” ")
    assert "hidden" not in str(wrong.value)


@pytest.mark.parametrize(("path", "why"), [("absent", "No such file"), (".", "Is a directory"), ("a\0b", "not a path")])
def test_unreadable_secret_file_is_named(tmp_path: Path, path: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=f"TOKEN_FILE: the file .* cannot be read .{why}"):
        read_secret("TOKEN", {"TOKEN_FILE": str(tmp_path / path)})


@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_every_secret_is_read_from_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: type[CommonSettings]
) -> None:
    values = {
        "REDIS_URL": "rediss://:p@host:6379/0",
        "SLACK_BOT_TOKEN": "xoxb-1",
        "SLACK_APP_TOKEN": "xapp-1",
        "PAGES_MAIL_URL": "smtp://h",
        "AUDIT_SQL_URL": "postgresql+asyncpg://u:p@h/d",
    }
    without_oauth = {name for name in secret_files(kind) if name not in ("SLACK_CLIENT_SECRET", "ENCRYPTION_KEYS")}
    for name in without_oauth:
        (tmp_path / name).write_text(values.get(name, "secret") + "\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    settings = read(kind)
    for name in without_oauth:
        assert getattr(settings, name.lower()).get_secret_value() == values.get(name, "secret"), name
    assert len(without_oauth) >= 3


@pytest.mark.parametrize("kind", [WebSettings, WorkerSettings])
def test_every_secret_file_is_documented(kind: type[CommonSettings]) -> None:
    [paragraph] = [part for part in OPERATIONS.split("\n\n") if part.startswith("**Secrets from files.**")]
    assert [name for name in secret_files(kind) if f"`{name}`" not in paragraph] == []


def test_secret_given_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-hidden")
    monkeypatch.setenv("SLACK_BOT_TOKEN_FILE", written(tmp_path, "xoxb-hidden"))
    monkeypatch.setenv("REDIS_URL_FILE", str(tmp_path / "absent"))
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-1")
    monkeypatch.setenv("PORT", "x")
    with pytest.raises(WrongSettings) as wrong:
        read(WebSettings)
    assert [problem.split(" ")[0].strip(":") for problem in wrong.value.problems] == [
        "REDIS_URL_FILE",
        "SLACK_BOT_TOKEN",
        "PORT",
    ]
    assert "SLACK_BOT_TOKEN and SLACK_BOT_TOKEN_FILE are both set; remove one of them." in wrong.value.problems
    assert "hidden" not in str(wrong.value)


def test_secret_from_a_file_is_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN_FILE", written(tmp_path, "xoxp-hidden"))
    monkeypatch.setenv("SLACK_APP_TOKEN", "xapp-1")
    with pytest.raises(WrongSettings, match="SLACK_BOT_TOKEN: must begin with xoxb-") as wrong:
        read(WebSettings)
    assert "hidden" not in str(wrong.value)


def test_empty_variable_beside_a_file_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Compose passes variables that are not set as empty ones."""
    monkeypatch.setenv("SMTP_URL", "")
    monkeypatch.setenv("SMTP_URL_FILE", written(tmp_path, "smtp://h"))
    smtp = read(WorkerSettings).smtp_url
    assert smtp is not None and smtp.get_secret_value() == "smtp://h"


def test_misspelt_file_of_a_secret_ends_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AUDIT_SQL_URLS_FILE", written(tmp_path, "x"))
    with pytest.raises(WrongSettings, match=r"AUDIT_SQL_URLS_FILE is not a setting\. Did you mean AUDIT_SQL_URL_FILE"):
        read(WebSettings)


def test_program_reads_its_key_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COUNTERSIGN_URL", "https://host")
    monkeypatch.setenv("COUNTERSIGN_KEY_FILE", written(tmp_path, "csk_file\n"))
    assert Address.of(None, None) == Address("https://host", "csk_file")
    assert Address.of(None, "csk_given") == Address("https://host", "csk_given")
    monkeypatch.setenv("COUNTERSIGN_KEY", "csk_twice")
    with pytest.raises(InvalidInput, match="COUNTERSIGN_KEY and COUNTERSIGN_KEY_FILE are both set"):
        Address.of(None, None)


def test_models_key_is_read_from_a_file(tmp_path: Path) -> None:
    config = tmp_path / "model.yaml"
    config.write_text(
        "provider: autogen_ext.models.openai.OpenAIChatCompletionClient\n"
        "config: {model: gpt-4.1, api_key: '${KEY}', timeout: 'soon ${KEY}'}\n"
    )
    with pytest.raises(WrongSettings, match="timeout") as wrong:
        load_model(config, {"KEY_FILE": written(tmp_path, "sk-hidden\n")})
    assert "hidden" not in str(wrong.value)
    with pytest.raises(WrongSettings, match=r"KEY_FILE: the file .* cannot be read"):
        load_model(config, {"KEY_FILE": str(tmp_path / "absent")})


def test_doctor_knows_a_process_by_its_secret_file() -> None:
    assert process_of({"SLACK_BOT_TOKEN_FILE": "/run/secrets/token"}) == "web"
    assert process_of({"COUNTERSIGN_KEY_FILE": "/run/secrets/key"}) == "client"
