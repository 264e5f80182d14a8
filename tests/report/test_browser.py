"""Reports as a real browser sees them, and as people who see little of them do."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from docs.pictures.browser import Browser, browser, installed
from refine_agent import report
from tests import synthetic
from tests.report.test_report import hostile

ROOT = Path(__file__).parents[2]
if TYPE_CHECKING:
    from collections.abc import Iterator

STYLE = (ROOT / "templates" / "report.css").read_text()
# WCAG 2.2, success criterion 1.4.3.
LEAST_CONTRAST = 4.5


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    if installed() is None:
        pytest.skip("no Chromium is installed; install chromium to see reports in a browser")
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    run = synthetic.layernorm(folder / "run")
    written = {
        "one": report.render([run]),
        "two": report.render([run, run]),
        "hostile": report.render([hostile(folder / "hostile")]),
    }
    for name, text in written.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in written}


@pytest.mark.parametrize("name", ["one", "two", "hostile"])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_page_fits_its_window_and_asks_nobody_for_anything(
    tab: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    tab.problems.clear()
    tab.look(pages[name], width=width)
    assert tab.ask("document.documentElement.scrollWidth") <= width
    assert tab.problems == []


def test_no_script_runs_in_a_hostile_page(tab: Browser, pages: dict[str, Path]) -> None:
    tab.look(pages["hostile"], width=800)
    kinds = "[...document.scripts].every(script => script.type === 'application/json')"
    assert tab.ask(kinds)
    assert tab.ask("document.images.length") == 0
    assert tab.ask("document.querySelectorAll('[onerror],[onload],[onclick]').length") == 0


def test_a_phone_gets_pictures_of_its_own(tab: Browser, pages: dict[str, Path]) -> None:
    shown = (
        "[...document.querySelectorAll('figure svg')]"
        ".filter(s => s.clientWidth).map(s => s.viewBox.baseVal.width).join()"
    )
    tab.look(pages["one"], width=390)
    assert max(float(width) for width in tab.ask(shown).split(",")) <= 420
    tab.look(pages["one"], width=1200)
    assert max(float(width) for width in tab.ask(shown).split(",")) > 800


def test_the_scheme_follows_the_reader(tab: Browser, pages: dict[str, Path]) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    tab.look(pages["one"], width=800, dark=False)
    assert tab.ask(ground) == "rgb(255, 255, 255)"
    tab.look(pages["one"], width=800, dark=True)
    assert tab.ask(ground) == "rgb(18, 22, 27)"


# --- contrast, without a browser -----------------------------------------------------------------

WORDS = (
    "text",
    "muted",
    "link",
    "model",
    "engineer",
    "agent",
    "best",
    "failed",
    "doubtful",
    "target",
)
CODE = ("keyword", "type", "string", "comment", "number", "function", "device")
PAIRS = [
    *product(WORDS, ("bg",)),
    *product(("text", "muted"), ("raised", "good-bg", "bad-bg", "plain-bg", "doubtful-bg", "hot")),
    *((f"code-{name}", ground) for name in CODE for ground in ("raised", "hot")),
    ("best", "good-bg"), ("failed", "bad-bg"), ("doubtful", "doubtful-bg"),
    ("engineer", "plain-bg"), ("agent", "plain-bg"),
]  # fmt: skip


def colours(*, dark: bool) -> dict[str, str]:
    light, _, rest = STYLE.partition("@media (prefers-color-scheme: dark)")
    found = dict(re.findall(r"--([\w-]+): (#\w{6})", light))
    return found | dict(re.findall(r"--([\w-]+): (#\w{6})", rest)) if dark else found


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_words_can_be_read_on_what_they_stand_on(*, dark: bool) -> None:
    known = colours(dark=dark)
    for ink, ground in PAIRS:
        low, high = sorted((luminance(known[ink]), luminance(known[ground])))
        contrast = (high + 0.05) / (low + 0.05)
        assert contrast >= LEAST_CONTRAST, f"{ink} on {ground}: {contrast:.2f}"
