"""Bugs in what people see in Slack, and in what Slack is told."""

from typing import Final

from planted.bug import Bug

_CLICKS = "tests/slack/test_clicks.py::"
_CARDS = "tests/slack/test_cards.py::"
_SCRIBE = "tests/slack/test_scribe.py::"
_WINDOWS = "tests/slack/test_high_risk_windows.py::"
_BURSTS = "tests/slack/test_bursts.py::"
_NEWER = "tests/slack/test_newer.py::"
_OVERTAKEN = "tests/slack/test_overtaken.py::"

DRAWING: Final = (
    Bug(
        "after a lost reply the card is posted without a look",
        "R2, R6",
        "bot/slack/poster.py",
        "                found, looked = await self._find(seen.value), True\n",
        "                found, looked = None, True\n",
        (_SCRIBE + "test_a_lost_reply_does_not_make_a_second_card",),
    ),
    Bug(
        "an event is ticked off before it is drawn",
        "R5",
        "bot/slack/scribe.py",
        "                    await self._until_drawn(run, [event for _, event in entries])\n",
        "                    [await self._outbox.done(entry) for entry, _ in entries]\n"
        "                    await self._until_drawn(run, [event for _, event in entries])\n",
        (_SCRIBE + "test_another_process_draws_on_when_the_scribe_is_gone",),
    ),
    Bug(
        "the last part of what is long comes first",
        "R13",
        "bot/slack/high_risk.py",
        "    last = part + 1 == len(made)\n",
        "    last = True\n",
        (_WINDOWS + "test_all_parts_of_what_is_long_come_before_the_word",),
    ),
    Bug(
        "a settled card keeps its buttons",
        "R6",
        "bot/slack/cards.py",
        "blocks + _outcome(request, request.decision)\n",
        'blocks + _outcome(request, request.decision) + [{"type": "actions", "elements": _buttons(request)}]\n',
        (_CARDS + "test_only_pending_cards_have_buttons_that_decide",),
    ),
    Bug(
        "nobody looks again for what a killed process still posted",
        "R6",
        "bot/slack/poster.py",
        "                    await self._store.look_again(name, SECOND_LOOK)\n",
        "                    pass\n",
        (_OVERTAKEN + "test_what_a_process_posts_as_it_wakes_up_and_is_killed_is_deleted_at_a_second_look",),
    ),
    Bug(
        "a second copy of a card stays",
        "R6",
        "bot/slack/poster.py",
        "                await self._drop_orphan(name, known)\n",
        "                pass\n",
        (_OVERTAKEN + "test_a_scribe_that_is_put_down_finishes_its_post_and_deletes_the_second_copy",),
    ),
    Bug(
        "an old picture is drawn over a newer one",
        "R6, R20",
        "bot/slack/scribe.py",
        "                    if await self._state(run, events) == before:\n                        return\n",
        "                    return\n",
        (_OVERTAKEN + "test_a_scribe_that_draws_over_something_newer_draws_that_again",),
    ),
    Bug(
        "every row of a burst has the buttons of the first request",
        "R1, R26",
        "bot/slack/rows.py",
        "*_row(number, row)]\n",
        "*_row(number, first)]\n",
        (_CARDS + "test_every_button_of_a_row_carries_its_own_request",),
    ),
    Bug(
        "a row of a burst gets a card of its own besides",
        "R6, R26",
        "bot/slack/seating.py",
        "Change(messages=(grown, Put(row, 0)))",
        "Change(messages=(grown,))",
        (_BURSTS + "test_a_burst_of_thirty_goes_on_with_further_cards",),
    ),
    Bug(
        "an old picture of one row is drawn over a newer one of another",
        "R6, R20",
        "bot/slack/scribe.py",
        "        still = seen.value.open.values() if seen else ()\n",
        "        still: tuple[RequestId, ...] = ()\n",
        (_BURSTS + "test_a_scribe_that_draws_over_another_row_draws_the_card_again",),
    ),
    Bug(
        "a row that does not show all of it is approved with one click",
        "R13, R26",
        "bot/slack/rows.py",
        "        elif verb is Verb.APPROVE and not whole:",
        "        elif verb is Verb.APPROVE and not whole and not request.id:",
        (_CARDS + "test_what_a_row_does_not_show_is_not_approved_there",),
    ),
    Bug(
        "a row with half of its title is approved with one click",
        "R13, R26",
        "bot/slack/rows.py",
        "whole = whole and _cut(what) == what",
        "whole = whole and bool(what)",
        (_CARDS + "test_a_row_whose_title_is_cut_is_not_approved_there",),
    ),
    Bug(
        "a card grows as long as a worker says that it asked in time",
        "R1, R26",
        "bot/slack/seating.py",
        " and grows(card.value.posting_since, card.now)",
        "",
        (_BURSTS + "test_a_card_that_people_have_read_does_not_grow",),
    ),
    Bug(
        "a refused click is acked and nothing is said",
        "R7",
        "bot/slack/answering.py",
        "        if result is not None:\n            await tell(desk.client, body, result)\n",
        "",
        (_CLICKS + "test_a_late_click_gets_the_sentence",),
    ),
    Bug(
        "too long for a card, and no file",
        "R14",
        "bot/slack/scribe.py",
        "if card is not None and request.status is Status.PENDING and content.needs_file(request):",
        "if False:",
        (_SCRIBE + "test_a_long_request_is_in_a_file_in_the_thread_of_its_card",),
    ),
    Bug(
        "text is not escaped",
        "R15",
        "bot/core/marks.py",
        'return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")',
        "return text",
        (_CARDS + "test_what_models_and_people_write_does_not_act",),
    ),
    Bug(
        "invisible characters stay invisible",
        "R15",
        "bot/slack/text.py",
        'return unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")',
        'return unicodedata.category(c) not in ("Cc",)',
        ("tests/slack/test_slack_text.py::test_what_hides_is_made_visible_and_the_rest_stays",),
    ),
    Bug(
        "Slack fetches what a model wrote",
        "R15",
        "bot/slack/poster.py",
        '"unfurl_links": False',
        '"unfurl_links": True',
        (_SCRIBE + "test_slack_fetches_no_address_that_a_model_wrote",),
    ),
    Bug(
        "a card that Slack refuses is given up",
        "R21",
        "bot/slack/scribe.py",
        "            post=sheet.pending and bool(problem),",
        "            post=False,",
        (_SCRIBE + "test_a_card_that_cannot_be_posted_goes_to_the_thread_and_the_requester_is_told",),
    ),
    Bug(
        "the lists do not follow the events",
        "R6",
        "bot/store/outbox.py",
        "        await self._lists.follow(event for _, event in told)\n",
        "",
        ("tests/store/test_lists.py::test_an_event_is_handed_out_once_the_lists_know_of_it",),
    ),
    Bug(
        "an event that only a newer version reads ends the scribe",
        "R4, R6",
        "bot/store/outbox.py",
        "            except UnknownSchema as wrong:",
        "            except ZeroDivisionError as wrong:",
        (_NEWER + "test_an_event_of_a_newer_version_is_left_for_its_scribe_and_the_others_are_drawn",),
    ),
    Bug(
        "a request that only a newer version reads never gets a card",
        "R6, R21",
        "bot/slack/scribe.py",
        "            except NewerSchema as newer:",
        "            except ZeroDivisionError as newer:",
        (_NEWER + "test_a_request_of_a_newer_version_gets_its_card_when_there_is_a_scribe_that_reads_it",),
    ),
    Bug(
        "a scribe that is told to stop waits for what it cannot draw",
        "R4",
        "bot/slack/scribe.py",
        "                task.cancel()\n            if not all",
        "                pass\n            if not all",
        (_NEWER + "test_a_scribe_that_is_told_to_stop_does_not_wait_for_what_it_cannot_draw",),
    ),
    Bug(
        "whoever wrote a message last is right",
        "R6",
        "bot/store/commit.lua",
        "    if record.field then seen(redis.call('HGET', KEYS[record.key], record.field) or '') end\n",
        "    if record.field then version = record.version end\n",
        ("tests/store/test_messages.py::test_of_two_who_write_a_message_one_wins",),
    ),
)
