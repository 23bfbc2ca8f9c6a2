"""Files that are sealed with COUNTERSIGN_STATE_KEY, if the program has one.

Sealed is encrypted and authenticated (AES-128-CBC with HMAC-SHA256, which is Fernet). The service never has the key.
"""

import os
from typing import Final

from countersign.domain.errors import InvalidInput

KEY: Final = "COUNTERSIGN_STATE_KEY"


def sealed(text: str) -> bytes:
    """Seal the text, or leave it as it is without a key.

    InvalidInput if the key is none.
    """
    if not (key := os.environ.get(KEY)):
        return text.encode()
    try:
        from cryptography.fernet import Fernet
    except ModuleNotFoundError:
        raise InvalidInput(f"{KEY} is set, but encryption isn't installed. Run: pip install cryptography") from None
    try:
        return Fernet(key).encrypt(text.encode())
    except ValueError:
        raise InvalidInput(
            f"{KEY} must be 32 bytes in URL-safe base64. Create one with `openssl rand -base64 32 | tr +/ -_`."
        ) from None


def unsealed(content: bytes, name: str) -> str:
    """Open what `sealed` made.

    InvalidInput if it has another key, or none, or was changed.
    """
    if (key := os.environ.get(KEY)) or not content.startswith(b"{"):
        from cryptography.fernet import Fernet, InvalidToken

        try:
            return Fernet(key or "").decrypt(content).decode()
        except (InvalidToken, ValueError):
            raise InvalidInput(
                f"Can't read {name}: it was encrypted with another {KEY} or without one, or was changed."
            ) from None
    return content.decode()
