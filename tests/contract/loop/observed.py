"""A run that is seen from outside, with workers whose fate is planned: `python -m tests.contract.loop.observed`.

Takes one line of JSON: tag, settings, workers, and the words of `watched` behind its tag. Prints where it answers, and
then what its supervisor tells.
"""

from __future__ import annotations

import json
import sys

from app.settings import Settings
from app.stream.supervisor import Supervisor
from app.telemetry.logs import begin_logs
from app.telemetry.outside import Outside
from tests.contract.loop.rig import pipeline_of


def main() -> int:
    job = json.loads(sys.stdin.readline())
    settings, pipeline = Settings.model_validate(job["settings"]), pipeline_of(job["tag"])
    begin_logs(settings, pipeline=pipeline.name)
    with Outside(settings, pipeline) as outside:
        print(json.dumps({"event": "url", "url": outside.url}), flush=True)

        def hear(event: dict[str, object]) -> None:
            outside.hear(event)
            if event["event"] != "report":
                print(json.dumps(event), flush=True)

        command = (sys.executable, "-m", "tests.contract.loop.watched", job["tag"], *job["fate"])
        supervisor = Supervisor(
            settings, pipeline.name, instance="seen", workers=job["workers"], tell=hear, command=command
        )
        outside.turned = lambda: supervisor.turned
        return supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
