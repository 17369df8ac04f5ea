"""The route of reviews."""

from aiohttp import web
from attrs import frozen

from control_plane.http.http_call import Call, json_response
from control_plane.http.http_route import Route
from control_plane.review import operations
from control_plane.review.reviews import ConnectionReviews
from control_plane.review.view import review_view


@frozen
class ReviewRoutes:
    """The handler, with the use case that it calls."""

    reviews: ConnectionReviews

    def routes(self) -> tuple[Route, ...]:
        """Return the routes."""
        return (Route(operations.REVIEW, self.review),)

    async def review(self, call: Call) -> web.Response:
        """Show the review of a connection."""
        call.query().finish()
        review = await self.reviews.review(call.connection_id, asked_by=call.operator)
        return json_response(review_view(review))
