"""Scripts of the page, and the policy that lets these run and nothing else.

The policy stands in the page itself: no request can leave it, and no text can become code.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from markupsafe import Markup

from guidebench.base import UserError

# As published on npm, by digest, so that a changed file is refused. Both are under the ISC
# licence, which asks for its text in every copy: the page is one.
VENDORED: Final[dict[str, str]] = {
    "d3-7.9.2.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
    "plot-0.6.17.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}
OURS: Final = ("tables.js", "charts.js", "frames.js")


def scripts() -> list[Markup]:
    """The chart library and our own scripts, in the order in which they run."""
    folder = files("guidebench.reports") / "assets"
    texts = [_vendored(folder / "vendor", name) for name in VENDORED]
    texts += [(folder / name).read_text(encoding="utf-8") for name in OURS]
    return [Markup(text) for text in texts]  # noqa: S704 - our own files


def _vendored(folder: Traversable, name: str) -> str:
    data = (folder / name).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != VENDORED[name]:
        msg = f"{name} has digest {found[:12]}, not {VENDORED[name][:12]}; install guidebench again"
        raise UserError(msg)
    licence = (folder / f"{name.split('-', 1)[0]}.LICENSE").read_text(encoding="utf-8")
    return f"/* {licence} */\n{data.decode()}"


def policy(texts: Sequence[str]) -> str:
    """A content security policy for exactly these scripts, inline styles and data images."""
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    allowed = " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def json_block(value: object) -> Markup:
    """JSON for a script element: no text in it can end the element."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - escaped here
