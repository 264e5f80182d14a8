"""The stub inside a candidate's process: takes orders over a channel and carries them out.

It owns loading the source, setting its parameters, calling it on slots of the arena, reporting
claims and delivering results; it leaves every judgement to the judge, because code beside it may
lie in its name.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import io
import mmap
import os
import random
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch.nn.parameter import is_lazy

from refine_agent import arena as arenas
from refine_agent import wire
from refine_agent.builder.records import Artifact, BuildRequest, Rejected
from refine_agent.worker import load_inline, tally, traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from refine_agent.wire import Channel, Layout

_PACKAGE = Path(__file__).parents[1]
# A traceback longer than this says nothing more; it also keeps a hostile one out of the prompt.
MAX_TRACE_CHARS = 6000
# Under a sanitizer every tensor is an allocation of its own, inputs too: only so does it see what
# is read past the end of one.
_EACH_ALONE = "PYTORCH_NO_CUDA_MEMORY_CACHING" in os.environ
# Results of a whole block are freed at once. Unless glibc keeps that memory (mallopt(3)), the next
# block's calls are timed with the page faults of getting it back; above the threshold, which is the
# largest there is, memory is the kernel's at every call, as it is for who runs the module at home.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _NEVER, _MMAP_FROM_BYTES = -1, -3, -1, 32 << 20
# The results of a block's calls lie between what each of them wrote meanwhile, so that a young
# process has new pages for a dozen calls, each 1.7 times as long (4 MB of temporaries). Before
# anything is timed it is given as much memory as all slots hold, so many times over, up to so much.
_TIMES_ALL_SLOTS, _MOST_HAD, _PIECE = 2, 256 << 20, 16 << 20
# PyTorch asks NVML who holds the device's memory before it says that there is none left, and NVML
# is behind the fence.
_OUT_OF_MEMORY = (
    "OutOfMemoryError: CUDA out of memory: the device has no room for what was asked for; "
    "keep less, or ask for less"
)
_CLOSED = (
    " (a candidate may write to its working folder and TMPDIR only, not even to /dev/shm: "
    "use relative paths, tempfile, and threads instead of multiprocessing)"
)


def serve(orders: Channel, builds: Channel) -> None:
    """Carry out orders until the channel closes."""
    stub = _Stub(builds)
    while True:
        try:
            message = orders.receive()
        except wire.Broken:
            return
        if isinstance(message, wire.Bye):
            return
        orders.send(_answer(stub, message, orders))


def warm_compiler(device: str) -> None:
    """Have torch.compile compile next to nothing: its machinery takes seconds the first time."""
    with suppress(Exception), torch.no_grad():  # whatever is wrong, its own module will say so
        torch.compile(torch.nn.ReLU())(torch.zeros(8, device=device))


def _answer(stub: _Stub, message: wire.AnyWire, orders: Channel) -> wire.Wire:
    try:
        return stub.obey(message, orders)
    except SystemExit as why:
        return wire.Raised(error=f"SystemExit: {why.code}", trace="")
    except Exception as why:  # noqa: BLE001 - whatever the candidate raises is its finding
        return _raised(why)


def _raised(why: BaseException) -> wire.Raised:
    line = f"{type(why).__name__}: {why}".strip()
    if isinstance(why, PermissionError):
        line += _CLOSED
    if "nvmlInit_v2_" in line and "INTERNAL ASSERT" in line:
        line = _OUT_OF_MEMORY
    trace = "".join(traceback.format_exception(why))
    return wire.Raised(
        error=_unplaced(line[:2000]),
        trace=_unplaced(trace[-MAX_TRACE_CHARS:]),
    )


def _unplaced(text: str) -> str:
    """Leave out where this machine keeps things: it is nobody's business, and prompts are kept."""
    library = Path(os.__file__).parent
    for folder in (Path.cwd(), Path(torch.__file__).parents[1], _PACKAGE.parent, library):
        text = text.replace(f"{folder}/", "")
    return text


class _Standing(ModuleType):
    """Answers for the problem's module, which no candidate sees, where its model is constructed.

    An object of a class of the problem's has the candidate's class of that name, or a bare one.
    """

    def __init__(self, candidate: ModuleType) -> None:
        super().__init__("problem")
        self._candidate = candidate

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the problem had there
        found = getattr(self._candidate, name, None)
        return found if found is not None else type(name, (), {})


class _Stub:
    """What one worker holds: an arena, a module, a tree of arguments."""

    def __init__(self, builds: Channel) -> None:
        self._ask_builder = _asker(builds)
        self._arena: arenas.Arena | None = None
        self._layout: Layout | None = None
        self._device = "cpu"
        self._model: Callable[..., Any] | None = None
        self._span = range(0)  # of the arena's addresses
        self._views: dict[int, list[torch.Tensor]] = {}  # of each slot's inputs
        self._targets: dict[int, list[torch.Tensor]] = {}  # of its outputs
        self._wanted: tuple[str, ...] = ()
        self._lax = False
        self._dense = True
        self._threads = torch.get_num_threads()
        self._cores = os.sched_getaffinity(0)
        self._kept: list[list[torch.Tensor | None]] = []

    def obey(self, message: wire.AnyWire, orders: Channel) -> wire.Wire:
        match message:
            case wire.Map():
                return self._map(message, orders.take_fd())
            case wire.Load():
                return self._load(message, orders.take_fd())
            case wire.Call():
                return self._call(message)
            case wire.Deliver():
                return self._deliver(message)
            case wire.Trace():
                return self._trace(message)
            case _:
                return wire.Raised(error=f"unknown order {type(message).__name__}", trace="")

    def _map(self, message: wire.Map, descriptor: int) -> wire.Wire:
        self._device = message.device
        self._layout = message.layout
        self._lax = message.lax
        self._dense = message.dense
        self._arena = arenas.attach(message.device, message.total_bytes, descriptor)
        base = self._arena.bytes(0, 1).data_ptr()
        self._span = range(base, base + self._arena.total_bytes)
        self._wanted = tuple(map(str, message.layout.outputs))
        if message.device == "cpu":
            _keep_freed_memory()
            # Larger results are the kernel's anyway, and what a check's calls wrote is kept.
            if message.layout.slot_bytes < _MMAP_FROM_BYTES:
                _have_memory(min(_MOST_HAD, _TIMES_ALL_SLOTS * message.total_bytes))
            _touch(self._arena.bytes(0, self._arena.total_bytes))
        else:
            _count_devices()
        return wire.Ready()

    # --- loading --------------------------------------------------------------------------------

    def _load(self, message: wire.Load, descriptor: int) -> wire.Wire:
        with os.fdopen(descriptor, "rb") as file:
            state = file.read()
        _set_precision(message.precision)
        if message.role == "null":
            self._model = _Null(self)
            return wire.Loaded(state="none")
        module = _import(message.source, load_inline_with=self._ask_builder)
        sys.modules.setdefault("problem", _Standing(module))
        given = torch.load(io.BytesIO(state), weights_only=False)
        cls = _model_class(module, wanted="ModelNew" if message.role == "candidate" else "Model")
        seed_all(message.seed)
        model = cls(*given["args"], **given["kwargs"])
        if not callable(model):
            raise TypeError("ModelNew must construct something that can be called")
        how, detail = _set_state(model, given["state"])
        if isinstance(model, torch.nn.Module):
            model.eval()
            model = model.to(message.device)
        self._device = message.device
        self._model = _compiled(model, message.role)
        return wire.Loaded(state=how, detail=detail)

    # --- calling --------------------------------------------------------------------------------

    def _arguments(self, slot: int) -> list[Any]:
        assert self._arena is not None  # noqa: S101 - the judge maps before it calls
        assert self._layout is not None  # noqa: S101 - likewise
        # Made once: what the protocol takes per call is nobody's time, and could be put to use.
        if slot not in self._views:
            self._views[slot] = arenas.inputs(self._arena, self._layout, slot)
            self._targets[slot] = arenas.outputs(self._arena, self._layout, slot)
        tensors = self._views[slot]
        if _EACH_ALONE:
            tensors = [tensor.clone() for tensor in tensors]
        return [plant(tree, tensors) for tree in self._layout.arguments]

    @torch.no_grad()
    def _call(self, message: wire.Call) -> wire.Wire:
        """Call the module on every slot, and keep its results until they are asked for."""
        assert self._model is not None  # noqa: S101 - the judge loads before it calls
        calls = [(slot, self._arguments(slot)) for slot in message.slots]
        clock = _DeviceClock() if self._device != "cpu" else _HostClock()
        shapes: tuple[str, ...] = ()
        misfit: tuple[str, ...] = ()
        fits, lent, places, self._kept = True, [], [], []
        self._begin_on_first_core()
        gc.disable()  # a collection inside a timed call would be charged to it
        try:
            for slot, arguments in calls:
                with clock, _named(message.nvtx):
                    result = self._model(*arguments)
                    leaves = self._own(slot, result, message.copied) if self._dense else []
                leaves = leaves or self._own(slot, result, message.copied)
                shapes = tuple(map(_describe, leaves))
                if not self._fits(result, shapes):
                    fits, misfit = False, (wire.described(tree_of(result), shapes),)
                lent.append(tuple(self._lent(slot, leaf) for leaf in leaves))
                self._kept.append(_without(leaves, lent[-1]))
                if self._device == "cpu":
                    places.append(tuple(map(_place, self._kept[-1])))
                del result, leaves
            return wire.Done(
                shapes=misfit or shapes,
                fits=fits,
                lent=tuple(lent),
                places=tuple(places),
                device_us=clock.read(),
                hidden=tuple(clock.hidden),
            )
        finally:
            gc.enable()

    def _begin_on_first_core(self) -> None:
        """Move to where none of OpenMP's threads is bound, free to leave: what is started may."""
        if self._device == "cpu":
            os.sched_setaffinity(0, {min(self._cores)})
            os.sched_setaffinity(0, self._cores)

    def _own(self, slot: int, result: Any, copied: bool) -> list[torch.Tensor]:  # noqa: ANN401, FBT001 - a tree of any kind; the hot path
        """Return a result's tensors dense and out of the arena, part of the call that is timed.

        Who returns a view in another layout, or of an input, leaves work to be done, and pays for
        it as whoever uses the result would; a tensor that is neither costs nothing, and an input
        as it lies is the judge's to copy.
        """
        leaves = harvest(result)
        if self._device != "cpu":
            leaves = [leaf.to(self._device) for leaf in leaves]
        elif any(leaf.device.type != "cpu" for leaf in leaves):
            raise TypeError(
                "a result does not lie in the CPU's memory, as the reference's do; return it there"
            )
        if copied:
            return [leaf.clone(memory_format=torch.contiguous_format) for leaf in leaves]
        dense = [leaf.contiguous().resolve_conj().resolve_neg() for leaf in leaves]
        return [
            leaf.clone()
            if leaf.data_ptr() in self._span and self._lent(slot, leaf) == wire.NOT_LENT
            else leaf
            for leaf in dense
        ]

    def _lent(self, slot: int, leaf: torch.Tensor) -> int:
        """Return the number of a slot's input that a tensor is, all of it, or ``wire.NOT_LENT``."""
        assert self._layout is not None  # noqa: S101 - the judge maps before it calls
        if leaf.data_ptr() not in self._span:
            return wire.NOT_LENT
        offset = leaf.data_ptr() - self._span.start - slot * self._layout.slot_bytes
        found = (
            number
            for number, spec in enumerate(self._layout.inputs)
            if spec.offset == offset and str(spec) == _describe(leaf)
        )
        return next(found, wire.NOT_LENT)

    def _fits(self, result: Any, shapes: tuple[str, ...]) -> bool:  # noqa: ANN401 - a tree of any kind
        assert self._layout is not None  # noqa: S101 - the judge maps before it calls
        return self._lax or (shapes == self._wanted and tree_of(result) == self._layout.results)

    @torch.no_grad()
    def _deliver(self, message: wire.Deliver) -> wire.Wire:
        """Copy what the last calls left into the slots."""
        kept, self._kept = self._kept, []
        with _as_many_threads(self._threads):
            for slot, leaves in zip(message.slots, kept, strict=True):
                for target, leaf in zip(self._targets[slot], leaves, strict=not self._lax):
                    if leaf is not None:
                        target.copy_(leaf)
        if self._device != "cpu":
            torch.cuda.synchronize()
        return wire.Delivered()

    @torch.no_grad()
    def _trace(self, message: wire.Trace) -> wire.Wire:
        assert self._model is not None  # noqa: S101 - the judge loads before it calls
        model, arguments = self._model, self._arguments(message.slot)
        wall, cpu = time.perf_counter(), time.process_time()
        model(*arguments)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        on_cpu = self._device == "cpu"
        taken = tally.tally(lambda: model(*arguments)) if on_cpu else None
        rows = traces.record(
            lambda: model(*arguments),
            calls=1 if on_cpu else message.calls,
            device=self._device,
            processor=taken,
        )
        return wire.Traced(rows=rows, cpu_seconds=cpu, wall_seconds=wall)

    def null_results(self) -> Any:  # noqa: ANN401 - the reference's own tree
        """Return results of the right shape that nothing computed."""
        assert self._layout is not None  # noqa: S101 - the judge maps before it calls
        tensors = [
            torch.zeros(spec.shape, dtype=getattr(torch, spec.dtype), device=self._device)
            for spec in self._layout.outputs
        ]
        return plant(self._layout.results, tensors)


class _HostClock:
    """Times calls on the host: what a call on a CPU takes."""

    def __init__(self) -> None:
        self._times_us: list[float] = []
        self._began = 0
        self.hidden: list[bool] = []

    def __enter__(self) -> None:
        self._began = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        self._times_us.append((time.perf_counter_ns() - self._began) / 1e3)
        self.hidden.append(True)

    def read(self) -> tuple[float, ...]:
        """Return microseconds per call."""
        return tuple(self._times_us)


class _DeviceClock:
    """Times calls between two events on the stream they are made on.

    A call whose first event has not passed when its last kernel is launched was never waited for:
    what it takes is the device's time. Another may have been timed by its launch.
    """

    def __init__(self) -> None:
        self._events: list[torch.cuda.Event] = []
        self.hidden: list[bool] = []

    def __enter__(self) -> None:
        self._mark()

    def __exit__(self, *_: object) -> None:
        self._mark()
        self.hidden.append(not self._events[-2].query())

    def _mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self._events.append(event)

    def read(self) -> tuple[float, ...]:
        """Wait for the device; return microseconds per call."""
        torch.cuda.synchronize()
        pairs = zip(self._events[::2], self._events[1::2], strict=True)
        return tuple(start.elapsed_time(end) * 1e3 for start, end in pairs)


def _count_devices() -> None:
    """Have torch count devices through CUDA.

    It asks NVML first, which behind a fence was seen to find none; torch.compile then keeps an
    empty list of devices and fails on it.
    """
    torch.cuda.init()
    count: int = torch._C._cuda_getDeviceCount()  # noqa: SLF001 - the one that is not cached
    torch.cuda._cached_device_count = count  # noqa: SLF001 - where device_count() looks first


def _keep_freed_memory() -> None:
    """Have the C library keep what is freed: memory that was had once is had at no cost again."""
    with suppress(AttributeError):  # another C library than glibc
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_FROM_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


def _have_memory(total_bytes: int) -> None:
    """Be given now what a block's calls will lie in: it is kept when it is freed."""
    # In pieces that are no kernel's: only those are kept.
    pieces = range(0, total_bytes, _PIECE)
    _ = [torch.empty(_PIECE, dtype=torch.uint8).fill_(1) for _piece in pieces]


def _touch(memory: torch.Tensor) -> None:
    """Have every page mapped now: the first who reaches for one would wait for it, on the clock."""
    memory[:: mmap.PAGESIZE].sum()


@contextmanager
def _as_many_threads(wanted: int) -> Iterator[None]:
    """Deliver with as many threads as everybody, whatever the candidate computes with."""
    own = torch.get_num_threads()
    if own == wanted:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(own)


@contextmanager
def _named(nvtx: str | None) -> Iterator[None]:
    """Name a call for Nsight Compute, where it looks on."""
    if nvtx is None:
        yield
        return
    torch.cuda.nvtx.range_push(nvtx)
    try:
        yield
    finally:
        torch.cuda.nvtx.range_pop()


class _Null:
    """A candidate that computes nothing: what its calls cost, less its claims, is the protocol's.

    It writes its results afresh, as everybody does: a copy of what was just written is cheaper
    than one of what lay in memory for long.
    """

    def __init__(self, stub: _Stub) -> None:
        self._stub = stub

    def __call__(self, *_arguments: object) -> Any:  # noqa: ANN401 - the reference's own tree
        return self._stub.null_results()


def _asker(builds: Channel) -> Callable[[BuildRequest], Artifact | Rejected]:
    """Return what ``load_inline`` calls: the compiler runs in the bench, never here."""

    def ask(request: BuildRequest) -> Artifact | Rejected:
        builds.send(wire.BuildAsked(request=msgspec.json.encode(request)))
        answer = builds.receive()
        if not isinstance(answer, wire.BuildAnswered):
            raise wire.Broken("the builder answered with something else")
        if answer.ok:
            return msgspec.json.decode(answer.answer, type=Artifact)
        return msgspec.json.decode(answer.answer, type=Rejected)

    return ask


def _import(
    source: str, *, load_inline_with: Callable[[BuildRequest], Artifact | Rejected]
) -> ModuleType:
    """Run the source as a module from a file: Triton and tracebacks read the file again."""
    load_inline.install(load_inline_with)
    path = Path("candidate.py")
    path.write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("candidate", path.resolve())
    if spec is None or spec.loader is None:
        raise ImportError("candidate.py cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["candidate"] = module
    spec.loader.exec_module(module)
    return module


def _model_class(module: ModuleType, *, wanted: str) -> Callable[..., Any]:
    found = getattr(module, wanted, None)
    if found is None and wanted == "Model":  # a convenience: the file's one module
        own = [
            value
            for value in vars(module).values()
            if isinstance(value, type)
            and issubclass(value, torch.nn.Module)
            and value.__module__ == module.__name__
        ]
        found = own[-1] if own else None
    if found is None:
        raise AttributeError(f"the file defines no class {wanted}")
    cls: Callable[..., Any] = found
    return cls


def seed_all(seed: int) -> None:
    """Seed every generator that a constructor may draw from."""
    random.seed(seed)
    torch.manual_seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)


def _set_precision(policy: str) -> None:
    """Apply the run's policy for float32 products; it holds for the baseline too."""
    if policy == "default":  # PyTorch's own: TF32 in convolutions, not in matrix products
        return
    allowed = policy == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def _set_state(model: object, state: dict[str, torch.Tensor] | None) -> tuple[Any, str | None]:
    """Give the module the judge's parameters by value, by name or else in order."""
    if not state:
        return "none", None
    if not isinstance(model, torch.nn.Module):
        return "seeded", "ModelNew is no torch.nn.Module, so its parameters could not be set"
    return ("by name", None) if _takes_by_itself(model, state) else _placed(model, state)


def _placed(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> tuple[Any, str | None]:
    own = model.state_dict()
    missing, extra = sorted(state.keys() - own.keys()), sorted(own.keys() - state.keys())
    both = {name: value for name, value in state.items() if name in own}
    fits = all(is_lazy(own[name]) or own[name].shape == both[name].shape for name in both)
    # What it keeps besides is its own, and a counter that nothing is computed from needs no place.
    if both and fits and not any(_is_inexact(state[name]) for name in missing):
        model.load_state_dict(both, strict=False)
        return "by name", None
    # Under other names, in order; a buffer more than the reference has is the candidate's own.
    for named in (own, dict(model.named_parameters())):
        shapes = [None if is_lazy(value) else tuple(value.shape) for value in named.values()]
        if shapes == [tuple(value.shape) for value in state.values()]:
            model.load_state_dict(dict(zip(named, state.values(), strict=True)), strict=False)
            return "by order", None
    if not missing:
        return "seeded", "parameters of the reference's names have other shapes"
    return "seeded", f"parameters missing {missing[:6]}, unexpected {extra[:6]}"


def _takes_by_itself(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    """Whether the module has a way of its own to load these names, as one that fuses has."""
    hooked = any(
        each._load_state_dict_pre_hooks  # noqa: SLF001 - torch offers no public list of them
        or type(each)._load_from_state_dict is not torch.nn.Module._load_from_state_dict  # noqa: SLF001
        for each in model.modules()
    )
    if not hooked or state.keys() <= model.state_dict().keys():
        return False
    try:
        found = model.load_state_dict(state, strict=False)
    except (RuntimeError, KeyError):
        return False
    own = dict(model.named_parameters())
    return not found.unexpected_keys and not own.keys() & set(found.missing_keys)


def _is_inexact(value: torch.Tensor) -> bool:
    return value.is_floating_point() or value.is_complex()


def _compiled(model: Callable[..., Any], role: str) -> Callable[..., Any]:
    if role == "compiled":
        compiled: Callable[..., Any] = torch.compile(model)
        return compiled
    if role == "autotuned":
        tuned: Callable[..., Any] = torch.compile(model, mode="max-autotune-no-cudagraphs")
        return tuned
    return model


# --- trees of arguments and results --------------------------------------------------------------


def plant(tree: Any, tensors: list[torch.Tensor]) -> Any:  # noqa: ANN401 - trees are of any kind
    """Return the tree with ``{"t": i}`` replaced by tensor ``i``."""
    if isinstance(tree, dict) and tree.keys() == {"t"}:
        return tensors[tree["t"]]
    if isinstance(tree, dict) and tree.keys() == {"tuple"}:
        return tuple(plant(item, tensors) for item in tree["tuple"])
    if isinstance(tree, dict) and tree.keys() == {"dict"}:
        return {key: plant(item, tensors) for key, item in tree["dict"].items()}
    if isinstance(tree, list):
        return [plant(item, tensors) for item in tree]
    return tree


def harvest(tree: Any) -> list[torch.Tensor]:  # noqa: ANN401 - trees are of any kind
    """Return the tensors of a tree in order; a plain number counts as a float64 scalar."""
    if isinstance(tree, torch.Tensor):
        return [tree.detach()]
    if isinstance(tree, dict):
        return [leaf for key in _in_order(tree) for leaf in harvest(tree[key])]
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in harvest(item)]
    if isinstance(tree, int | float | bool):
        return [torch.tensor(float(tree), dtype=torch.float64)]
    return []


def _in_order(tree: dict[Any, Any]) -> list[Any]:
    """Return a dict's keys in an order of their own; not all of them can be compared."""
    return sorted(tree, key=repr)


def are_numbers(tree: Any) -> tuple[bool, ...]:  # noqa: ANN401 - trees are of any kind
    """Say of each leaf that ``harvest`` returns whether it was a plain number."""
    if isinstance(tree, torch.Tensor):
        return (False,)
    if isinstance(tree, dict):
        return tuple(leaf for key in _in_order(tree) for leaf in are_numbers(tree[key]))
    if isinstance(tree, list | tuple):
        return tuple(leaf for item in tree for leaf in are_numbers(item))
    return (True,) if isinstance(tree, int | float | bool) else ()


def _place(leaf: torch.Tensor | None) -> int:
    return 0 if leaf is None else leaf.data_ptr()


def _without(leaves: list[torch.Tensor], lent: tuple[int, ...]) -> list[torch.Tensor | None]:
    """Return the tensors that are to be delivered, ``None`` for the others."""
    both = zip(leaves, lent, strict=True)
    return [leaf if number == wire.NOT_LENT else None for leaf, number in both]


def tree_of(tree: Any, count: list[int] | None = None) -> Any:  # noqa: ANN401 - of any kind
    """Return a tree's shape: its tensors replaced by ``{"t": i}``, lists and tuples alike."""
    count = [0] if count is None else count
    if isinstance(tree, torch.Tensor | int | float | bool):
        count[0] += 1
        return {"t": count[0] - 1}
    if isinstance(tree, dict):
        return {"dict": {key: tree_of(tree[key], count) for key in _in_order(tree)}}
    if isinstance(tree, list | tuple):
        return [tree_of(item, count) for item in tree]
    return None


def _describe(leaf: torch.Tensor) -> str:
    dtype = str(leaf.dtype).removeprefix("torch.")
    return f"{dtype}[{', '.join(map(str, leaf.shape))}]"


__all__ = ["harvest", "plant", "seed_all", "serve", "tree_of", "warm_compiler"]
