"""Text that a candidate chose (kernel names, file names, SASS), made safe to print in a page.

A kernel can be named, and a source line attributed, so as to talk to the reader of the page; what
passes here cannot form sentences. Meaning is left to the other modules.
"""

import re

_NAME = re.compile(r"[^A-Za-z0-9_:<>,.*&\[\]+\-=~$]+")
_FILE = re.compile(r"[^A-Za-z0-9_.\-]+")
_SASS = re.compile(r"[^A-Za-z0-9_.,\[\]+\-@!|~ ?()]+")
# Where a branch goes is an address of that very run.
_TARGET = re.compile(r",?\s*\b0x[0-9a-f]{9,}\b")
_WORDS = re.compile(r"[A-Za-z]{2,}")

NAME_CHARS = 56
FILE_CHARS = 40
SASS_CHARS = 56
READ_CHARS = 4096
# Longer template arguments say more about a library than about the kernel at hand.
TEMPLATE_CHARS = 20
# An honest identifier has a handful of words; a sentence hidden in one by underscores has more.
MOST_WORDS = 8


def name(text: str) -> str:
    """Return a kernel's name, harmless and bounded: function and short template arguments."""
    text = _one_spelling(text[:READ_CHARS])
    bare = function(text)
    template = _template_after(text, bare)
    shown = bare + template if len(template) <= TEMPLATE_CHARS else bare + "<…>"
    return _shorten(_without_prose(shown), NAME_CHARS)


def operator(text: str) -> str:
    """Return an operator's name (aten::add), harmless and bounded."""
    return _shorten(_without_prose(_NAME.sub("_", text.strip()[:READ_CHARS])), NAME_CHARS)


def device(text: str) -> str:
    """Return a device's name as a report states it, harmless and bounded."""
    return " ".join(_NAME.sub(" ", text[:READ_CHARS]).split())[:NAME_CHARS] or "unknown device"


def file_name(path: str) -> str:
    """Return the harmless base name of a source path; never a directory of the machine."""
    last = re.split(r"[\\/]", path[-READ_CHARS:])[-1]
    return _shorten(_without_prose(_FILE.sub("_", last)), FILE_CHARS) or "source"


def sass(text: str) -> str:
    """Return one instruction as the disassembler prints it, bounded."""
    words = " ".join(_SASS.sub("", _TARGET.sub("", text[:READ_CHARS])).split())
    return _shorten(words, SASS_CHARS)


def function(demangled: str) -> str:
    """Return the bare function name: no return type, namespaces, template arguments, parameters."""
    text = demangled.strip()[:READ_CHARS].replace("(anonymous namespace)", "anonymous")
    words = _outside_brackets(text).split("(")[0].split()
    return _NAME.sub("_", words[-1].split("::")[-1]) if words else "unnamed"


def percent(share: float) -> str:
    """Return a share (0 to 1) as pages print it: 69 %, 0.4 %."""
    return f"{100 * share:.1f} %" if 0 < share < 0.01 else f"{100 * share:.0f} %"  # noqa: PLR2004


def duration(micros: float) -> str:
    """Return a time as pages print it: 62.9 us, from ten milliseconds on 57.6 ms."""
    return f"{micros / 1e3:.1f} ms" if micros >= 1e4 else f"{micros:.1f} us"  # noqa: PLR2004


def shapes(text: str) -> str:
    """Return the shapes of an operator's inputs, harmless and bounded: [2048, 4096]."""
    found = re.findall(r"\[\d+(?:, *\d+)*\]", text[:READ_CHARS])
    return _shorten(" ".join(found), NAME_CHARS)


def _one_spelling(text: str) -> str:
    """Write template arguments as torch.profiler does: Nsight Compute has (bool)0 and (int)4."""
    text = text.replace("(bool)0", "false").replace("(bool)1", "true")
    return re.sub(r"\((?:unsigned )?(?:char|short|int|long(?: long)?)\)(-?\d)", r"\1", text)


def _template_after(demangled: str, bare: str) -> str:
    start = demangled.find(f"{bare}<")
    if start < 0:
        return ""
    depth, begin = 0, start + len(bare)
    for at, letter in enumerate(demangled[begin : begin + READ_CHARS], begin):
        depth += (letter == "<") - (letter == ">")
        if depth == 0:
            return _NAME.sub("", demangled[begin : at + 1])
    return ""


def _outside_brackets(text: str) -> str:
    depth, kept = 0, []
    for letter in text:
        depth += letter == "<"
        if depth == 0:
            kept.append(letter)
        depth -= letter == ">" and depth > 0
    return "".join(kept)


def _without_prose(text: str) -> str:
    words = _WORDS.findall(text)
    if len(words) <= MOST_WORDS:
        return text
    return "_".join(words[:3]) + f"_and_{len(words) - 3}_more_words"


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
