"""A local Slack, for a demo in the browser and for honest tests.

It speaks the real protocols (Web API, Socket Mode, signed HTTP), is as strict as the real one, and knows nothing
of the app that it talks to. It keeps its state in memory and listens on loopback only.
"""

from .config import Command, Config
from .driver import LocalSlack
from .text import text_of
from .workspace import Message, User, Workspace

__all__ = ["Command", "Config", "LocalSlack", "Message", "User", "Workspace", "text_of"]
