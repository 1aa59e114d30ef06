"""Errors that cross the wire, and the mapping of any exception to {code, message, retryable, traceback}."""

from __future__ import annotations

import re
import traceback
from typing import Any

MAX_MESSAGE_CHARS = 8 * 1024
"""Longest error message sent; a header has 1 MiB for everything."""

MAX_TRACEBACK_CHARS = 16 * 1024
"""Longest traceback text sent. The end is kept: it names the place that failed."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


class WireError(Exception):
    """A message or a call that the bridge itself refuses. `code` is one of docs/protocol.md section 1, or of this file.

    `request_id` and `session` are set by the decoder where a malformed request could still be identified.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable
        self.request_id: str | None = None
        self.session: str | None = None


class MethodUnknownError(WireError):
    """A request for a method that is not in the table sent with hello."""

    def __init__(self, method: str, known: list[str]) -> None:
        super().__init__("METHOD_UNKNOWN", f"there is no method {method[:64]!r}; this worker has: {', '.join(known)}")


class CancelledError(WireError):
    """Raised by `CallContext.check_cancelled` once the caller has cancelled; let it pass, it becomes the answer."""

    def __init__(self, message: str = "the caller cancelled this request") -> None:
        super().__init__("CANCELLED", message)


class DeadlineError(CancelledError):
    """The time given to the request ran out. A kind of cancellation, so what cleans up after one also does here."""

    def __init__(self, message: str = "the time given to this request ran out") -> None:
        super().__init__(message)
        self.code = "DEADLINE"


class EngineError(RuntimeError):
    """A verb failed for a reason that has a name: `EngineError("missing_images", "3 pictures are not held: ...")`.

    Codes are listed in docs/protocol.md section 4; they travel in upper case. `retryable` says that the same request
    may succeed when sent again.
    """

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


def non_finite_logits() -> EngineError:
    """What to raise when a log-probability is NaN or infinite."""
    return EngineError(
        "non_finite_logits",
        "the model's logits hold NaN or infinity; the weights have diverged or the compute type overflows. Resume from "
        "an earlier checkpoint, lower the learning rate, or use float32.",
    )


def describe_error(error: BaseException) -> dict[str, Any]:
    """The `e` field of the answer to a request that raised `error`.

    An error with a textual `code` keeps it, anything else becomes WORKER_EXCEPTION. Refusals of the bridge carry no
    traceback: their message says all there is.
    """
    code = getattr(error, "code", None)
    known = isinstance(code, str) and _CODE.fullmatch(code) is not None
    text = str(error) if known else f"{type(error).__name__}: {error}"
    described = {
        "code": str(code).upper() if known else "WORKER_EXCEPTION",
        "message": _sendable(text)[:MAX_MESSAGE_CHARS],
        "retryable": known and getattr(error, "retryable", False) is True,
    }
    if not isinstance(error, WireError):
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        described["traceback"] = _sendable("".join(lines))[-MAX_TRACEBACK_CHARS:]
    return described


def _sendable(text: str) -> str:
    """Without lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
