"""The image: the Dockerfile's steps one by one in an empty folder, and what runs in the folder that they leave.

No container engine runs here. Each stage's root is a folder, absolute paths are meant in it, and the one step that
needs the network, pip's, is done with the installed packages of the same lock: those that it names and no others.
"""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from app.settings import PROJECT, Settings

DOCKERFILE = PROJECT / "ops" / "Dockerfile"
LOCK = PROJECT / "ops" / "requirements.lock"
RUN_LOCK = PROJECT / "ops" / "requirements-run.lock"
MAKE_AGAIN = (
    "Make it again: uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "
    "--constraint ops/requirements.lock pyproject.toml -o ops/requirements-run.lock"
)
MADE_HERE = (PROJECT / "models" / "recommendation" / "1" / "model.yaml").is_file()  # from data that ops/setup fetches
OF_THE_IMAGE = re.compile(r"(?<![\w./-])/(?=(?:opt|srv|build)/)")


@dataclass
class Image:
    """The folder `root` is the image's, so far as the steps have made it."""

    root: Path
    stages: dict[str, Path] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)  # USER, ENTRYPOINT and the like
    copied: list[str] = field(default_factory=list)  # from the context

    def inside(self, text: str) -> str:
        """Absolute paths of the image become those of its folder."""
        return OF_THE_IMAGE.sub(f"{self.root}/", text)

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """As in a container: nothing of this machine's environment, and not from the project's folder."""
        environment = {name: self.inside(value) for name, value in self.environment.items()}
        environment["LC_ALL"] = "C.UTF-8"
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False
        )


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether .dockerignore keeps a path from the builder: the last pattern that matches it or a folder above says."""
    above = path.split("/")
    paths = ["/".join(above[: i + 1]) for i in range(len(above))]
    answer = False
    for pattern in patterns:
        bare = re.escape(pattern.removeprefix("!"))
        expression = bare.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(expression, one) for one in paths):
            answer = not pattern.startswith("!")
    return answer


def send_context(to: Path) -> None:
    """What a builder gets of the project, as far as git may know of it; made under a umask that is narrow."""
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    for top in ("app", "schemas", "models", "ops", "tests", ".git/config", "pyproject.toml", "LICENSE", "README.md"):
        start = PROJECT / top
        for file in [start] if start.is_file() else start.rglob("*"):
            relative = file.relative_to(PROJECT)
            if file.is_file() and not ignored(relative.as_posix(), patterns):
                target = to / relative
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                target.chmod(0o600)


def copy(image: Image, context: Path, rest: str) -> None:
    *sources, target = shlex.split(rest)
    origin = context
    if sources[0].startswith("--"):
        origin = image.stages[sources.pop(0).removeprefix("--from=")]
    else:
        image.copied += sources
    for source in sources:
        found = origin / source.lstrip("/")
        to = image.root / target.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, to, symlinks=True, dirs_exist_ok=True)
        else:
            to = to / found.name if target.endswith("/") else to
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, to)


def install(image: Image, rest: str) -> None:
    """What pip would install, from what is installed: links to the packages of the lock."""
    words = shlex.split(image.inside(rest))
    assert words[:2] == ["pip", "--python"]
    assert {"install", "--require-hashes", "--no-deps", "--only-binary"} < set(words)
    assert Path(words[2]).is_file()
    (site,) = (image.root / "opt" / "streaminfer" / "lib").glob("python3.*/site-packages")
    for requirement in locked(Path(words[words.index("-r") + 1])):
        if applies(requirement):
            found = importlib.metadata.distribution(requirement.name)
            for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
                if not (site / top).exists():
                    (site / top).symlink_to(Path(str(found.locate_file(top))))


def applies(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate()


def hashes(lock: Path) -> dict[str, set[str]]:
    """The hashes of each name==version."""
    parts = re.split(r"^(?=\w)", lock.read_text(), flags=re.MULTILINE)
    return {part.split()[0]: set(re.findall(r"sha256:[0-9a-f]{64}", part)) for part in parts if part[:1].isalnum()}


def locked(lock: Path) -> list[Requirement]:
    return [Requirement(line.rstrip(" \\")) for line in lock.read_text().splitlines() if re.match(r"\w", line)]


def step(image: Image, context: Path, word: str, rest: str) -> None:
    match word:
        case "FROM":
            if image.root.exists():  # its folder takes a name, and the next stage has the same paths
                image.stages[image.told["AS"]] = image.root.rename(image.root.with_name(image.told["AS"]))
            image.root.mkdir()
            image.told = {"FROM": rest.split()[0], "AS": rest.split()[-1]}
            image.environment = {}
        case "COPY":
            copy(image, context, rest)
        case "RUN" if rest.startswith("pip "):
            install(image, rest)
        case "RUN":
            path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
            subprocess.run(["/bin/sh", "-ec", image.inside(rest)], cwd=image.root, env=path, check=True, timeout=60)
        case "ENV":
            name, _, value = rest.partition("=")
            image.environment[name] = value
        case "USER" | "WORKDIR" | "ENTRYPOINT" | "CMD":
            image.told[word] = rest
        case _:
            pytest.fail(f"{word} is an instruction that this test does not know.")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("image")
    (context := folder / "context").mkdir()
    send_context(context)
    image = Image(folder / "root")
    for word, rest in instructions():
        step(image, context, word, rest)
    return image


def files(root: Path) -> dict[str, int]:
    return {str(file.relative_to(root)): file.stat().st_mode for file in root.rglob("*") if not file.is_symlink()}


def test_the_command_answers_from_anywhere_and_writes_nothing(image: Image, tmp_path: Path) -> None:
    before = files(image.root)
    for command in (["--help"], ["run", "--help"], ["topics", "apply", "--help"]):
        done = image.run("streaminfer", *command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "Usage: streaminfer" in done.stdout
    assert files(image.root) == before
    assert list(tmp_path.iterdir()) == []


def test_a_worker_has_its_model_and_every_room_its_packages(image: Image, tmp_path: Path) -> None:
    program = """
import importlib, pkgutil, sys
import app, schemas
for package in (app, schemas):
    for room in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        # The image scores: the monitor's packages are not in it.
        if not room.name.endswith("__main__") and not room.name.startswith("app.monitor."):
            importlib.import_module(room.name)
from app.inference.load import load
from app.inference.serving import serving
from app.pipelines import PIPELINES
from app.settings import load_settings
models = load_settings(kafka="kafka:1", redis="redis://valkey").models
for pipeline in PIPELINES.values():
    if pipeline.model is not None and (models / pipeline.model_name).is_dir():
        print(load(serving(pipeline, models, {}), pipeline.features).ref)
files = {getattr(m, "__file__", None) for n, m in sys.modules.items() if n.split(".")[0] in ("app", "schemas")}
print(*files - {None})
"""
    done = image.run("python", "-W", "error", "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    *models, modules = done.stdout.splitlines()
    assert "fraud@1" in models
    assert ("recommendation@1" in models) is MADE_HERE, "it is in the image where ops/setup could make it"
    assert all(module.startswith(str(image.root / "srv")) for module in modules.split())


def test_the_process_of_a_worker_is_found_from_any_folder(image: Image, tmp_path: Path) -> None:
    done = image.run("python", "-m", "app.stream", cwd=tmp_path)
    assert "No module named" not in done.stderr
    assert "JSON" in done.stderr or "truncated" in done.stderr, "without a job there is nothing to do"


def test_it_holds_what_runs_and_nothing_else(image: Image) -> None:
    sources = image.root / "srv" / "streaminfer"
    assert {one.name for one in sources.iterdir()} == {"app", "schemas", "models", "pyproject.toml", "LICENSE"}
    models = {one.relative_to(sources).as_posix() for one in (sources / "models").rglob("*") if one.is_file()}
    made = {f"models/recommendation/1/{name}" for name in ("model.onnx", "model.yaml", "items.txt")}
    kept = {f"models/fraud/{version}/{name}" for version in (1, 2) for name in ("model.onnx", "model.yaml")}
    assert models == kept | (made if MADE_HERE else set())
    assert {one.name for one in image.root.iterdir()} == {"opt", "srv"}


def test_its_user_is_not_root_and_may_read_what_a_narrow_umask_made(image: Image) -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", image.told["USER"])
    unreadable = [name for name, mode in files(image.root / "srv").items() if not mode & 0o004]
    assert unreadable == []
    assert (image.root / "opt/streaminfer/bin/streaminfer").stat().st_mode & 0o005 == 0o005


def test_every_stage_is_of_the_same_python_in_a_whole_version() -> None:
    bases = {rest.split()[0] for word, rest in instructions() if word == "FROM"}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", bases.pop())


def test_it_starts_the_command_without_a_shell_and_its_settings_are_settings(image: Image) -> None:
    assert image.told["ENTRYPOINT"] == '["streaminfer"]'
    ours = {name for name in image.environment if name.startswith("STREAMINFER_")}
    assert {name.removeprefix("STREAMINFER_").lower() for name in ours} <= set(Settings.model_fields)


def test_the_builder_gets_no_secret_and_nothing_that_is_not_copied(image: Image) -> None:
    context = image.root.parent / "context"
    sent = {one.relative_to(context) for one in context.rglob("*") if one.is_file()}
    assert all(any(one.is_relative_to(source) for source in image.copied) for one in sent)
    assert not [one for one in sent if one.name.startswith(".") or one.suffix == ".pyc"]


def test_the_lock_of_runs_has_what_runs_need_and_no_more() -> None:
    """Found from what the installed packages say that they need: pip is told not to look, and would not miss one."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    waiting, needed = [Requirement(one) for one in project["dependencies"]], set()
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name not in needed and (one.marker is None or one.marker.evaluate({"extra": ""})):
            needed.add(name)
            waiting += [Requirement(text) for text in importlib.metadata.requires(name) or ()]
    assert {canonicalize_name(one.name) for one in locked(RUN_LOCK) if applies(one)} == needed, MAKE_AGAIN


def test_both_locks_pin_the_same_versions_and_trust_the_same_files() -> None:
    whole, run = hashes(LOCK), hashes(RUN_LOCK)
    assert run
    for pin, trusted in run.items():
        assert trusted
        assert trusted == whole.get(pin), f"{pin} differs. {MAKE_AGAIN}"
