"""A profiler's line is marked where it stands in the candidate, or nowhere."""

from __future__ import annotations

import re
from html import unescape

import pytest

from refine_agent.listing import difference, hot_lines, listing
from refine_agent.profiling.records import Finding, Page
from tests import synthetic

INLINE = '''\
from torch.utils.cpp_extension import load_inline

CUDA = r"""
#include <torch/extension.h>
__global__ void scale(float* x) {
    x[0] = 2;
}
"""
CPP = "void go(torch::Tensor x);"
other = """
__global__ void decoy() {
    return;
}
"""

module = load_inline(name="m", cpp_sources=CPP, cuda_sources=[CUDA, other], functions=["go"])
'''


def page(*places: str) -> Page:
    findings = tuple(
        Finding(kind="slow", severity=0.5, text="t", advice="a", where=where) for where in places
    )
    return Page(candidate_digest="0", rung="ncu", device="d", shape="s", findings=findings)


def test_a_line_of_the_cuda_source_is_found_in_the_module() -> None:
    (line,) = hot_lines(INLINE, page("cuda_source:4"))
    assert INLINE.splitlines()[line - 1] == "    x[0] = 2;"


def test_sources_that_were_joined_count_on() -> None:
    # The first string has 6 lines (its last one is empty); the second goes on from there.
    (line,) = hot_lines(INLINE, page("cuda_source:9"))
    assert INLINE.splitlines()[line - 1] == "    return;"


def test_arguments_by_position_are_known_too() -> None:
    called = INLINE.replace(
        'name="m", cpp_sources=CPP, cuda_sources=[CUDA, other]', '"m", CPP, CUDA'
    )
    (line,) = hot_lines(called, page("cuda_source:4"))
    assert called.splitlines()[line - 1] == "    x[0] = 2;"


@pytest.mark.parametrize(
    "where",
    [
        "cuda_source:400",
        "cuda_source:0",
        "cuda_source:0x4",
        "cuda_source:-1",
        "cuda_source:99999999999",
        "cuda_source",
        "bindings:3",
        "candidate.py:4000",
        ":",
    ],
)
def test_a_place_that_is_not_in_the_candidate_marks_nothing(where: str) -> None:
    assert hot_lines(INLINE, page(where)) == {}


@pytest.mark.parametrize(
    "written",
    [
        INLINE.replace('"""\nCPP', '""".replace("a", "b")\nCPP'),
        INLINE.replace('r"""\n#include', '"""\\n\n#include'),
        INLINE + INLINE.replace("CUDA", "SECOND").replace("\nSECOND =", "\n\nSECOND ="),
        INLINE.replace("module =", "module = ((("),
        "(" * 50_000,
    ],
    ids=["computed", "escapes", "two calls", "no Python", "nested too deep"],
)
def test_where_the_line_is_not_certain_nothing_is_marked(written: str) -> None:
    assert hot_lines(written, page("cuda_source:4")) == {}


@pytest.mark.parametrize(
    "source", [synthetic.TWO_PASSES, INLINE, "x = '<b>&amp;'\n\n\n", "", "\n", "def f(:\n '''"]
)
def test_a_listing_shows_the_source_and_nothing_else(source: str) -> None:
    shown = [unescape(re.sub("<[^>]*>", "", line.html)) for line in listing(source)]
    assert "\n".join(shown).rstrip("\n") == source.rstrip("\n")
    assert [line.number for line in listing(source)] == list(range(1, len(shown) + 1))


def test_device_code_inside_a_string_is_read_as_cuda() -> None:
    html = "".join(line.html for line in listing(INLINE))
    assert '<i class="d">__global__</i>' in html
    assert '<i class="t">float</i>' in html


def test_a_difference_keeps_three_lines_around_each_change() -> None:
    before = "\n".join(f"line {i}" for i in range(100))
    found = difference(before, before.replace("line 50", "other"))
    assert [change.kind for change in found].count("kept") == 6
    assert [change.text for change in found if change.kind == "removed"] == ["line 50"]
    assert [change.text for change in found if change.kind == "added"] == ["other"]


def test_lines_that_look_like_a_difference_s_own_marks_stay_what_they_are() -> None:
    found = difference("-- a\n", "++ b\n")
    assert {(change.kind, change.text) for change in found if change.kind != "hunk"} == {
        ("removed", "-- a"),
        ("added", "++ b"),
    }
