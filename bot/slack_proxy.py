"""The proxy to Slack, from the usual variables; slack-sdk ignores NO_PROXY."""

from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]


def proxy_for(url: str) -> str | None:
    """Return the proxy for an address, None if there is none.

    HTTPS_PROXY, HTTP_PROXY and NO_PROXY count in upper and lower case.
    """
    parts = urlsplit(url)
    if proxy_bypass_environment(parts.netloc.rpartition("@")[2]):
        return None
    proxies: dict[str, str] = getproxies_environment()
    return proxies.get(parts.scheme)
