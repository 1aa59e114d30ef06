"""Errors that carry a stable code over the wire. No torch import here."""

from __future__ import annotations


class EngineError(Exception):
    """Something a verb refuses or cannot do; `code` is one of the codes of docs/protocol.md section 4, lower case."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
