"""A pipeline in a file of its own, named as `path/to/file.py:variable`.

The file is run once in this process, as Python runs a program: its folder is where it imports from. Whatever is wrong
with it becomes one sentence with the line to be mended, never a traceback.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from app.errors import Refused
from app.pipeline import Pipeline

APP = Path(__file__).resolve().parents[1]
LONGEST = 300  # characters of somebody else's words in a sentence


@dataclass(frozen=True)
class Reference:
    """A variable of a file. `path` is absolute."""

    path: Path
    variable: str

    def __str__(self) -> str:
        return f"{self.path}:{self.variable}"


_loaded: dict[Path, ModuleType] = {}
_beside: dict[str, ModuleType] = {}  # what the files that were run so far imported from their folders


def is_reference(name: str) -> bool:
    """Whether it names a file; no pipeline's own name has any of these signs."""
    return ":" in name or "/" in name or name.endswith(".py")


def parse(name: str) -> Reference:
    """Raises Refused where there is no such file, or where it is not said what of it is meant."""
    file, _, variable = name.rpartition(":") if not name.endswith(".py") else (name, "", "")
    path = Path(file).expanduser().absolute()
    if path.suffix != ".py":
        raise Refused(f"{name!r} names no pipeline: say path/to/file.py:variable.", exit_code=2)
    if not path.is_file():
        raise Refused(f"There is no file {_shown(path)}.", exit_code=2)
    if not variable:
        raise Refused(f"Say which pipeline of {_shown(path)} is meant: {_there(path)}.", exit_code=2)
    return Reference(path, variable)


def load(name: str) -> Pipeline:
    """The pipeline that the file declares. Raises Refused, with file and line where there is a line."""
    reference = parse(name)
    found = vars(_module(reference.path)).get(reference.variable)
    if isinstance(found, Pipeline):
        return found
    if found is not None:
        raise Refused(
            f"{line_of(name)}: {reference.variable} is of type {type(found).__name__} and no Pipeline; say "
            f"{_there(reference.path)}.",
            exit_code=2,
        )
    raise Refused(f"{_shown(reference.path)} has no {reference.variable}; say {_there(reference.path)}.", exit_code=2)


def line_of(name: str) -> str:
    """`file.py:12`, the line on which the variable is first given a value; without a line where none is found."""
    reference = parse(name)
    for line, variable in _assigned(reference.path):
        if variable == reference.variable:
            return f"{_shown(reference.path)}:{line}"
    return _shown(reference.path)


def _there(path: Path) -> str:
    """The references that the file has, found without running it; a pattern where it has none."""
    with contextlib.suppress(SyntaxError, ValueError):
        calls = dict(_assigned(path, call="Pipeline"))
        if calls:
            return " or ".join(f"{_shown(path)}:{name}" for name in calls.values())
    return f"{_shown(path)}:VARIABLE, where VARIABLE = Pipeline(...)"


def _assigned(path: Path, call: str | None = None) -> Iterator[tuple[int, str]]:
    """Line and name of each assignment in the file itself; with `call`, of those whose value is a call of it."""
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and (call is None or _called(node.value) == call):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from ((node.lineno, target.id) for target in targets if isinstance(target, ast.Name))


def _called(value: ast.expr | None) -> str | None:
    function = value.func if isinstance(value, ast.Call) else None
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)


def _module(path: Path) -> ModuleType:
    """The file, run once."""
    if path not in _loaded:
        try:
            _loaded[path] = _run(path)
        except (Exception, SystemExit) as error:  # whatever somebody else's code raises is told by its line
            raise Refused(_told(error, path), exit_code=2) from error
    return _loaded[path]


def _run(path: Path) -> ModuleType:
    # Named by its whole path: two files with one name are two modules.
    name = f"{path.stem}_{hashlib.blake2b(str(path).encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _folder_first(path.parent), contextlib.redirect_stdout(sys.stderr):  # standard output is the command's
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def _folder_first(folder: Path) -> Iterator[None]:
    """Imports look into the folder first, and last from then on, for what a function imports later.

    A module that another file imported from another folder is not taken for this one's of the same name.
    """
    for name in [name for name, module in _beside.items() if not _lies_in(module, folder)]:
        if sys.modules.get(name) is _beside[name]:
            del sys.modules[name]
    known = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        new = {name: module for name, module in sys.modules.items() if name not in known}
        _beside.update({name: module for name, module in new.items() if _lies_in(module, folder)})


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and _is_theirs(file, folder)


def _is_theirs(file: str, folder: Path) -> bool:
    """Whether a file was written by who wrote the folder's pipeline; it may hold an environment, or this project."""
    path = Path(file)
    return path.is_relative_to(folder) and "site-packages" not in path.parts and not path.is_relative_to(APP)


def _told(error: BaseException, path: Path) -> str:
    """What the file raised as one sentence: the line in it, or in a file beside it, and what is wrong there."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [(frame.filename, frame.lineno) for frame in frames if _is_theirs(frame.filename, path.parent)]
    file, line = lines[-1] if lines else (str(path), None)
    if isinstance(error, SyntaxError) and error.filename and _is_theirs(error.filename, path.parent):
        file, line = error.filename, error.lineno
    where = _shown(Path(file)) + (f":{line}" if line else "")
    said = " ".join(str(error).split("\n")[0].split())[:LONGEST].rstrip(".:")
    if isinstance(error, ImportError):
        said = said.partition(" (")[0]  # the place of a module says nothing about the line
    match error:
        case Refused():
            return f"{where}: {error}"
        case SyntaxError():
            return f"{where}: this is no Python ({error.msg}); mend the line."
        case ModuleNotFoundError():
            return f"{where}: {said}; install it, or put it beside the file."
        case ImportError() if close := _meant(error):
            return f"{where}: {said}; did you mean {close}?"
        case ImportError():
            return f"{where}: {said}; import what there is."
        case _:
            return f"{where}: this line fails with {type(error).__name__}{': ' if said else ''}{said}; mend it."


def _meant(error: ImportError) -> str | None:
    """The nearest name that the module has, where a name was asked of it that it has not."""
    module = sys.modules.get(error.name or "")
    wanted = getattr(error, "name_from", None) or str(error).partition("'")[2].partition("'")[0]
    close = get_close_matches(wanted, dir(module) if module is not None else [], n=1)
    return close[0] if close else None


def _shown(path: Path) -> str:
    """As a person in this folder would write it."""
    with contextlib.suppress(ValueError, OSError):
        return str(path.relative_to(Path.cwd())) or "."
    return str(path)
