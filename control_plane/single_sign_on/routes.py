"""The API's routes of single sign-on."""

from aiohttp import web
from attrs import frozen

from control_plane.http.http_call import json_response
from control_plane.http.http_route import OpenHandler
from control_plane.single_sign_on import operations
from control_plane.single_sign_on.configuration import SingleSignOn


@frozen
class SignOnRoutes:
    """Says how to log in; nothing of it is secret."""

    _settings: SingleSignOn | None

    def open_routes(self) -> tuple[tuple[str, OpenHandler], ...]:
        """Return what anybody may GET."""
        return ((operations.SHOW_LOGIN.path, self.show_login),)

    async def show_login(self, _: web.Request) -> web.Response:
        """Say where a program gets an access token, if there is a public client for that."""
        settings = self._settings
        if settings is None or settings.cli_client_id is None:
            return json_response({"single_sign_on": None})
        return json_response(
            {
                "single_sign_on": {
                    "issuer": settings.issuer,
                    "client_id": settings.cli_client_id,
                    "audience": settings.audience,
                    "audience_parameter": settings.audience_parameter,
                    "scopes": list(settings.scopes),
                }
            }
        )
