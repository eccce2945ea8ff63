"""Who may ask for what: bearer tokens with roles, a cookie for browsers, and same-origin checks.

What a path needs is said once, here; a path that is not listed needs `read` to be read and
`admin` for anything else.
"""

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.errors import BadConfig
from agent.serving import Role, Server, Token

COOKIE = "vedette"
# Probes of a supervisor, what a page needs before anybody is known, and the way in.
OPEN = ("/livez", "/readyz", "/static/", "/login")
INGEST = ("/ingest", "/ingest/litellm", "/v1/traces", "/v1/logs")
# POST that changes nothing.
ASKING = ("/evaluate",)


class Keys:
    """The tokens of a configuration, by digest: what is compared takes the same time for all."""

    def __init__(self, tokens: Mapping[str, Token]) -> None:
        self._held = [(name, one.role, _digest(_secret(name, one))) for name, one in tokens.items()]

    def __bool__(self) -> bool:
        return bool(self._held)

    def bearer(self, secret: str) -> tuple[str, Role] | None:
        """Whose secret this is, and the role that it has."""
        given, found = _digest(secret), None
        for name, role, digest in self._held:
            if hmac.compare_digest(given, digest):
                found = (name, role)
        return found


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
    if not secret:
        raise BadConfig(f"server.tokens.{name}.secret_file", "is empty")
    return secret


def keys_of(server: Server) -> Keys:
    """The tokens; raises BadConfig where none are and the address is not loopback."""
    if not server.tokens and not is_loopback(server.host):
        raise BadConfig("server.tokens", f"are required where {server.host} is listened on")
    return Keys(server.tokens)


def is_loopback(host: str) -> bool:
    """Whether only this machine can call this host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def role_for(method: str, path: str) -> Role | None:
    """The role that a request needs; None where it needs no token."""
    if path.startswith(OPEN):
        return None
    if path in INGEST:
        return "ingest"
    return "read" if method in ("GET", "HEAD") or path in ASKING else "admin"


class Access:
    """Lets a request through that may, and answers any other.

    The name of who asks is `scope["state"]["who"]`: of the token, or "local" where none are.
    """

    def __init__(self, app: ASGIApp, keys: Keys, names: tuple[str, ...] = ()) -> None:
        self._app, self._keys, self._names = app, keys, frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is not None:
                return await refusal(scope, receive, send)
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path, method = Headers(scope=scope), scope["path"], scope["method"]
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        # A page elsewhere whose name was bent to this machine has no token to steal, if none are.
        if not self._keys and not (is_loopback(host) or host in self._names):
            return _refused(421, "this host name is not in server.names")
        if method not in ("GET", "HEAD") and _is_foreign(headers):
            return _refused(403, "a page elsewhere may not ask for that")
        needed, who = role_for(method, path), self._who(headers)
        scope.setdefault("state", {})["who"] = who[0] if who else "nobody"
        if needed is None or (who is not None and who[1] in (needed, "admin")):
            return None
        if who is not None:
            return _refused(403, f"needs a token with the role {needed}")
        if method == "GET" and "text/html" in headers.get("accept", ""):
            there = path + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
            return RedirectResponse(f"/login?to={quote(there)}", 303)
        return _refused(401, "needs a bearer token", {"WWW-Authenticate": "Bearer"})

    def _who(self, headers: Headers) -> tuple[str, Role] | None:
        if not self._keys:
            return ("local", "admin")
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        if scheme:
            return self._keys.bearer(secret.strip()) if scheme.lower() == "bearer" else None
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return None
        return self._keys.bearer(cookie.value) if cookie else None


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser says that another site's page asks."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _refused(status: int, why: str, headers: Mapping[str, str] | None = None) -> Response:
    return JSONResponse({"error": why}, status, headers)
