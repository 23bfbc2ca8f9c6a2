"""A house for each test, as the tests of AutoGen's teams have it."""

from tests.autogen.conftest import house

__all__ = ["house"]
