"""Text from outside, so that it can be stored, shown and sent."""


def whole(text: str) -> str:
    """The text with `?` for each half of a surrogate pair: models that stream cut pairs in two, and names of files may
    hold halves. UTF-8 has no way to write one, so it could be neither recorded nor put to a model."""
    return text.encode("utf-8", "replace").decode()
