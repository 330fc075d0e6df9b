"""JSON Schema of what a topic carries, generated from its pydantic model, for those who do not read Python."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema

from schemas.topics import TopicContract

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class _Untitled(GenerateJsonSchema):
    """Without the titles that pydantic makes of field names: they say nothing new and make every diff longer."""

    def field_title_should_be_set(self, schema: CoreSchema | Any) -> bool:  # noqa: ARG002  # pydantic's signature
        return False


def json_schema(contract: TopicContract) -> dict[str, Any]:
    """The schema of a topic's values, draft 2020-12. The same model gives the same dict, in the same order.

    It is looser than the contract in one thing, which JSON Schema cannot say: 1.0 is no integer for the contract.
    """
    body = contract.model.model_json_schema(schema_generator=_Untitled)
    return {"$schema": DIALECT, "$id": f"streaminfer:{contract.name}", **body}
