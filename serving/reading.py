"""What a server sends back for one request: a status, headers, and JSON."""

from dataclasses import dataclass

from serving.answer import Answer, Refusal

TRY_AGAIN = (429, 503)
RETRY_AFTER_S = "1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What to send back for one request."""

    status: int
    body: Answer | Refusal

    @property
    def text(self) -> str:
        """The body as JSON."""
        return self.body.model_dump_json(exclude_none=True)

    @property
    def headers(self) -> dict[str, str]:
        """What goes with it beside the content type."""
        return {"Retry-After": RETRY_AFTER_S} if self.status in TRY_AGAIN else {}
