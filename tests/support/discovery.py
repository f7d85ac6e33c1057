"""Check what goes over the wire against Google's discovery documents of aiplatform v1 and dataform v1.

The documents are part of ``google-api-python-client``, which the Google provider brings. ``check`` raises
``AssertionError`` with every difference it finds, in requests and answers: unknown fields and parameters, wrong types,
wrong formats, wrong methods.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_FORMATS = {
    "google-duration": r"-?\d{1,12}(\.(\d{3}|\d{6}|\d{9}))?s",
    "google-datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z",
    "int64": r"-?\d{1,19}",
    "uint64": r"\d{1,20}",
}
_PYTHON = {"string": str, "boolean": bool, "integer": int, "number": (int, float), "object": dict, "array": list}
_OURS = {"string": ("string", None), "boolean": ("boolean", None), "int32": ("integer", "int32"), "any": ("any", None)}
_OUR_FORMATS = {"int64": "int64", "bytes": "byte", "duration": "google-duration", "datetime": "google-datetime"}


@functools.cache
def document() -> dict[str, Any]:
    """Read aiplatform's document, with Dataform's schemas in it: no two have one name."""
    return {**_read("aiplatform"), "schemas": {**_read("dataform")["schemas"], **_read("aiplatform")["schemas"]}}


@functools.cache
def _read(service: str) -> dict[str, Any]:
    return json.loads((resources.files("googleapiclient") / f"discovery_cache/documents/{service}.v1.json").read_text())


@functools.cache
def _methods() -> list[dict[str, Any]]:
    ours = [
        _resource("aiplatform", name) for name in ("notebookExecutionJobs", "schedules", "notebookRuntimeTemplates")
    ]
    groups = [each["methods"] for each in ours] + [each["resources"]["operations"]["methods"] for each in ours]
    repositories = _resource("dataform", "repositories")["methods"]
    found = [method for group in (*groups, repositories) for method in group.values()]
    # A name may hold a colon, so that "r:readFile" looks like one too: the paths that say more come first.
    return sorted(found, key=lambda method: ":" not in method["path"])


def _resource(service: str, name: str) -> dict[str, Any]:
    return _read(service)["resources"]["projects"]["resources"]["locations"]["resources"][name]


def check(verb: str, url: str, request: bytes | None, status: int, answer: bytes) -> None:
    """Check one exchange, as it was on the wire."""
    parts = urlsplit(url)
    if status >= 400:
        problems = list(_error_problems(json.loads(answer), status))
    else:
        method = method_of(verb, parts.path)
        problems = [
            *_query_problems(method, dict(parse_qsl(parts.query, keep_blank_values=True))),
            *_body_problems(method, request),
            *problems_of(json.loads(answer), method["response"]["$ref"], "answer"),
        ]
    assert not problems, f"{verb} {parts.path}: {problems}"


def problems_of(value: Any, schema: str, path: str, *, sent: bool = False) -> list[str]:
    """Name every way in which a value is not of a schema; in a request, read-only fields are not part of it."""
    return list(_problems(value, {"$ref": schema}, path, sent))


def method_of(verb: str, path: str) -> dict[str, Any]:
    """Find the method that a request calls."""
    # Google's own client asks for operations under /ui; the document knows them under /v1 alone.
    path = re.sub("^/(ui|v1)/", "v1/", path)
    for method in _methods():
        pattern = re.escape(method["path"])
        for name, parameter in method["parameters"].items():
            inside = parameter.get("pattern", "").removeprefix("^").removesuffix("$")
            pattern = pattern.replace(re.escape(f"{{+{name}}}"), f"(?:{inside})")
        if method["httpMethod"] == verb and re.fullmatch(pattern, path):
            return method
    raise AssertionError(f"no method in the discovery document: {verb} {path}")


def _query_problems(method: dict[str, Any], query: dict[str, str]):
    known = {**document()["parameters"], **method["parameters"]}
    for name, value in query.items():
        if name.startswith("$"):
            continue
        parameter = known.get(re.sub(r"_([a-z])", lambda match: match[1].upper(), name))
        if parameter is None or parameter["location"] != "query":
            yield f"unknown parameter {name}"
        elif parameter["type"] == "integer" and not re.fullmatch(r"-?\d+", value):
            yield f"{name} is not an integer: {value!r}"


def _body_problems(method: dict[str, Any], request: bytes | None):
    if "request" in method:
        yield from problems_of(json.loads(request or b"{}"), method["request"]["$ref"], "request", sent=True)
    elif request and json.loads(request):
        yield f"an unexpected body: {request[:80]!r}"


def _error_problems(body: Any, status: int):
    error = body.get("error", {})
    if set(body) != {"error"} or not set(error) <= {"code", "message", "status", "details"}:
        yield f"not Google's error shape: {body}"
    if error.get("code") != status or not error.get("message") or not re.fullmatch("[A-Z_]+", error.get("status", "")):
        yield f"error without code, message or status: {error}"
    yield from problems_of({key: value for key, value in error.items() if key != "status"}, "GoogleRpcStatus", "error")


def _problems(value: Any, schema: dict[str, Any], path: str, sent: bool):
    if "$ref" in schema:
        schema = document()["schemas"][schema["$ref"]]
    kind = schema.get("type", "any")
    if kind == "any":
        return
    if not isinstance(value, _PYTHON[kind]) or (kind in ("integer", "number") and isinstance(value, bool)):
        yield f"{path} is no {kind}: {value!r}"
    elif kind == "object":
        yield from _object_problems(value, schema, path, sent)
    elif kind == "array":
        for index, item in enumerate(value):
            yield from _problems(item, schema["items"], f"{path}[{index}]", sent)
    elif kind == "string":
        yield from _string_problems(value, schema, path)


def _object_problems(value: dict[str, Any], schema: dict[str, Any], path: str, sent: bool):
    if "@type" in value:  # a google.protobuf.Any says itself what it is
        name = value["@type"].rpartition(".")[2]
        rest = {key: item for key, item in value.items() if key != "@type"}
        if value["@type"].startswith("type.googleapis.com/google.cloud.aiplatform.v1."):
            yield from problems_of(rest, f"GoogleCloudAiplatformV1{name}", path)
        return
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for key, item in value.items():
        inner = properties.get(key, others)
        if inner is None:
            yield f"{path}.{key} is unknown"
        elif sent and inner.get("readOnly"):
            yield f"{path}.{key} is read-only"
        else:
            yield from _problems(item, inner, f"{path}.{key}", sent)


def _string_problems(value: str, schema: dict[str, Any], path: str):
    form = schema.get("format")
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path} is not in the enum: {value!r}"
    elif form in _FORMATS and not re.fullmatch(_FORMATS[form], value):
        yield f"{path} is no {form}: {value!r}"
    elif form == "byte" and base64.b64encode(base64.b64decode(value)).decode() != value:
        yield f"{path} is not base64"


def described(kind: Any) -> Any:
    """Write a kind of our table as the discovery document describes it."""
    if isinstance(kind, tuple):
        return set(kind)
    if isinstance(kind, list):
        return [described(kind[0])]
    if isinstance(kind, dict):
        return {name: described(inner) for name, inner in kind.items()}
    return ("string", _OUR_FORMATS[kind]) if kind in _OUR_FORMATS else _OURS.get(kind, kind)


def documented(schema: Any) -> Any:
    """Write a schema of the document in the same form."""
    if "$ref" in schema:
        properties = document()["schemas"][schema["$ref"]]["properties"]
        return {name: documented(inner) for name, inner in properties.items()}
    if "enum" in schema:
        return set(schema["enum"])
    if schema["type"] == "array":
        return [documented(schema["items"])]
    if schema["type"] == "object":
        return "labels" if schema.get("additionalProperties", {}).get("type") == "string" else ("any", None)
    return (schema["type"], schema.get("format"))
