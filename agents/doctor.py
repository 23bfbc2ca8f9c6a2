"""The checks of `countersign doctor worker`."""

from redis.asyncio import Redis

from countersign.doctor import Findings
from countersign.frameworks.autogen.models.config import load_model
from countersign.process_settings import WorkerSettings, read
from countersign.runs.area import Area
from countersign.runs.service import HttpService
from countersign.store.redis.connection import connect

from . import registry
from .__main__ import area_of, checked_folder


async def check(findings: Findings) -> None:
    """Check the settings, Redis, the model's configuration and the team files."""
    found = findings.read(_opened)
    if found is None:
        return
    settings, client = found
    findings.ops_port(settings.ops_port)
    async with client:
        area = area_of(settings, client)
        await findings.check("Redis", area.check(), "Redis answers, and forgets nothing when memory is short.")
        await findings.check("web", _reached(area), lambda url: f"`web` answers at {url}.")

    async def loaded() -> str:
        await load_model(settings.model_config_file).close()
        return "the offline demo model" if settings.model_config_file is None else str(settings.model_config_file)

    await findings.check("The model", loaded(), lambda name: f"Agents use {name}; it was not asked.")
    await findings.check("TEAMS", _teams(findings, settings), lambda names: f"Teams: {', '.join(names) or 'none'}.")


def _opened() -> tuple[WorkerSettings, Redis]:
    settings = read(WorkerSettings)
    return settings, connect(settings.redis_url.get_secret_value())


async def _reached(area: Area) -> str:
    async with HttpService(area.address) as service:
        await service.read_back([], [])
        return service.url


async def _teams(findings: Findings, settings: WorkerSettings) -> list[str]:
    teams = registry.find(checked_folder(settings))
    for name, why in teams.broken.items():
        findings.wrong(f"The team “{name}” cannot be started: {why}")
    return sorted(teams.working)
