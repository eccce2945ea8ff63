"""How long each route takes to answer, as it is counted for Prometheus."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from consumers.metrics import Tally

_SERIES = "vedette_http_request_seconds"


class Timed:
    """Counts requests by route and status, from the first byte read to the last one sent."""

    def __init__(self, app: ASGIApp, tally: Tally) -> None:
        self._app, self._tally = app, tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, status = time.perf_counter(), "500"

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            # The route's own words: a path that a client made up would be a label without end.
            route = getattr(scope.get("route"), "path", "none")
            self._tally.fold(_SERIES, (route, status), time.perf_counter() - began)
