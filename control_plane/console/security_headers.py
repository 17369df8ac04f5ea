"""What a browser may do with a page: load our own files, and send forms to us. Pure."""

from collections.abc import Mapping
from typing import Final

_CONTENT: Final = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}
_EVERYWHERE: Final = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in _CONTENT.items()),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for what does not know frame-ancestors
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Not no-referrer: browsers would then send forms with `Origin: null`.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
PAGE_HEADERS: Final[Mapping[str, str]] = _EVERYWHERE | {"Cache-Control": "no-store"}
FILE_HEADERS: Final[Mapping[str, str]] = _EVERYWHERE | {
    "Cache-Control": "public, max-age=31536000, immutable"  # its name has its hash
}
