"""One fault of the drill, where there is a Prometheus; `make drill` makes all of them."""

import shutil
from pathlib import Path

import pytest

from tests.drill.__main__ import drill
from tests.drill.faults import FAULTS


@pytest.mark.slow  # processes, and Prometheus
async def test_dead_workers_fire_their_alert_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R46"""
    if (binary := shutil.which("prometheus")) is None:
        pytest.skip("prometheus is not on the PATH: install it.")
    monkeypatch.setenv("TEST_REDIS_URL", "")
    [fault] = [fault for fault in FAULTS if fault.alert == "NoWorkers"]
    outcome = await drill(fault, binary, tmp_path)
    assert outcome.alerts == {"NoWorkers"}
