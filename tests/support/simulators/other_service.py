"""What answers where the control plane is thought to be, with answers almost of its form.

An answer is made of the schemas of `openapi.json`, so that a command finds in it what it reads. A
test then takes a field out of it, or puts something of another type there.
"""

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import orjson
from attrs import define, field

from control_plane.http.openapi import description
from tests.support.simulators.admin_api import TOKEN

Json = dict[str, Any]
Place = tuple[str | int, ...]  # names and indexes, from the outside

ID = "3f2a1b4c-0000-4000-8000-000000000000"
FINGERPRINT = "sha256:" + "0" * 64
MISSING = object()
_BY_NAME = {
    "host": "ghcr.io",
    "repository_prefix": "",
    "role": "approver",
    "status": "approved",
    "next_cursor": None,
    "ca_certificate": None,
    "problem": None,
    "field": "google",
    "issuer": "of no https URL, so nobody is asked",
    "set_name": "production",
    "section": "login",
}


@define
class OtherService:
    """Answers each operation with what its schema says, changed in one place."""

    changed_in: str = ""  # METHOD PATH
    changed_at: Place = ()
    changed_to: object = None
    asked: list[str] = field(factory=list)
    _document: Json = field(factory=description)

    def answer_of(self, method: str, path: str) -> Any:
        """Return the answer of an operation as the schema has it; None if it has no content."""
        operation = self._operation(method.lower(), path)
        done = next(found for status, found in operation["responses"].items() if status[0] == "2")
        content = done.get("content", {}).get("application/json")
        return content and self._made(content["schema"], "")

    def _operation(self, method: str, path: str) -> Json:
        for template, operations in self._document["paths"].items():
            pattern = re.sub(r"\{[^}]*\}", "[^/]+", template)
            if method in operations and re.fullmatch(pattern, path):
                return dict(operations[method])
        raise KeyError(path)

    def _made(self, schema: Json, name: str) -> Any:
        """Return a value of a schema; a field's name says more of it."""
        match schema:
            case _ if name in _BY_NAME:
                made: Any = _BY_NAME[name]
            case {"$ref": reference}:
                named = reference.rpartition("/")[2]
                made = self._made(self._document["components"]["schemas"][named], name)
            case {"anyOf": [first, *_]} | {"oneOf": [first, *_]}:
                made = self._made(first, name)
            case {"enum": [first, *_]}:
                made = first
            case {"type": "object"}:
                fields = schema.get("properties", {"name": {"type": "string"}})
                made = {each: self._made(inner, each) for each, inner in fields.items()}
            case {"type": "array", "items": items}:
                made = [self._made(items, name)]
            case {"type": "string"}:
                made = _text(schema)
            case {"type": "integer" | "number"}:
                made = 1
            case {"type": "boolean"}:
                made = True
            case _:  # of any type: what an act changed
                made = {"client_email": "robot"}
        return made

    def body(self, method: str, path: str) -> bytes | None:
        """Return what is sent: the answer with the change, where it has that place."""
        self.asked.append(f"{method} {path}")
        answer = self.answer_of(method, path)
        is_changed = self.changed_at and self.changed_in == f"{method} {path}"
        return orjson.dumps(self._changed(answer) if is_changed else answer) if answer else None

    def _changed(self, answer: Any) -> Any:
        changed = copy.deepcopy(answer)
        *outer, last = self.changed_at
        found = changed
        for each in outer:
            found = found[each]
        if self.changed_to is MISSING:
            del found[last]
        else:
            found[last] = self.changed_to
        return changed


def places_of(answer: Any, before: Place = ()) -> Iterator[Place]:
    """Yield every place in an answer."""
    items: Any = answer.items() if isinstance(answer, dict) else ()
    if isinstance(answer, list):
        items = enumerate(answer)
    for name, inner in items:
        yield (*before, name)
        yield from places_of(inner, (*before, name))


@contextmanager
def serving(service: OtherService) -> Iterator[dict[str, str]]:
    """Serve it in a thread; yield the settings of a command that asks it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = service.body(self.command, self.path.partition("?")[0])
            self.send_response(204 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        yield {"CONTROL_PLANE_URL": url, "CONTROL_PLANE_TOKEN": TOKEN}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _text(schema: Json) -> str:
    match schema.get("format"):
        case "uuid":
            return ID
        case "date-time":
            return "2026-11-29T00:00:00.000Z"
        case "uri":
            return "https://auth.example"
    return FINGERPRINT if "sha256" in schema.get("pattern", "") else "text"
