"""One request of an operator who is signed in."""

from collections.abc import Mapping
from uuid import UUID

from aiohttp import web
from attrs import field, frozen

from control_plane.console.notices import PARAMETER
from control_plane.console.submission import FormState
from control_plane.http.http_call import Call
from control_plane.http.operation import OperatorsOperation
from control_plane.operators.authenticated_operator import AuthenticatedOperator
from control_plane.reading.query_reader import QueryReader
from control_plane.sessions.session import Session
from control_plane.sessions.sessions import OpenSession

_EMPTY = FormState()


@frozen
class Visit:
    """Who asks, for what, and which form was refused."""

    request: web.Request
    opened: OpenSession
    refused: Mapping[str, FormState] = field(factory=dict)  # by the form's name

    @property
    def operator(self) -> AuthenticatedOperator:
        """Who asks, as of now."""
        return self.opened.operator

    @property
    def session(self) -> Session:
        """The session that the browser is in."""
        return self.opened.session

    def may(self, operation: OperatorsOperation, *fields: str) -> bool:
        """Tell whether the operator's role may do this, with these fields of its body true."""
        return operation.allows(self.operator.role, *fields)

    def form(self, name: str) -> FormState:
        """Return the state of a form: empty, or as it was refused."""
        return self.refused.get(name, _EMPTY)

    def path_id(self, noun: str) -> UUID:
        """Return the id in the path; raise `NotFoundError` if it is not one of a `noun`."""
        return Call(self.request, self.operator).path_id(noun)

    def query(self) -> QueryReader:
        """Return the address's query, without what the console itself puts there.

        Blank parameters are left out: a form of filters sends every field.
        """
        query = self.request.query
        given = {name: [text for text in query.getall(name) if text] for name in query}
        given.pop(PARAMETER, None)
        return QueryReader({name: texts for name, texts in given.items() if texts})
