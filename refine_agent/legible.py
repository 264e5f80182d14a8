"""Text that a model or a candidate wrote, made fit to be shown: bounded, and with nothing unseen.

Control characters, broken UTF-8 and marks that turn text around become visible; escaping for HTML
or a terminal is left to whoever shows it.
"""

from __future__ import annotations

# Enough for any kernel we have seen; a transcript of 10 MB lines must still open in a browser.
MAX_CHARS = 40_000
MAX_LINE_CHARS = 600

_REPLACEMENT = "\ufffd"
# Unicode TR36, "Bidirectional Text Spoofing", and CVE-2021-42574: source that reads other than it
# compiles. Zero-width characters hide text in the same way.
_UNSEEN = (
    *range(0x200B, 0x2010),
    *range(0x2028, 0x202F),
    *range(0x2060, 0x206A),
    0x061C,
    0x180E,
    0xFEFF,
    *range(0xE0000, 0xE0080),
)


def _table() -> dict[int, str]:
    shown = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
    shown |= {0x7F: "\u2421"}
    shown |= dict.fromkeys((*range(0x80, 0xA0), 0xFFFE, 0xFFFF), _REPLACEMENT)
    shown |= {code: f"⟨U+{code:04X}⟩" for code in _UNSEEN}
    return shown


_SHOWN = _table()


def legible(text: str, *, chars: int = MAX_CHARS, line_chars: int = MAX_LINE_CHARS) -> str:
    """Return ``text`` with at most about ``chars`` characters, no long line and nothing unseen.

    What was cut is said in its place, so that a reader never takes a part for the whole.
    """
    kept = text[:chars]
    if len(text) > chars:
        kept += f"\n… {len(text) - chars:,} more characters"
    kept = kept.replace("\r\n", "\n").translate(_SHOWN)
    kept = kept.encode("utf-8", "replace").decode("utf-8") if not _encodable(kept) else kept
    return "\n".join(_short(line, line_chars) for line in kept.split("\n"))


def phrase(text: str, *, chars: int = 200) -> str:
    """Return ``text`` as one short line."""
    line = " ".join(legible(text[: 4 * chars], line_chars=4 * chars).split())
    return line if len(line) <= chars else line[: chars - 1].rstrip() + "…"


def _short(line: str, limit: int) -> str:
    if len(line) <= limit:
        return line
    return f"{line[:limit]} … {len(line) - limit:,} more characters in this line"


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
