"""Which encoder an event stream has, and where its client was."""

from bridge.live.resume import Resume
from bridge.web.stream_log import V1_SSE
from bridge.web.stream_request import StreamRequest
from bridge.wire.encoders import CoreSseEncoder, V1SseEncoder


def choose_encoder(
    request: StreamRequest,
) -> tuple[CoreSseEncoder | V1SseEncoder, Resume | None]:
    """Return the request's encoder, and the position that the client was at.

    EventSource repeats the URL of its first request, so the header is the newer one: it beats the
    parameter `last_event_id`. An empty parameter beats both: its client wants no replay.
    """
    header = request.headers.get("Last-Event-ID")
    parameter = request.parameters.last_event_id
    last = parameter if header is None or parameter == "" else header
    if request.protocol is V1_SSE:
        return V1SseEncoder(chunked=request.chunked), Resume(pos=last) if last else None
    encoder = CoreSseEncoder(chunked=request.chunked, holds_id=bool(header or last))
    return encoder, Resume(stream_id=last) if last else None
