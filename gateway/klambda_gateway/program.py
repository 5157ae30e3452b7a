"""The gateway's process, which `python -m klambda_gateway` runs.

Settings come from the environment (``settings``), the Kubernetes API from the pod's service account
or a kubeconfig. SIGTERM and SIGINT end it without losing a request.
"""

from __future__ import annotations

import uvloop

from klambda_gateway.app import Gateway
from klambda_gateway.process import Process, prepare
from klambda_gateway.settings import Settings, SettingsError, from_environment
from klambda_kube import config as kube_config
from klambda_kube.api import Api
from klambda_kube.config import ConfigError
from klambda_kube.trust import BadBundle
from klambda_obs import logs
from klambda_obs.ending import call_when_told
from klambda_obs.metrics import Metrics

_log = logs.get("klambda.gateway")


async def serve(settings: Settings) -> None:
    """Run a gateway until a signal ends it."""
    metrics = Metrics("gateway")
    async with Api(kube_config.load(), observe=metrics.observe_kube) as api:
        key = await prepare(settings, api)
        process = Process(Gateway(settings, api, metrics, key))
        call_when_told(process.stop.set)
        await process.run()


def main() -> int:
    """Return the process's exit status."""
    try:
        settings = from_environment()
    except SettingsError as error:
        logs.setup()
        _log.error("bad-settings", error=str(error))
        return 2
    logs.setup(settings.log_level)
    try:
        uvloop.run(serve(settings))
    except ConfigError as error:
        _log.error("no-cluster", error=str(error))
        return 2
    except BadBundle as error:
        _log.error("bad-settings", error=str(error))
        return 2
    except Exception:  # noqa: BLE001  the end of the process: say why
        _log.exception("gateway-failed")
        return 1
    return 0
