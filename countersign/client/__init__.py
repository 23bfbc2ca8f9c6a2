"""Ask people from any program, wait, act once and report, over HTTP."""

from countersign.client.client import AsyncClient, Client, question
from countersign.client.exchange import AlreadyRan, Reported, ServiceRefused
from countersign.domain.typed_answers import UNANSWERED

__all__ = ["UNANSWERED", "AlreadyRan", "AsyncClient", "Client", "Reported", "ServiceRefused", "question"]
