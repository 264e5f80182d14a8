"""torch.profiler around a candidate, as rows of JSON for whoever digests them.

It owns running the profiler in the candidate's process; what the rows mean is profiling's business.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch._C._autograd import DeviceType
from torch.autograd.profiler import profile as profile_of_cpu
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from refine_agent.profiling.trace import KernelRow, OperatorRow, Rows, Shape, shapes_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch.autograd.profiler_util import FunctionEvent

    from refine_agent.profiling.processor import Tally

# More rows than any honest call has.
MAX_OPERATORS = 400
MAX_LAUNCHES = 20_000
# The exported timeline takes half a kilobyte a launch; beyond this nobody reads shapes anyway.
MAX_EXPORTED = 4_000


def record(
    call: Callable[[], Any], *, calls: int, device: str, processor: Tally | None = None
) -> bytes:
    """Run ``call`` under torch.profiler; return JSON of ``refine_agent.profiling.trace.Rows``.

    ``processor`` is what other calls took of the CPU, handed on with the rows.
    """
    cuda = device != "cpu"
    _synchronise(cuda=cuda)
    with _profiler(cuda=cuda) as seen:
        began = time.perf_counter()
        for _ in range(calls):
            call()
        _synchronise(cuda=cuda)
        wall = time.perf_counter() - began
    if isinstance(seen, profile):
        return msgspec.json.encode(_device_rows(seen, calls))
    rows = Rows(
        calls=calls,
        operators=_operators(seen, call, calls),
        processor=processor,
        wall_us=1e6 * wall,
    )
    return msgspec.json.encode(rows)


def _profiler(*, cuda: bool) -> profile | profile_of_cpu:
    """Return torch.profiler's profiler; of a CPU the one inside it.

    That around it imports Inductor, with sympy and 800 other modules, to ask for one setting: more
    than a second of a core for every candidate. On a GPU that has to be: Triton, where it was
    loaded after the device had been watched once, kept its kernels out of sight.
    """
    if not cuda:
        return profile_of_cpu(record_shapes=True, acc_events=True)
    activities = [ProfilerActivity.CPU, ProfilerActivity.CUDA]
    return profile(activities=activities, acc_events=True)


def warm(device: str) -> None:
    """Start the profiler's machinery, which takes seconds the first time on a GPU."""
    record(lambda: torch.zeros(1, device=device) + 1, calls=1, device=device)


def _synchronise(*, cuda: bool) -> None:
    if cuda:
        torch.cuda.synchronize()


# --- kernels --------------------------------------------------------------------------------------


def _device_rows(seen: profile, calls: int) -> Rows:
    """Every kernel, copy and fill on the device, in time order, with the call it belongs to."""
    events = [event for event in seen.events() or [] if _ran_on_device(event)]
    events.sort(key=lambda event: event.time_range.start)
    per_call = max(1, len(events) // calls)
    # Whole calls only, or launches would be counted short.
    kept = calls if len(events) <= MAX_LAUNCHES else max(1, MAX_LAUNCHES // per_call)
    shapes = _shapes(seen) if len(events) <= MAX_EXPORTED else {}
    kernels = [
        _row(event, shapes.get(event.name), call=min(number // per_call, calls - 1))
        for number, event in enumerate(events[:MAX_LAUNCHES])
    ]
    return Rows(calls=kept, kernels=[one for one in kernels if one.call < kept])


def _row(event: FunctionEvent, shape: Shape | None, *, call: int) -> KernelRow:
    return KernelRow(
        name=event.name[:400],
        start_us=event.time_range.start,
        duration_us=event.time_range.elapsed_us(),
        call=call,
        grid=shape.grid if shape is not None else [],
        block=shape.block if shape is not None else [],
        registers=shape.registers if shape is not None else None,
        shared_bytes=shape.shared_bytes if shape is not None else None,
    )


def _ran_on_device(event: FunctionEvent) -> bool:
    # Ranges that record_function names appear on the device too, around the kernels in them.
    annotation = getattr(event, "is_user_annotation", False)
    return event.device_type == DeviceType.CUDA and not annotation


def _shapes(seen: profile) -> dict[str, Shape]:
    """Return how each kernel was first launched, which only the exported timeline tells."""
    with TemporaryDirectory(dir=Path.cwd()) as folder, suppress(OSError, RuntimeError):
        path = Path(folder) / "timeline.json"
        seen.export_chrome_trace(str(path))
        return shapes_in(path.read_bytes())
    return {}


# --- operators ------------------------------------------------------------------------------------


def _operators(seen: profile_of_cpu, call: Callable[[], Any], calls: int) -> list[OperatorRow]:
    averages = seen.key_averages(group_by_input_shape=True)
    rows = sorted(averages, key=lambda row: -row.self_cpu_time_total)[:MAX_OPERATORS]
    # Counted by name: where one operator ran on several shapes nobody knows whose bytes they are.
    names = [row.key for row in rows]
    once = {name: size for name, size in _bytes_moved(call).items() if names.count(name) == 1}
    return [
        OperatorRow(
            name=row.key[:400],
            self_us=row.self_cpu_time_total,
            calls=row.count,
            shapes=str(row.input_shapes)[:200],
            bytes_moved=once[row.key] * calls if row.key in once else None,
        )
        for row in rows
    ]


def _bytes_moved(call: Callable[[], Any]) -> dict[str, int]:
    """Return the bytes of each operator's inputs and outputs, counted in one more call."""
    counting = _Counting()
    with counting:
        try:
            call()
        except Exception:  # noqa: BLE001 - what cannot be watched this way goes without bytes
            return {}
    return counting.bytes


class _Counting(TorchDispatchMode):
    """Adds up the tensors that go into and come out of each operator."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Do without torch.compile's machinery, which the mode would import to stay out of it."""
        return False

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes: dict[str, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operator
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever the operator returns
        result = func(*args, **(kwargs or {}))
        tensors = [
            one for one in tree_leaves((args, kwargs, result)) if isinstance(one, torch.Tensor)
        ]
        name = func.name().partition(".")[0]
        moved = sum(one.numel() * one.element_size() for one in tensors)
        self.bytes[name] = self.bytes.get(name, 0) + moved
        return result
