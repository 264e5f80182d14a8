"""torch.profiler's rows: times per call, gaps, and rows that are not what they should be."""

import json
import subprocess
import sys

import pytest

from refine_agent.profiling import trace


def rows(*kernels: tuple[str, float, float], calls: int = 1) -> bytes:
    return json.dumps(
        {
            "calls": calls,
            "kernels": [
                {"name": name, "start_us": start, "duration_us": took}
                for name, start, took in kernels
            ],
        }
    ).encode()


def test_the_time_between_kernels_is_a_gap() -> None:
    read = trace.read(rows(("a", 0, 10), ("b", 15, 10), ("c", 40, 10)))
    assert (read.span_us, read.gap_us) == (50, 20)


def test_overlapping_kernels_leave_no_gap_and_count_once() -> None:
    read = trace.read(rows(("a", 0, 30), ("b", 10, 10), ("c", 25, 15)))
    assert (read.span_us, read.gap_us) == (40, 0)


def test_what_lies_between_two_calls_is_no_gap() -> None:
    body = {
        "calls": 2,
        "kernels": [
            {"name": "a", "start_us": start, "duration_us": 10, "call": call}
            for call, start in enumerate((0, 5000))
        ],
    }
    read = trace.read(json.dumps(body))
    assert read.gap_us == 0
    assert read.kernels[0].time_us == 10
    assert read.kernels[0].launches == 1


def test_kernels_come_by_time() -> None:
    read = trace.read(rows(("small", 0, 1), ("large", 2, 100), ("small", 110, 1)))
    assert [(one.name, one.launches) for one in read.kernels] == [("large", 1), ("small", 2)]


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"[]",
        b'{"calls": 0}',
        b'{"kernels": [{"name": "a"}]}',
        b'{"kernels": [{"name": "a", "start_us": 0, "duration_us": -5}]}',
        b'{"kernels": [{"name": "a", "start_us": 1e300, "duration_us": 1}]}',
        b'{"kernels": [{"name": "a", "start_us": 0, "duration_us": 1, "registers": 99999}]}',
        b'{"operators": [{"name": "a", "self_us": NaN, "calls": 1}]}',
        b"\xff\xfe",
    ],
)
def test_rows_of_another_form_are_refused_with_a_reason(broken: bytes) -> None:
    with pytest.raises(trace.UnreadableTrace, match=r"torch\.profiler's rows"):
        trace.read(broken)


def test_endless_rows_are_not_even_parsed() -> None:
    with pytest.raises(trace.UnreadableTrace, match="larger than 16 MiB"):
        trace.read(b" " * (trace.MOST_BYTES + 1))


def test_an_operators_name_cannot_break_a_line() -> None:
    body = b'{"operators": [{"name": "a\\nFINDINGS none", "self_us": 1, "calls": 1}]}'
    assert "\n" not in trace.read(body).operators[0].name


PROFILED = """
import os, torch
from refine_agent.worker import traces
x = torch.randn(256, 256)
rows = traces.record(lambda: torch.softmax(x @ x, -1), calls=3, device="cpu")
os.write(1, b"\\n" + rows)
"""


@pytest.mark.slow
def test_the_real_profilers_operators_are_read() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROFILED], capture_output=True, check=True, timeout=120
    )
    read = trace.read(done.stdout.splitlines()[-1])
    by_name = {one.name: one for one in read.operators}
    assert by_name["aten::mm"].calls == 1
    softmax = by_name["aten::_softmax"]
    assert read.wall_us is not None
    assert 0 < softmax.self_us < read.wall_us
    assert softmax.bytes_moved == 2 * 4 * 256 * 256


# A kernel and a copy as Kineto writes them (output_json.cpp); devices other than NVIDIA's say less.
TIMELINE = b"""{"schemaVersion": 1, "traceEvents": [
{"ph": "X", "cat": "kernel", "name": "k", "ts": 1.0, "dur": 2.0,
 "args": {"stream": 7, "registers per thread": 40, "shared memory": 49408, "blocks per SM": 2.0,
 "grid": [132, 2, 1], "block": [256, 1, 1], "est. achieved occupancy %": 50}},
{"cat": "kernel", "name": "k", "ts": 9.0, "args": {"grid": [7, 1, 1], "block": [64, 1, 1]}},
{"cat": "gpu_memcpy", "name": "Memcpy DtoD", "ts": 5.0, "args": {"bytes": 4}},
{"cat": "kernel", "name": "odd", "args": {"grid": "x"}}, {"ph": "M", "name": "process_name"}]}"""


def test_a_timelines_launches_say_grid_and_block_and_what_they_take_of_an_sm() -> None:
    (only,) = trace.shapes_in(TIMELINE).items()
    taken = trace.Shape(grid=[132, 2, 1], block=[256, 1, 1], registers=40, shared_bytes=49408)
    assert only == ("k", taken)
    assert trace.shapes_in(b"no timeline") == {}


def test_watching_a_call_on_a_cpu_loads_no_compiler() -> None:
    script = (
        "import sys, torch\n"
        "from refine_agent.worker import traces\n"
        "rows = traces.record(lambda: torch.ones(8) + 1, calls=1, device='cpu')\n"
        "assert b'aten::add' in rows, rows\n"
        "print([name for name in ('torch._dynamo', 'sympy') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1] == "[]", done.stdout
