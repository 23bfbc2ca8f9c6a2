"""Which channels the app is in is written down for programs that start runs by themselves."""

from bot.slack.handlers.context import Services
from bot.slack.people import channel_membership
from countersign.store.store import Store
from localslack import LocalSlack


async def test_channels_of_the_app_are_stored(slack: LocalSlack, store: Store, bot: Services) -> None:
    """R21"""
    assert await store.channels() is None
    await channel_membership.note(store, bot.directory)
    known = await store.channels()
    assert known is not None and slack.channel("#general").id in known
    assert known == {*(await bot.directory.channels() or {}).values()}
    assert await store.channel_names() == await bot.directory.channels()
    for key in (store.keys.channels, store.keys.channel_names):
        assert 0 < await store.client.pttl(key) <= 600_000
