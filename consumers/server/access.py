"""Who may ask for what: bearer tokens with roles, a cookie for browsers, and same-origin checks.

What a path needs is said once, here; a path that is not listed needs `read` to be read and
`admin` for anything else.
"""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, quote, urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.errors import BadConfig, StoreDown
from agent.serving import Role, Server, Token, check_secret, is_loopback
from consumers.server.limits import Rates, network_of
from consumers.server.problems import asked_for, later, said

COOKIE = "vedette"
# Probes of a supervisor, what a page needs before anybody is known, the way in and the way out.
PROBES = ("/livez", "/readyz")
_IN = "/login"
OPEN = (*PROBES, _IN, "/logout")
_MADE_OF = "/static/"
INGEST = ("/ingest", "/ingest/litellm", "/v1/traces", "/v1/logs")
# POST that changes nothing.
ASKING = ("/evaluate",)
# Who guesses a token, and who changes something by hand, is slow: a second, and at once.
_GUESSES, _ACTIONS = (0.2, 10), (1.0, 20)
# A browser is asked for its token again after so long.
SESSION_S = 12 * 3600


class Keys:
    """The tokens of a configuration, by digest: what is compared takes the same time for all."""

    def __init__(self, tokens: Mapping[str, Token]) -> None:
        self._held: list[tuple[str, Role, bytes]] = []
        for name, one in tokens.items():
            secret = _secret(name, one)
            if (twin := self.bearer(secret)) is not None:
                raise BadConfig(f"server.tokens.{name}", f"has the secret of {twin[0]}")
            self._held.append((name, one.role, _digest(secret)))

    def __bool__(self) -> bool:
        return bool(self._held)

    def bearer(self, secret: str) -> tuple[str, Role] | None:
        """Whose secret this is, and the role that it has."""
        given, found = _digest(secret), None
        for name, role, digest in self._held:
            if hmac.compare_digest(given, digest):
                found = (name, role)
        return found

    def session(self, name: str, now: float, mark: str) -> str:
        """What a browser keeps instead of a secret: it opens the same until it ends; `mark` (hex)
        tells it from another of the same moment."""
        said = f"{name}.{int(now + SESSION_S)}.{mark}"
        digest = next(digest for held, _, digest in self._held if held == name)
        return f"{said}.{_seal(digest, said)}"

    def visitor(self, session: str, now: float) -> tuple[str, Role] | None:
        """Whose session this is."""
        said, _, seal = session.rpartition(".")
        name, _, ends = said.rpartition(".")[0].rpartition(".")
        if not (ends.isascii() and ends.isdecimal() and len(ends) < 12 and now < int(ends)):
            return None
        found = None
        for held, role, digest in self._held:
            wanted = _seal(digest, said)
            if hmac.compare_digest(wanted.encode(), seal.encode(errors="replace")) and held == name:
                found = (held, role)
        return found


def _seal(digest: bytes, said: str) -> str:
    session = f"session {said}".encode(errors="surrogatepass")
    return hmac.new(digest, session, hashlib.sha256).hexdigest()


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _secret(name: str, token: Token) -> str:
    if token.secret is not None:
        return token.secret.get_secret_value()
    assert token.secret_file is not None
    try:
        secret = token.secret_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({type(error).__name__})"
        raise BadConfig(f"server.tokens.{name}.secret_file", problem) from None
    try:
        check_secret(secret)
    except ValueError as error:
        raise BadConfig(f"server.tokens.{name}.secret_file", str(error)) from None
    return secret


def keys_of(server: Server) -> Keys:
    """The tokens; raises BadConfig where none are and the address is not loopback."""
    if not server.tokens and not is_loopback(server.host):
        raise BadConfig("server.tokens", f"are required where {server.host} is listened on")
    return Keys(server.tokens)


def role_for(method: str, path: str) -> Role | None:
    """The role that a request needs; None where it needs no token."""
    if path in OPEN or path.startswith(_MADE_OF):
        return None
    if path in INGEST:
        return "ingest"
    return "read" if method == "GET" or path in ASKING else "admin"


class Access:
    """Lets a request through that may, and answers any other.

    Who asks is left in `scope["state"]`: `who` is the name of the token, or "local" where there
    are none, and `admin` whether all is open to them. `note` hears who asked for what only an
    admin may, and on which path; `ended` says whether a session was ended.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        server: Server,
        note: Callable[[str, str], None],
        ended: Callable[[str], bool],
    ) -> None:
        self._app, self._keys = app, keys
        self._names = frozenset(name.lower() for name in server.names)
        self._note, self._ended = note, ended
        self._rates = Rates(server.requests_per_s, server.burst)
        self._guesses, self._actions = Rates(*_GUESSES), Rates(*_ACTIONS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            refusal = await self._refusal(Request(scope))
            if refusal is not None:
                if scope.get("state", {}).get("reached"):
                    await asyncio.to_thread(self._note, scope["state"]["who"], scope["path"])
                return await refusal(scope, receive, send)
        await self._app(scope, receive, send)

    async def _refusal(self, request: Request) -> Response | None:
        scope, headers, path = request.scope, request.headers, request.scope["path"]
        host = _place(f"//{headers.get('host', '')}").hostname or ""
        # A page elsewhere whose name was bent to this machine has no token to steal, if none are.
        if not self._keys and not (is_loopback(host) or host in self._names):
            return said(request, 421, "this host name is not in server.names")
        if request.method != "GET" and self._is_foreign(headers):
            return said(request, 403, "a page elsewhere may not ask for that")
        needed, who = role_for(request.method, path), self._who(request)
        if wait_s := self._wait_s(who[0] if who else network_of(scope), scope, needed):
            return said(request, 429, "too many requests; try again later", later(wait_s))
        if who is not None and (needed is not None or path == _IN):
            try:
                who = await self._still(request, who)
            except StoreDown as error:
                return said(request, 503, str(error), later(error.retry_after_s))
        state = scope.setdefault("state", {})
        state["who"], state["admin"] = (who[0], who[1] == "admin") if who else ("nobody", False)
        if needed is None or (who is not None and who[1] in (needed, "admin")):
            return None
        if who is not None:
            state["reached"] = needed == "admin"
            return said(request, 403, f"needs a token with the role {needed}")
        if request.method == "GET" and "text/html" in headers.get("accept", ""):
            return RedirectResponse(f"{_IN}?to={quote(asked_for(request))}", 303)
        why = "nobody has this token" if "authorization" in headers else "needs a bearer token"
        return said(request, 401, why, {"WWW-Authenticate": "Bearer"})

    def _wait_s(self, client: str, scope: Scope, needed: Role | None) -> float:
        """How long this client has to wait; a supervisor never does."""
        if scope["path"] in PROBES:
            return 0.0
        if scope["method"] == "POST" and scope["path"] == _IN:
            # Whoever they are: a token that is known must not be what guesses others.
            return self._guesses.take(network_of(scope))
        return self._rates.take(client) or (self._actions.take(client) if needed == "admin" else 0)

    def _who(self, request: Request) -> tuple[str, Role] | None:
        if not self._keys:
            return ("local", "admin")
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme:
            return self._keys.bearer(secret.strip()) if scheme.lower() == "bearer" else None
        session = request.cookies.get(COOKIE)
        return None if session is None else self._keys.visitor(session, time.time())

    async def _still(self, request: Request, who: tuple[str, Role]) -> tuple[str, Role] | None:
        """Who it is, unless by a session that was ended; raises StoreDown where nobody can say."""
        session = request.cookies.get(COOKIE)
        if not self._keys or session is None or "authorization" in request.headers:
            return who
        return None if await asyncio.to_thread(self._ended, session) else who

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a browser says that another site's page asks."""
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return True
        if (origin := headers.get("origin")) is None:
            return False
        # A proxy in between may call this server by another name than its readers do.
        from_here = _place(origin)
        return from_here.netloc != headers.get("host") and from_here.hostname not in self._names


def _place(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # half an IPv6 address
        return urlsplit("")
