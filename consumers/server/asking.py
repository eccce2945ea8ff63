"""What is sent along: JSON from a program, or the fields of a form, as one model."""

from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError

from agent.errors import BadRecord
from agent.tree import refusal
from consumers.formats import documents
from consumers.server.bodies import MARKS

FORM = "application/x-www-form-urlencoded"
_FIELDS_MOST, _DEPTH = 32, 16

Told = TypeVar("Told", bound=BaseModel)


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of a form that were filled in; of one that is given twice the last."""
    try:
        found = parse_qs(body.decode("ascii", "replace"), max_num_fields=_FIELDS_MOST)
    except ValueError:
        raise HTTPException(422, f"body: has more than {_FIELDS_MOST} fields") from None
    return {name: values[-1] for name, values in found.items()}


def is_form(request: Request) -> bool:
    """Whether a page of ours asks, and not a program."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


def document_of(body: bytes, most: int) -> Any:
    """The JSON document of a body; 422 says why it is none."""
    try:
        documents.check_size(body, most)
        if sum(map(body.count, (b"[", b"{", b","))) > MARKS:
            raise BadRecord("too_large", f"more than {MARKS} brackets and commas")
        document, _ = documents.load(body)
        documents.check_depth(body, document, _DEPTH)
    except BadRecord as error:
        raise HTTPException(422, f"body: {error}") from None
    return document


def told(model: type[Told], document: Any) -> Told:
    """A document as a model; 422 names the first key that is wrong."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise HTTPException(422, str(refusal(error, "body"))) from None


def body_of(model: type[BaseModel], *, form: bool = False) -> dict[str, Any]:
    """The description of such a body for OpenAPI; a field of a form may be left empty."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": schema}}
    if form:
        fields = {name: {"type": "string"} for name in schema["properties"]}
        content[FORM] = {"schema": schema | {"properties": fields}}
    return {"requestBody": {"required": True, "content": content}}
