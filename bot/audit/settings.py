"""Settings of `countersign audit`, read from the environment."""

from pathlib import Path

from pydantic import Field

from countersign.process_settings import CommonSettings


class AuditSettings(CommonSettings):
    """Settings of `countersign audit`: where Redis is, and the key that signs."""

    audit_key: Path = Field(
        Path(".data/audit-key.pem"), description="Ed25519 key that signs receipts, PEM; made if there is none"
    )
