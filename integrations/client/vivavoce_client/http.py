"""The server's HTTP calls. Every failure is a `VivavoceClientError`."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import httpx

from vivavoce_client.errors import Refused, Unreachable


class Avatar(TypedDict):
    """What the server says of an avatar."""

    id: str
    name: str
    kind: str
    image: str
    pipelines: list[str]
    state: str
    """`ready`, `enrolling` or `failed`."""
    progress: NotRequired[float]
    stage: NotRequired[str]
    note: NotRequired[str]
    error: NotRequired[dict[str, str]]
    advice: NotRequired[list[dict[str, str]]]


class Token(TypedDict):
    """A short-lived right to do some things, to be given to somebody else."""

    token: str
    expires_at: str | float


class Api:
    """Calls of one server.

    Args:
        url: its address, such as `https://avatars.example/prefix`.
        key: an API key or a token, where the server asks for one.
        transport: httpx's, in place of the network.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.AsyncClient(
            base_url=self.url + "/", headers=self.headers, transport=transport, timeout=60
        )

    async def call(self, method: str, path: str, **content: Any) -> httpx.Response:
        """One call; `content` as httpx takes it.

        Raises:
            Unreachable, Refused.
        """
        try:
            response = await self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.url} does not answer: {error or type(error).__name__}") from (
                error
            )
        if response.is_error:
            raise _refusal(response)
        return response

    async def json(self, method: str, path: str, **content: Any) -> Any:
        """The answer's JSON.

        Raises:
            Unreachable, Refused.
        """
        return (await self.call(method, path, **content)).json()

    async def ice_servers(self) -> list[dict[str, Any]]:
        """STUN and TURN servers to use.

        Raises:
            Unreachable, Refused.
        """
        return list((await self.json("GET", "/v1/ice-servers"))["ice_servers"])

    async def create_session(self, body: dict[str, Any]) -> dict[str, Any]:
        """Open a session; fields as in `POST /v1/sessions`, those that are None left out.

        Raises:
            Unreachable, Refused.
        """
        given = {name: value for name, value in body.items() if value is not None}
        return dict(await self.json("POST", "/v1/sessions", json=given))

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()


def _refusal(response: httpx.Response) -> Refused:
    try:
        said = response.json()["error"]
        code, message = str(said["code"]), str(said["message"])
    except (ValueError, KeyError, TypeError):  # of a proxy, not of the server
        code, message = f"http_{response.status_code}", response.reason_phrase
    try:
        retry_after_s = float(response.headers.get("retry-after", ""))
    except ValueError:
        retry_after_s = None
    return Refused(message, status=response.status_code, code=code, retry_after_s=retry_after_s)
