"""The command of keys as the demo starts it."""

import os
import subprocess
import sys

from countersign.domain import api_keys


def test_the_module_makes_a_key_and_prints_it_alone(redis_url: str, namespace: str) -> None:
    command = (sys.executable, "-m", "bot.api.keys_cli", "create", "--name", "demo", "--channel", "#general")
    environment = {**os.environ, "REDIS_URL": redis_url, "NAMESPACE": namespace}
    made = subprocess.run(command, env=environment, check=True, text=True, capture_output=True)
    assert api_keys.parts_of(made.stdout.strip()) is not None
