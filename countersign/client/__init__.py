"""Ask people from any program, wait, act once and report, over HTTP.

Framework adapters are built on it too (docs/write-an-adapter.md).
"""

from countersign.client.client import AsyncClient, Client
from countersign.client.exchange import (
    LONGEST_REPORT,
    AlreadyRan,
    Decision,
    NotApproved,
    Reported,
    ServiceRefused,
    Submitted,
    failure,
)
from countersign.client.idempotency_keys import QuestionKeys, key_of
from countersign.client.questions import Call, Question
from countersign.domain.calls import question_text, schema_of
from countersign.domain.errors import CountersignError, InvalidInput, NotShown
from countersign.domain.json_arguments import DIFFERS, is_approved, read_arguments, written
from countersign.domain.typed_answers import UNANSWERED, Keywords

__all__ = [
    "DIFFERS",
    "LONGEST_REPORT",
    "UNANSWERED",
    "AlreadyRan",
    "AsyncClient",
    "Call",
    "Client",
    "CountersignError",
    "Decision",
    "InvalidInput",
    "Keywords",
    "NotApproved",
    "NotShown",
    "Question",
    "QuestionKeys",
    "Reported",
    "ServiceRefused",
    "Submitted",
    "failure",
    "is_approved",
    "key_of",
    "question_text",
    "read_arguments",
    "schema_of",
    "written",
]
