"""Upload content that is too long for a card or note as a file in its thread.

Files come last, and no decision waits for a file (R36).
"""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final

import aiohttp
from slack_sdk.errors import SlackApiError, SlackRequestError

from countersign.domain.pauses import doubling
from countersign.usecases.ports import Change, Committed, Message, Put, Store

from ...slack_errors import OF_THE_TOKEN
from ..ports import CannotPost, code, pause_after
from ..unconfirmed_posts import CLOCKS_DIFFER
from .message_sync import File, Poster

TRIES: Final = 5
PAUSE: Final = timedelta(seconds=4)
"""Pause before the second try, doubled for each further try: two minutes in all, if Slack answers at once. Slack shares
a file some seconds after accepting it, and only then a look-up finds it."""
_log = logging.getLogger(__name__)


class Files:
    """Uploads of files with a poster's client."""

    def __init__(self, poster: Poster, store: Store) -> None:
        self._poster = poster
        self._store = store

    async def attach(self, file: File) -> None:
        """Put a file into its thread, once.

        After a few failures the store records that the file is missing, and why.
        """
        seen = await self._store.message(file.name)
        if seen is not None and (seen.value.ts or seen.value.problem):
            return
        fresh = False
        if seen is None:
            now = await self._store.now()
            message = Message(self._poster.workspace, file.place.channel, file.name, thread=file.place.thread)
            message = replace(message, posting_since=now)
            fresh = await self._store.commit(Change(messages=(Put(message, 0),))) is Committed.DONE
            seen = await self._store.message(file.name)
            assert seen is not None, "a message that exists already can be read"
        problem = await self._deliver(seen.value, file, fresh)
        known = replace(seen.value, ts="" if problem else file.filename, problem=problem, posting_since=None)
        if problem:
            _log.error("%s could not be uploaded (%s); its card or note says so.", file.name, problem)
        await self._store.commit(Change(messages=(Put(known, seen.version),)))

    async def _deliver(self, message: Message, file: File, fresh: bool) -> str:
        """Try a few times; return Slack's error code, or "" if the file is there."""
        pauses, problem = doubling(PAUSE.total_seconds()), ""
        for left in range(TRIES, -1, -1):
            try:
                if not fresh and await self._stands(message, file):
                    return ""
                fresh = False
                if not left or not (problem := await self._upload(file)):
                    return problem
            except CannotPost as refused:
                return str(refused)
            await asyncio.sleep(next(pauses))
        return problem

    async def _stands(self, message: Message, file: File) -> bool:
        meant = (message.posting_since or await self._store.now()) - CLOCKS_DIFFER
        messages = await self._poster.lookups.since(message.channel, message.thread, meant.timestamp())
        return any(one.get("name") == file.filename for m in messages for one in m.get("files") or ())

    async def _upload(self, file: File) -> str:
        """Upload, and return the problem, or "" if the file certainly arrived.

        CannotPost if Slack refuses for good.
        """
        try:
            await self._poster.calls.client.files_upload_v2(
                channel=file.place.channel,
                thread_ts=file.place.thread,
                filename=file.filename,
                content=file.content,
                title=file.title,
            )
        except SlackApiError as refused:
            pause = pause_after(refused)
            if pause is None:
                raise CannotPost(code(refused)) from refused
            if refused.response.status_code == 429:
                await asyncio.sleep(pause)
            if code(refused) in OF_THE_TOKEN:  # the refusal is not about the file
                await self._poster.calls.until_answered()
            return code(refused)
        except (aiohttp.ClientError, TimeoutError, OSError, SlackRequestError) as wrong:
            _log.warning("Slack did not answer the upload of %s (%r); checking whether it arrived.", file.name, wrong)
            return "no answer"
        return ""
