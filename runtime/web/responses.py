"""Fixed parts of the answers."""

from __future__ import annotations

SECURITY = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none, a form of the page itself has Origin: null
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}
"""Headers of every answer: nothing of another site is loaded, embeds this, or keeps it."""


def answer_part(jpeg: bytes) -> bytes:
    """One picture of a `multipart/x-mixed-replace` answer."""
    head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"


def answer_event(text: str, name: str = "") -> bytes:
    """One server-sent event with a line of text; a browser comes back after a second."""
    event = f"event: {name}\n" if name else ""
    return f"{event}retry: 1000\ndata: {text}\n\n".encode()
