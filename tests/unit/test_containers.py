"""The compose file: what must hold for its containers to start, to find each other, and to be contained.

No container engine runs here, so it is read: it is held against the compose specification's schema, and what it says
against the command line, the settings and the broker that `streaminfer up` starts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from jsonschema.validators import validator_for

from app.cli.main import cli
from app.local.broker import Broker
from app.local.broker import settings as local_settings
from app.pipelines import PIPELINES
from app.settings import PROJECT, Settings
from app.simulate.events import LABEL_DELAY_MS
from app.stream.supervisor import LEAVE_S
from app.telemetry import ask

FILE = PROJECT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("streaminfer:")}
SCORING, SIMULATING = {"scorer", "outcomes"}, {"simulator", "outcomes-simulator"}
WATCHING = {"prometheus", "grafana"}
FILES = {"./ops/prometheus", "./ops/grafana/provisioning", "./ops/grafana/dashboards"}
INTERPOLATED = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
# What one broker is told that depends on where it runs, or that only a container has.
PLACED = {
    "node.id", "controller.quorum.voters", "controller.listener.names", "inter.broker.listener.name", "listeners",
    "advertised.listeners", "listener.security.protocol.map", "log.dirs",
}  # fmt: skip
# Without these, transactions wait for brokers that there are not, or the log loses what exactness stands on.
NEEDED = {
    "transaction.state.log.replication.factor", "transaction.state.log.min.isr", "offsets.topic.replication.factor",
    "auto.create.topics.enable", "log.message.timestamp.type", "log.retention.ms", "offsets.retention.minutes",
}  # fmt: skip
DAY_MS = 86_400_000
NOT_PROPERTIES = {"KAFKA_HEAP_OPTS"}


def every(names: Iterable[str] = SERVICES) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", sorted(names))


def interpolated(text: str) -> str:
    """As Compose reads it where no variable is set."""
    return INTERPOLATED.sub(r"\1", text)


def seconds(duration: str) -> float:
    found = re.fullmatch(r"(\d+)s", duration)
    assert found is not None, f"{duration} is not in seconds"
    return float(found[1])


def parsed(arguments: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Parses a command as the shell would give it, and runs nothing. Raises click's error for what is not a command."""
    command: Any = typer.main.get_command(cli)
    path: list[str] = []
    context, rest = None, list(arguments)
    while hasattr(command, "resolve_command"):
        context = command.make_context("streaminfer", rest, parent=context)
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        path.append(name)
    return path, command.make_context(path[-1], rest, parent=context).params


def environments() -> Iterator[tuple[str, str]]:
    for name, service in OURS.items():
        for variable in service.get("environment", {}):
            yield name, variable


def properties() -> dict[str, str]:
    """What the image makes of Kafka's environment: KAFKA_LOG_DIRS is log.dirs."""
    return {
        key.removeprefix("KAFKA_").lower().replace("_", "."): interpolated(value)
        for key, value in SERVICES["kafka"]["environment"].items()
        if key.startswith("KAFKA_") and key not in NOT_PROPERTIES
    }


def refused(compose: Any) -> list[str]:
    """What the compose specification's schema does not allow; the schema is taken from a package that carries it."""
    carried = distribution("check-jsonschema").locate_file("check_jsonschema/builtin_schemas/vendor/compose-spec.json")
    schema = json.loads(Path(str(carried)).read_text())
    validator = validator_for(schema)
    validator.check_schema(schema)
    return [f"{error.json_path}: {error.message}" for error in validator(schema).iter_errors(compose)]


def test_it_is_what_the_compose_specification_allows() -> None:
    assert refused(COMPOSE) == []


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("stop_grace_period: 20s", "stop_grace_periods: 20s", "stop_grace_periods"),
        ("condition: service_healthy", "condition: service_well", "service_well"),
        ("retries: 12", "retries: [12]", "retries"),
    ],
)
def test_what_the_specification_does_not_allow_is_noticed(right: str, wrong: str, told: str) -> None:
    text = FILE.read_text()
    assert right in text
    found = refused(yaml.safe_load(text.replace(right, wrong)))
    assert found
    assert any(told in one for one in found), found


def test_it_has_the_parts_that_scoring_needs_and_nothing_obsolete() -> None:
    assert set(SERVICES) == {"kafka", "valkey", "topics"} | SCORING | SIMULATING | WATCHING
    assert set(OURS) == {"topics"} | SCORING | SIMULATING
    assert "version" not in COMPOSE


@every()
def test_an_image_is_pinned_to_a_whole_version(name: str) -> None:
    assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_one_service_builds_the_image_of_ours_and_the_others_wait_for_it() -> None:
    builders = [name for name, service in SERVICES.items() if "build" in service]
    assert builders == ["topics"]
    build = SERVICES["topics"]["build"]
    assert (PROJECT / build["context"] / build["dockerfile"]).is_file()
    assert len({service["image"] for service in OURS.values()}) == 1
    assert all("topics" in OURS[name]["depends_on"] for name in OURS if name != "topics")


def test_the_image_is_of_the_projects_version() -> None:
    version = re.search(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert SERVICES["topics"]["image"] == f"streaminfer:{version[1]}"


@every()
def test_a_service_waits_only_for_what_can_come_true(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        other = SERVICES[needed]
        assert other.get("profiles") in (None, SERVICES[name].get("profiles")), f"{needed} is not always there"
        match how["condition"]:
            case "service_healthy":
                assert "test" in other["healthcheck"]
            case "service_completed_successfully":
                assert other["restart"] == "no", f"{needed} would never be at its end"
            case condition:
                pytest.fail(f"{condition} says nothing about whether {needed} can be used.")


@every(set(SERVICES) - set(OURS))
def test_a_server_is_asked_whether_it_is_healthy_and_gets_the_time_to_be(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert seconds(check["timeout"]) <= seconds(check["interval"])
    assert seconds(check["start_period"]) + check["retries"] * seconds(check["interval"]) >= 60


@every(SCORING)
def test_a_scorer_is_asked_whether_it_is_ready_by_a_command_of_its_own(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    kind, program, *words = check["test"]
    assert (kind, program) == ("CMD", "streaminfer"), "no shell, and the image has no curl"
    path, flags = parsed(words)
    assert (path, flags["alive"]) == (["health"], False)
    assert seconds(check["timeout"]) > ask.PATIENCE_S, "its own patience ends first, and it says what is wrong"
    assert seconds(check["timeout"]) <= seconds(check["interval"])
    assert seconds(check["start_period"]) >= 60


@every(SCORING)
def test_what_a_scorer_observes_is_for_the_other_containers_alone(name: str) -> None:
    environment = SERVICES[name]["environment"]
    observed = Settings(kafka="k:1", redis="redis://r:1", observe=environment["STREAMINFER_OBSERVE"]).observe
    assert observed.rpartition(":")[0] == "0.0.0.0"
    assert "ports" not in SERVICES[name]
    assert environment["STREAMINFER_LOG_FORMAT"] == "json"


@every()
def test_a_container_is_limited_in_memory_processors_and_processes(name: str) -> None:
    limits = SERVICES[name]["deploy"]["resources"]["limits"]
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert 0 < float(limits["cpus"]) <= 2, "an engine refuses more processors than it has, and two are what we ask for"
    assert limits["pids"] > 0


@every()
def test_a_container_has_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & set(service)
    assert service.get("read_only") is (None if name == "kafka" else True)  # its image writes its configuration


@every(OURS)
def test_ours_can_write_to_tmp_and_nowhere_else(name: str) -> None:
    assert [mount.partition(":")[0] for mount in OURS[name]["tmpfs"]] == ["/tmp"]
    assert "volumes" not in OURS[name]


@every()
def test_only_named_volumes_are_mounted_and_each_is_declared(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, target = volume.partition(":")
        assert target.startswith("/")
        if source in FILES:  # of this project, to be read
            assert (PROJECT / source).is_dir()
            assert target.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@every()
def test_a_published_port_is_on_loopback(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


@every()
def test_the_environment_is_text_for_yaml_would_rewrite_numbers_and_booleans(name: str) -> None:
    assert all(isinstance(value, str) for value in SERVICES[name].get("environment", {}).values())
    command = SERVICES[name].get("command", [])
    assert all(isinstance(part, str) for part in command)
    assert isinstance(command, list), "a shell in between would not hand on SIGTERM"


@every(OURS)
def test_a_command_of_ours_is_one_that_the_command_line_takes(name: str) -> None:
    path, flags = parsed(OURS[name]["command"])
    assert path == (["topics", "apply"] if name == "topics" else ["run"] if name in SCORING else ["produce"])
    if name in SCORING:
        assert flags["pipeline"] in PIPELINES
        assert not flags["until_end"]
    if name in SIMULATING:
        assert flags["simulate"]
        assert flags["topic"] in {pipeline.source.name for pipeline in PIPELINES.values()}


def test_what_is_simulated_is_what_is_scored_and_the_outcomes_come_first() -> None:
    scored = {PIPELINES[parsed(OURS[name]["command"])[1]["pipeline"]].source.name for name in SCORING}
    flags = {found["topic"]: found for name in SIMULATING for found in [parsed(OURS[name]["command"])[1]]}
    assert set(flags) == scored == {"payments", "payments.labels"}
    payments, outcomes = flags["payments"], flags["payments.labels"]
    assert payments["rate"] == outcomes["rate"], "one of them would run away from the other"
    days_early = LABEL_DELAY_MS / DAY_MS + (outcomes["start_day"] or 0) - payments["start_day"]
    assert days_early >= 1, "answers would be marked behind"


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option: --rates"):
        parsed(["produce", "payments", "--rates", "500"])


@pytest.mark.parametrize(("name", "variable"), list(environments()))
def test_a_variable_of_ours_is_a_setting(name: str, variable: str) -> None:
    assert variable.removeprefix("STREAMINFER_").lower() in Settings.model_fields


@every(OURS)
def test_addresses_name_a_service_and_a_port_it_listens_on(name: str) -> None:
    environment = OURS[name]["environment"]
    assert f"INSIDE://{environment['STREAMINFER_KAFKA']}" in properties()["advertised.listeners"].split(",")
    if name in SCORING:
        assert environment["STREAMINFER_REDIS"] == "redis://valkey:6379/0"
    assert set(re.findall(r"(?:^|//)(\w+):", " ".join(environment.values()))) <= {*SERVICES}


@every(SCORING)
def test_what_scores_can_be_scaled(name: str) -> None:
    """Each container is its own host, and a host's name makes the instance's."""
    scorer = SERVICES[name]
    assert not {"container_name", "hostname", "ports", "network_mode", "uts"} & set(scorer)
    assert parsed(scorer["command"])[1]["instance"] is None


def test_simulators_cannot_be_scaled_and_are_there_only_when_asked_for() -> None:
    assert all(SERVICES[name]["profiles"] == ["simulate"] for name in SIMULATING)
    assert len({SERVICES[name]["container_name"] for name in SIMULATING}) == len(SIMULATING)
    assert all(SERVICES[name]["profiles"] == ["watch"] for name in WATCHING)
    assert all("profiles" not in service for name, service in SERVICES.items() if name not in SIMULATING | WATCHING)


def test_prometheus_asks_each_scorer_where_it_observes() -> None:
    (job,) = yaml.safe_load((PROJECT / "ops" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    (names,) = job["dns_sd_configs"]
    assert set(names["names"]) == SCORING
    assert {SERVICES[name]["environment"]["STREAMINFER_OBSERVE"] for name in SCORING} == {f"0.0.0.0:{names['port']}"}


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    grafana, provisioning = SERVICES["grafana"], PROJECT / "ops" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (files,) = yaml.safe_load((provisioning / "dashboards" / "files.yml").read_text())["providers"]
    mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in grafana["volumes"]}
    folder = PROJECT / mounted[files["options"]["path"]]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (folder / home.name).is_file()


@every(SCORING)
def test_a_scorer_that_is_told_to_stop_gets_the_time_to_finish_its_transaction(name: str) -> None:
    grace = seconds(SERVICES[name]["stop_grace_period"])
    assert grace > LEAVE_S
    assert grace > Settings.model_fields["commit_deadline_s"].default
    assert grace * 1000 > Settings.model_fields["transaction_timeout_ms"].default


@every(SCORING)
def test_a_scorer_that_gives_up_is_not_started_for_ever(name: str) -> None:
    assert re.fullmatch(r"on-failure:\d", SERVICES[name]["restart"])


def test_kafka_is_told_what_the_local_one_is_told() -> None:
    broker = Broker(1, PROJECT, 9092, 9093)
    local = local_settings(broker, [broker])
    told = {key: value for key, value in properties().items() if key not in PLACED}
    assert told == {key: local[key] for key in told}
    assert set(told) >= NEEDED


def test_kafkas_listeners_fit_together() -> None:
    found = properties()
    listeners = dict(one.split("://") for one in found["listeners"].split(","))
    advertised = dict(one.split("://") for one in found["advertised.listeners"].split(","))
    protocols = dict(one.split(":") for one in found["listener.security.protocol.map"].split(","))
    assert set(protocols) == set(listeners) == {*advertised, found["controller.listener.names"]}
    assert found["inter.broker.listener.name"] in advertised
    number, _, controller = found["controller.quorum.voters"].partition("@")
    assert number == found["node.id"]
    assert controller == f"localhost{listeners['CONTROLLER']}"
    published, inside = interpolated(SERVICES["kafka"]["ports"][0]).removeprefix("127.0.0.1:").split(":")
    assert listeners["OUTSIDE"] == f":{inside}"
    assert advertised["OUTSIDE"] == f"localhost:{published}"
    assert f"localhost{listeners['INSIDE']}" in SERVICES["kafka"]["healthcheck"]["test"][1]
    assert [volume.partition(":")[2] for volume in SERVICES["kafka"]["volumes"]] == [found["log.dirs"]]


def test_valkey_keeps_what_it_is_given_or_refuses_it() -> None:
    words = SERVICES["valkey"]["command"][1:]
    flags = dict(zip(words[::2], words[1::2], strict=True))
    assert flags["--maxmemory-policy"] == "noeviction"
    assert (flags["--appendonly"], flags["--appendfsync"], flags["--save"]) == ("yes", "everysec", "")
    megabytes = int(flags["--maxmemory"].removesuffix("mb"))
    assert SERVICES["valkey"]["deploy"]["resources"]["limits"]["memory"] == "1G"
    assert megabytes <= 1024 / 2, "rewriting the log may take as much again"
