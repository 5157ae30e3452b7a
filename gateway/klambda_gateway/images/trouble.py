"""Why an image cannot be used. The reasons are those of condition CodeResolved."""

from __future__ import annotations

from typing import Final

NOT_FOUND: Final = "ImageNotFound"
DENIED: Final = "ImageAccessDenied"
INVALID: Final = "InvalidImage"
NOT_ALLOWED: Final = "RegistryNotAllowed"
UNREACHABLE: Final = "RegistryUnreachable"


class ImageTrouble(Exception):
    """An image cannot be had; ``retry``: perhaps later, without a change of the function."""

    def __init__(self, reason: str, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry = retry


class NoImageName(ImageTrouble):
    """What was given names no image; Lambda has a sentence of its own for it."""

    def __init__(self, message: str) -> None:
        super().__init__(INVALID, message)


class NoImage(ImageTrouble):
    """What was found is no container image; so has this."""

    def __init__(self, message: str) -> None:
        super().__init__(INVALID, message)
