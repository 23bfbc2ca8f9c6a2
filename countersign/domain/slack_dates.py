"""A moment as Slack shows it: by the clock and in the zone of whoever reads, and "today" where it was."""

from datetime import datetime


def when(at: datetime) -> str:
    """In mrkdwn; where nothing else can be shown, in UTC."""
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time_secs}}|{at:%Y-%m-%d %H:%M:%S} UTC>"
