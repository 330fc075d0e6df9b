"""The closed list of what is compiled: which pydantic models have an equal msgspec struct, and that struct.

Equal means: the same verdict on every declared field, and the same value. What is not on the list is not guessed at.
Types: str, int, float, bool, Literal of text, models, and lists of these. Constraints: ge, gt, le, lt, min_length,
max_length. A default is text, a number or a boolean. A pattern is not listed: msgspec matches it in Python, slower
than all the rest together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from types import GenericAlias
from typing import Annotated, Any, Literal, get_args, get_origin

import annotated_types as at
import msgspec
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.errors import Refused

# A model says how strict it is, and nothing else that would change what it accepts or how it is written.
_NEEDED = {"strict": True, "allow_inf_nan": False}
_HARMLESS = {"frozen", "title", "json_schema_extra", "use_attribute_docstrings"}
_OVERRIDES = ("__get_pydantic_core_schema__", "__init__", "model_post_init")

_BOUNDS: dict[type, str] = {at.Ge: "ge", at.Gt: "gt", at.Le: "le", at.Lt: "lt"}
_LENGTHS: dict[type, str] = {at.MinLen: "min_length", at.MaxLen: "max_length"}


class NotCompiledError(Exception):
    """This model has no equal struct. The text says why, as the end of a sentence."""


def struct_of(model: type[BaseModel], inside: tuple[type[BaseModel], ...] = ()) -> type[msgspec.Struct]:
    """The frozen struct that reads and writes what `model` does.

    Raises NotCompiledError, and Refused for a list without a largest length. `inside` are the models that hold it.
    """
    _require_plain(model, inside)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, field in model.model_fields.items():
        where = f"the field {model.__name__}.{name}"
        kind = _kind(field.annotation, field.metadata, where, (*inside, model))
        default = _default(field, where)
        fields.append((name, kind) if default is PydanticUndefined else (name, kind, default))
    strict = model.model_config.get("extra") == "forbid"
    try:
        return msgspec.defstruct(
            model.__name__, fields, module=model.__module__, frozen=True, gc=False, forbid_unknown_fields=strict
        )
    except TypeError as error:
        raise NotCompiledError(f"{model.__name__} has a field without a default after one that has one") from error


def _require_plain(model: type[BaseModel], inside: tuple[type[BaseModel], ...]) -> None:
    config = dict(model.model_config)
    extra = config.pop("extra", "ignore")
    if model in inside:
        raise NotCompiledError(f"{model.__name__} holds itself")
    if any(config.pop(name, None) is not value for name, value in _NEEDED.items()):
        raise NotCompiledError(f"{model.__name__} does not set strict=True and allow_inf_nan=False")
    if extra not in ("ignore", "forbid") or config.keys() - _HARMLESS:
        raise NotCompiledError(f"the model_config of {model.__name__} has more than is compiled")
    decorators = model.__pydantic_decorators__
    if any(getattr(decorators, part.name) for part in dataclasses.fields(decorators)):
        raise NotCompiledError(f"{model.__name__} has validators, serializers or computed fields")
    own = [parent for parent in model.__mro__ if parent not in BaseModel.__mro__]
    if any(name in parent.__dict__ for parent in own for name in _OVERRIDES):
        raise NotCompiledError(f"{model.__name__} changes how pydantic makes it")


def _kind(annotation: Any, metadata: Iterable[object], where: str, inside: tuple[type[BaseModel], ...]) -> Any:
    """The msgspec type of one field or list item."""
    constraints = list(metadata)
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        for item in more:
            constraints.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    meta: dict[str, Any] = {}
    if annotation is str:
        meta = _meta(constraints, _LENGTHS, int, where)
    elif annotation is int or annotation is float:
        meta = _meta(constraints, _BOUNDS, annotation, where)
    elif get_origin(annotation) is list:
        meta = _meta(constraints, _LENGTHS, int, where)
        if "max_length" not in meta:
            raise Refused(f"In a contract, {where} needs a max_length: without one, a single record could fill memory.")
        annotation = GenericAlias(list, (_kind(get_args(annotation)[0], (), where, inside),))
    elif constraints:
        raise NotCompiledError(f"{where} has a constraint that is not compiled")
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        annotation = struct_of(annotation, inside)
    elif annotation is not bool and not _is_words(annotation):
        raise NotCompiledError(f"{where} is of a type that is not compiled")
    return Annotated.__class_getitem__((annotation, msgspec.Meta(**meta))) if meta else annotation  # type: ignore[attr-defined]


def _is_words(annotation: object) -> bool:
    return get_origin(annotation) is Literal and all(type(word) is str for word in get_args(annotation))


def _meta(constraints: list[object], names: dict[type, str], number: type, where: str) -> dict[str, int | float]:
    """Constraints as msgspec.Meta takes them."""
    meta: dict[str, int | float] = {}
    for constraint in constraints:
        name = names.get(type(constraint))
        bound = getattr(constraint, name) if name else None
        whole = type(bound) is int and abs(bound) < 2**62  # msgspec keeps bounds in 64 bits
        fits = whole or (number is float and type(bound) is float)
        if name is None or name in meta or not fits:
            raise NotCompiledError(f"{where} has a constraint that is not compiled")
        meta[name] = number(bound)
    if {"ge", "gt"} <= meta.keys() or {"le", "lt"} <= meta.keys():
        raise NotCompiledError(f"{where} has two bounds on one side")
    return meta


def _default(field: FieldInfo, where: str) -> object:
    """The field's default, PydanticUndefined where it must be given."""
    plain = field.default is PydanticUndefined or type(field.default) in (str, int, float, bool)
    named = field.alias or field.validation_alias or field.serialization_alias
    if not plain or field.default_factory or named or field.exclude or field.discriminator:
        raise NotCompiledError(f"{where} has a default, a name or an exception that is not compiled")
    return field.default
