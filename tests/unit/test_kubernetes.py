"""The manifest that scales the scorers: what it names is there, and what it says agrees with the product.

No cluster runs here, so it is read.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from app.pipelines import PIPELINES
from app.settings import PROJECT, Settings
from app.stream.supervisor import LEAVE_S
from app.telemetry.exposition import Exposition
from app.telemetry.fleet import Fleet
from app.telemetry.watch import Answer, Topic
from tests.unit.telemetry.fleets import owned
from tests.unit.test_containers import SERVICES, parsed

DEPLOYMENT, SCALED = yaml.safe_load_all((PROJECT / "ops" / "k8s" / "scorer.yaml").read_text())
POD: dict[str, Any] = DEPLOYMENT["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
ENVIRONMENT = {one["name"].removeprefix("STREAMINFER_").lower(): one["value"] for one in CONTAINER["env"]}
(TRIGGER,) = SCALED["spec"]["triggers"]


def exposed(wanted: int | None) -> str:
    """The metrics of a run of which so many workers are wanted."""
    topic = owned(0, 1).value
    assert topic is not None
    answer = Answer(Topic(topic.ends, topic.owners, wanted), 0.01, "")
    return Exposition("fraud", Fleet()).text(ready=True, kafka=answer, redis=Answer(True, 0.001, "")).decode()


def test_the_command_is_one_that_the_command_line_takes() -> None:
    path, flags = parsed(CONTAINER["args"])
    assert path == ["run"]
    assert flags["pipeline"] in PIPELINES
    assert flags["workers"] == 1, "the number that is followed counts workers, and what is scaled are pods"
    assert flags["instance"] is None, "pods of one name would fence each other"
    assert not flags["until_end"]


def test_the_environment_is_settings_that_hold() -> None:
    assert set(ENVIRONMENT) <= set(Settings.model_fields)
    assert all(isinstance(value, str) for value in ENVIRONMENT.values())
    settings = Settings(**ENVIRONMENT)
    plain = Settings(kafka="k:1", redis="redis://r:1")
    assert (settings.worker_rate, settings.drain_s) == (plain.worker_rate, plain.drain_s)
    port = next(port for port in CONTAINER["ports"] if port["name"] == "metrics")
    assert settings.observe.rpartition(":")[2] == str(port["containerPort"])


def test_what_it_scales_on_is_exposed() -> None:
    name, pipeline = re.search(r'(streaminfer_\w+){pipeline="(\w+)"}', TRIGGER["metadata"]["query"]).groups()  # type: ignore[union-attr]
    assert pipeline == parsed(CONTAINER["args"])[1]["pipeline"]
    assert f'{name}{{pipeline="{pipeline}"}} 3.0' in exposed(3).splitlines()
    assert name not in exposed(None), "a number that is not known is not there"


def test_it_scales_the_deployment_between_one_and_the_partitions() -> None:
    spec = SCALED["spec"]
    assert (SCALED["apiVersion"], SCALED["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert spec["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    partitions = PIPELINES[parsed(CONTAINER["args"])[1]["pipeline"]].partitions
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (1, partitions)
    assert 1 <= spec["fallback"]["replicas"] <= partitions
    assert "replicas" not in DEPLOYMENT["spec"]
    assert (TRIGGER["metricType"], TRIGGER["metadata"]["threshold"]) == ("AverageValue", "1")


def test_it_goes_down_slowly_and_a_pod_has_the_time_to_leave() -> None:
    behavior = SCALED["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] > behavior["scaleUp"]["stabilizationWindowSeconds"]
    assert POD["spec"]["terminationGracePeriodSeconds"] > LEAVE_S


def test_its_pods_are_those_that_it_selects_and_of_the_projects_image() -> None:
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"].items() <= POD["metadata"]["labels"].items()
    assert CONTAINER["image"] == SERVICES["scorer"]["image"]
    assert {probe["httpGet"]["path"] for probe in (CONTAINER["readinessProbe"], CONTAINER["livenessProbe"])} == {
        "/readyz",
        "/healthz",
    }


def test_its_pods_have_no_rights_and_write_to_tmp_alone() -> None:
    pod, container = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"]
    assert f"{pod['runAsUser']}:{pod['runAsGroup']}" == SERVICES["scorer"]["user"]
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in CONTAINER["volumeMounts"]] == ["/tmp"]
