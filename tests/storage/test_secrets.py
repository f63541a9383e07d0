"""Named secrets: made once, kept, given by an operator, rotated."""

import base64
import stat
from pathlib import Path

import pytest

from svoykrug_server.kit.startup import CannotStart, ExitCode
from svoykrug_server.storage.secrets import Secret, SecretName, SecretNotFound, Secrets


def encoded(byte: int, length: int = 32) -> str:
    return base64.urlsafe_b64encode(bytes([byte]) * length).decode().rstrip("=")


def all_given(**more: str) -> dict[str, str]:
    return {f"{name}.1": encoded(200 + number) for number, name in enumerate(SecretName)} | more


def test_the_first_start_makes_them_and_the_second_finds_the_same(tmp_path: Path) -> None:
    first, second = Secrets.load(tmp_path), Secrets.load(tmp_path)
    assert {first.current(name).value for name in SecretName} == {second.current(name).value for name in SecretName}
    assert len({first.current(name).value for name in SecretName}) == len(SecretName)
    assert all(len(first.current(name).value) == 32 for name in SecretName)


def test_only_the_owner_may_read_their_files(tmp_path: Path) -> None:
    Secrets.load(tmp_path)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.glob("*.1")} == {0o600}


def test_the_latest_kid_is_current_and_the_old_one_is_found(tmp_path: Path) -> None:
    loaded = Secrets.load(tmp_path, inline=all_given(**{"otp_pepper.10": encoded(10), "otp_pepper.9": encoded(9)}))
    assert loaded.current(SecretName.OTP_PEPPER) == Secret("10", bytes([10]) * 32)
    assert loaded.find(SecretName.OTP_PEPPER, "9").value == bytes([9]) * 32
    assert [secret.kid for secret in loaded.all(SecretName.OTP_PEPPER)] == ["1", "9", "10"]
    with pytest.raises(SecretNotFound):
        loaded.find(SecretName.OTP_PEPPER, "2")


def test_given_files_are_read_and_nothing_is_written(tmp_path: Path) -> None:
    given, generated = tmp_path / "given", tmp_path / "generated"
    given.mkdir()
    generated.mkdir()
    for name, text in all_given().items():
        (given / name).write_text(text + "\n")
    assert Secrets.load(generated, given).current(SecretName.OTP_PEPPER).kid == "1"
    assert not list(generated.iterdir())


@pytest.mark.parametrize(
    "broken",
    [
        {name: text for name, text in all_given().items() if not name.startswith("page_token")},
        all_given(**{"page_token.1": "not base64!"}),
        all_given(**{"page_token.1": encoded(7, length=31)}),
    ],
    ids=["missing", "not base64", "too short"],
)
def test_a_broken_secret_is_one_clear_line_without_its_value(tmp_path: Path, broken: dict[str, str]) -> None:
    with pytest.raises(CannotStart, match="page_token") as refusal:
        Secrets.load(tmp_path, inline=broken)
    assert refusal.value.exit_code is ExitCode.SETTINGS
    assert broken.get("page_token.1", "\n") not in str(refusal.value)


def test_a_secret_never_prints() -> None:
    assert "zz" not in repr(Secret("1", b"zz" * 16))
