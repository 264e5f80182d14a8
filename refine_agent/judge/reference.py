"""The reference: the problem's own ``Model``, its inputs under a seed, and what it answers.

It owns loading the problem file, drawing inputs and parameters, and the fp64 oracle; how near an
answer must come is ``tolerance``'s business.
"""

from __future__ import annotations

import copy
import io
import linecache
import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from refine_agent.arena import ALIGNMENT
from refine_agent.judge import room, tolerance
from refine_agent.judge.draws import SideBySide
from refine_agent.wire import Layout, TensorSpec
from refine_agent.worker.stub import are_numbers, harvest, plant, seed_all, tree_of

# A parameter whose elements are all equal is at its default (ones, zeros); it is moved off it by
# this much, so that a candidate that drops it is seen.
OFF_DEFAULT = 0.25
# Two answers to the same inputs that differ by more than this are no rounding in another order.
REPEATED = 2e-2
_NARROW = (torch.float32, torch.float16, torch.bfloat16)


class ProblemFault(Exception):  # noqa: N818 - a fault of the problem file
    """The problem file does not work; the message says where and what to do."""


class Reference:
    """A loaded problem on a device, under one seed for its parameters."""

    def __init__(
        self, source: str, *, device: str, seed: int, precision: str | None = None
    ) -> None:
        self.device = device
        self.seed = seed
        # get_inputs() draws from generators that all threads share.
        self._drawing = threading.Lock()
        self._module = _execute(source)
        declared = getattr(self._module, "PRECISION", "default")
        self.precision: str = precision or str(declared)
        if self.precision not in ("default", "ieee", "tf32"):
            raise ProblemFault(
                f"PRECISION is {self.precision!r}; it may be 'default', 'ieee' or 'tf32'"
            )
        set_precision(self.precision)
        self.mutable: tuple[int, ...] = tuple(getattr(self._module, "MUTABLE_INPUTS", ()))
        self.tolerance: float | None = getattr(self._module, "TOLERANCE", None)
        args = _call(self._module.get_init_inputs, "get_init_inputs()")
        self.args, self.kwargs = _construction(args)
        self.model = self._construct()
        example = self.draw(seed=seed)
        _must_be_comparable(self.tensors(example), "get_inputs() returns")
        self.changes_inputs = bool(self.mutable) or self._changes_any(example)
        results = self.answer(example)
        _must_be_comparable(results, "Model.forward returns")
        self._must_repeat(example, results)
        self.finite = all(map(tolerance.is_finite, results))
        self.layout = self._lay_out(example, results)

    # --- parameters -----------------------------------------------------------------------------

    def _construct(self) -> torch.nn.Module:
        cls = _model_class(self._module)
        seed_all(self.seed)
        model = _call(
            lambda: cls(*copy.deepcopy(self.args), **self.kwargs), "Model(*get_init_inputs())"
        )
        if not isinstance(model, torch.nn.Module):
            raise ProblemFault("Model is no torch.nn.Module; derive it from torch.nn.Module")
        model.eval()
        self._fill_in(model)
        self._move_off_defaults(model)
        return model.to(self.device)

    def _fill_in(self, model: torch.nn.Module) -> None:
        """Have lazy modules see inputs once: only then do their parameters have a shape."""
        if not any(is_lazy(value) for value in model.state_dict().values()):
            return
        arguments = [_onto(item, "cpu") for item in self.draw(seed=self.seed)]
        torch.manual_seed(self.seed)
        with torch.no_grad():
            _call(lambda: model(*arguments), "Model.forward(*get_inputs())")

    def _move_off_defaults(self, model: torch.nn.Module) -> None:
        generator = torch.Generator().manual_seed(self.seed ^ 0x5EED)
        with torch.no_grad():
            for value in model.state_dict().values():
                if not value.is_floating_point() or value.numel() == 0:
                    continue
                first = value.flatten()[0]
                # An infinity is a mask's, and stays one: what is added to it makes it no number.
                if bool(torch.isfinite(first)) and bool((value == first).all()):
                    noise = torch.rand(value.shape, generator=generator) * 2 - 1
                    # In proportion: a temperature or an epsilon keeps its sign and its size.
                    size = first.abs().item() or 1.0
                    value.add_((noise * OFF_DEFAULT * size).to(value.dtype))

    def state(self) -> bytes:
        """Return construction arguments and parameters by value, as ``torch.save`` writes them."""
        buffer = io.BytesIO()
        values = {name: value.detach().cpu() for name, value in self.model.state_dict().items()}
        try:
            torch.save({"args": self.args, "kwargs": self.kwargs, "state": values}, buffer)
        except (pickle.PicklingError, AttributeError, TypeError) as why:
            raise ProblemFault(
                f"what get_init_inputs() returns cannot be handed to another process ({why}); let "
                "it return numbers, strings, tensors and lists or dicts of them"
            ) from why
        return buffer.getvalue()

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Whatever one trial makes of the parameters, the next finds them as they were."""
        model = self.model
        try:
            yield
        finally:
            self.model = model

    def reseed_as_constructed(self) -> None:
        """Take the parameters a constructor draws under this seed, for other names."""
        cls = _model_class(self._module)
        seed_all(self.seed)
        model = cls(*copy.deepcopy(self.args), **self.kwargs).eval()
        self._fill_in(model)
        self.model = model.to(self.device)

    # --- inputs ---------------------------------------------------------------------------------

    def draw(self, *, seed: int) -> list[Any]:
        """Return fresh arguments for one call, on the device, under ``seed``."""
        with self._drawing, torch.device(self.device), SideBySide():
            seed_all(seed)
            drawn = _call(self._module.get_inputs, "get_inputs()")
        if not isinstance(drawn, Sequence):
            raise ProblemFault(
                f"get_inputs() returns a {type(drawn).__name__}; it must return a list of arguments"
            )
        return [_onto(item, self.device) for item in drawn]

    # --- answers --------------------------------------------------------------------------------

    @torch.no_grad()
    def answer(self, arguments: Sequence[Any]) -> list[torch.Tensor]:
        """Return the reference's results at its own precision."""
        copied = _copied(arguments) if self.changes_inputs else arguments
        result = _call(lambda: self.model(*copied), "Model.forward(*get_inputs())")
        self._results = tree_of(result)
        self.numbers = are_numbers(result)
        leaves = harvest(result)
        if not leaves:
            raise ProblemFault(
                f"Model.forward returns no tensor (but: {type(result).__name__}), so there is "
                "nothing to compare; let it return tensors, or lists, tuples or dicts of them"
            )
        if odd := [leaf.layout for leaf in leaves if leaf.layout != torch.strided]:
            raise ProblemFault(f"Model.forward returns a tensor of layout {odd[0]}; make it dense")
        return [leaf.contiguous().to(self.device) for leaf in leaves]

    @torch.no_grad()
    def oracle(self, arguments: Sequence[Any], *, moved: float = 0.0) -> list[torch.Tensor] | None:
        """Return the results in float64, or ``None`` where the operator does not allow it.

        ``moved`` nudges every parameter by up to this part of it, at random. Where memory is full
        nobody knows whether the operator would, and what torch raises is the caller's.
        """
        for widened in (nullcontext(), _Widened()):
            try:
                return self._in_float64(arguments, moved, widened)
            except (RuntimeError, TypeError, NotImplementedError, AssertionError) as why:
                if room.was_lacking(why):
                    raise
        return None

    def _in_float64(
        self, arguments: Sequence[Any], moved: float, widened: AbstractContextManager[Any]
    ) -> list[torch.Tensor]:
        model = _in_double(copy.deepcopy(self.model))
        for value in model.parameters() if moved else ():
            value.mul_(1 + moved * (2 * torch.rand(value.shape, device=value.device) - 1))
        doubled = [_doubled(item) for item in arguments]
        with widened:
            result = model(*doubled)
        return [_wide(leaf.contiguous()) for leaf in harvest(result)]

    @torch.no_grad()
    def _changes_any(self, arguments: Sequence[Any]) -> bool:
        """Whether the reference writes to its inputs, as in-place activations do."""
        copied = _copied(arguments)
        _call(lambda: self.model(*copied), "Model.forward(*get_inputs())")
        pairs = zip(self.tensors(copied), self.tensors(arguments), strict=True)
        return not all(tolerance.same_bytes(a, b) for a, b in pairs)

    def _must_repeat(self, arguments: Sequence[Any], results: list[torch.Tensor]) -> None:
        """Refuse what answers the same inputs in two ways: nobody could be held against it."""
        again = self.answer(arguments)
        if len(again) == len(results) and all(map(_alike, results, again)):
            return
        raise ProblemFault(
            "Model.forward answers the same inputs in another way the second time: it draws random "
            "numbers (dropout) or keeps something from call to call; make its results depend on "
            "the arguments alone"
        )

    # --- layout ---------------------------------------------------------------------------------

    def _lay_out(self, arguments: Sequence[Any], results: list[torch.Tensor]) -> Layout:
        tensors = [leaf for item in arguments for leaf in _tensors(item)]
        inputs, end = _specs(tensors, 0)
        outputs, end = _specs(results, end)
        count = [0]
        tree = [_template(item, count) for item in arguments]
        return Layout(
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            arguments=tree,
            results=self._results,
            slot_bytes=max(end, ALIGNMENT),
        )

    def tensors(self, arguments: Sequence[Any]) -> list[torch.Tensor]:
        """Return the tensors among the arguments, in the layout's order, dense."""
        return [leaf.contiguous() for item in arguments for leaf in _tensors(item)]

    def replant(self, tensors: list[torch.Tensor]) -> list[Any]:
        """Return arguments with other tensors in their places."""
        return [plant(tree, tensors) for tree in self.layout.arguments]


def _must_be_comparable(tensors: Sequence[torch.Tensor], who: str) -> None:
    """Refuse types that PyTorch has next to no arithmetic for."""
    narrow = [t.dtype for t in tensors if t.is_floating_point() and t.dtype.itemsize == 1]
    if narrow:
        kind = str(narrow[0]).removeprefix("torch.")
        raise ProblemFault(
            f"{who} a tensor of {kind}, whose values PyTorch can neither draw nor compare; hand "
            f"over bfloat16 and convert to {kind} and back within forward"
        )


def set_precision(policy: str) -> None:
    """Apply a policy for float32 products to this process, as ``worker.stub`` does to a worker."""
    if policy == "default":
        return
    torch.backends.cuda.matmul.allow_tf32 = policy == "tf32"
    torch.backends.cudnn.allow_tf32 = policy == "tf32"


def _execute(source: str) -> types.ModuleType:
    module = types.ModuleType("problem")
    try:
        # Dataclasses look their module up, and TorchScript and tracebacks read the source again.
        sys.modules[module.__name__] = module
        lines = source.splitlines(keepends=True)
        linecache.cache["problem.py"] = (len(source), None, lines, "problem.py")
        exec(compile(source, "problem.py", "exec"), module.__dict__)  # noqa: S102 - the user's own reference
    except Exception as why:
        raise ProblemFault(f"the problem file raises {type(why).__name__}: {why}") from why
    return module


def _call(function: Callable[[], Any], what: str) -> Any:  # noqa: ANN401 - the problem's own values
    try:
        return function()
    except ProblemFault:
        raise
    except Exception as why:
        if room.was_lacking(why):  # whoever fills it
            raise
        raise ProblemFault(f"{what} raises {type(why).__name__}: {str(why)[:500]}") from why


def _construction(given: Any) -> tuple[list[Any], dict[str, Any]]:  # noqa: ANN401 - see KernelBench
    """KernelBench returns a list; level-3 files sometimes ``[args, kwargs]``."""
    if given is None:
        return [], {}
    if len(given) == 2 and isinstance(given[0], list) and isinstance(given[1], dict):  # noqa: PLR2004
        return list(given[0]), dict(given[1])
    if isinstance(given, Mapping):
        return [], dict(given)
    return list(given), {}


def _model_class(module: types.ModuleType) -> type[torch.nn.Module]:
    named = getattr(module, "Model", None)
    if named is not None:
        found: type[torch.nn.Module] = named
        return found
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, torch.nn.Module)
        and value.__module__ == module.__name__
    ]
    if not own:
        raise ProblemFault("the problem file defines no class Model; add one (a torch.nn.Module)")
    return own[-1]


def _onto(item: Any, device: str) -> Any:  # noqa: ANN401 - arguments are of any kind
    if isinstance(item, torch.Tensor):
        if item.layout != torch.strided:
            raise ProblemFault(
                f"get_inputs() returns a tensor of layout {item.layout}; hand over dense tensors "
                "(indices, values) and make it of them within forward"
            )
        return item.detach().to(device)
    if isinstance(item, list | tuple):
        return _like(item, [_onto(part, device) for part in item])
    if isinstance(item, dict):
        return {key: _onto(part, device) for key, part in item.items()}
    return item


def _copied(arguments: Sequence[Any]) -> list[Any]:
    return [
        item.clone() if isinstance(item, torch.Tensor) else copy.deepcopy(item)
        for item in arguments
    ]


def _doubled(item: Any) -> Any:  # noqa: ANN401 - arguments are of any kind
    if isinstance(item, torch.Tensor):
        return _wide(item.clone())
    if isinstance(item, list | tuple):
        return _like(item, [_doubled(part) for part in item])
    if isinstance(item, dict):
        return {key: _doubled(part) for key, part in item.items()}
    return item


def _like(item: Any, parts: list[Any]) -> Any:  # noqa: ANN401 - a list or a tuple of any kind
    return type(item)(*parts) if hasattr(item, "_fields") else type(item)(parts)


class _Widened(TorchDispatchMode):
    """All arithmetic is float64: of models that name types in ``forward``, or make tensors there.

    What is narrow all the same (a constant of the file's, a list of tensors) is widened where it is
    used. What is a view, or is written to, is left as it is: a copy would be another tensor.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - torch's signature
        types: Any,  # noqa: ANN401 - torch's signature
        args: Any = (),  # noqa: ANN401 - torch's signature
        kwargs: Any = None,  # noqa: ANN401 - torch's signature
    ) -> Any:  # noqa: ANN401 - torch's signature
        named = {
            name: torch.float64 if isinstance(value, torch.dtype) and value in _NARROW else value
            for name, value in (kwargs or {}).items()
        }
        schema = func._schema  # noqa: SLF001 - torch offers no public schema
        if any(each.alias_info is not None for each in schema.returns):
            kept = [each.alias_info is not None for each in schema.arguments]
            positional = [
                item if is_kept else tree_map(_widened, item)
                for item, is_kept in zip(args, kept, strict=False)
            ]
            return func(*positional, **named)
        return tree_map(_widened, func(*tree_map(_widened, args), **tree_map(_widened, named)))


def _widened(item: Any) -> Any:  # noqa: ANN401 - arguments are of any kind
    is_narrow = isinstance(item, torch.Tensor) and item.dtype in _NARROW
    return item.double() if is_narrow else item


def _in_double(model: torch.nn.Module) -> torch.nn.Module:
    for module in model.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor):  # neither a parameter nor a buffer
                setattr(module, name, _wide(value.detach()))
    for value in (*model.parameters(), *model.buffers()):
        if value.is_complex():
            value.data = value.data.to(torch.complex128)
    return model.double()


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor


def _alike(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two answers could be one operation's, whose sums need not be of one order."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    if not (first.is_floating_point() or first.is_complex()):
        return float((first != second).double().mean()) < REPEATED if first.numel() else True
    return tolerance.distance(second, first) < REPEATED


def _tensors(item: Any) -> list[torch.Tensor]:  # noqa: ANN401 - arguments are of any kind
    if isinstance(item, torch.Tensor):
        return [item]
    if isinstance(item, list | tuple):
        return [leaf for part in item for leaf in _tensors(part)]
    if isinstance(item, dict):
        return [leaf for part in item.values() for leaf in _tensors(part)]
    return []


def _template(item: Any, count: list[int]) -> Any:  # noqa: ANN401 - arguments are of any kind
    if isinstance(item, torch.Tensor):
        count[0] += 1
        return {"t": count[0] - 1}
    if hasattr(item, "_fields"):
        raise ProblemFault(
            f"get_inputs() returns a {type(item).__name__}; a plain tuple can be handed to a "
            "candidate, a named one cannot"
        )
    if isinstance(item, tuple):
        return {"tuple": [_template(part, count) for part in item]}
    if isinstance(item, list):
        return [_template(part, count) for part in item]
    if isinstance(item, dict):
        return {"dict": {key: _template(part, count) for key, part in item.items()}}
    if item is None or isinstance(item, bool | int | float | str):
        return item
    raise ProblemFault(
        f"get_inputs() returns a {type(item).__name__}; "
        "tensors, numbers, strings and lists of them can be handed to a candidate"
    )


def _specs(tensors: Sequence[torch.Tensor], start: int) -> tuple[list[TensorSpec], int]:
    specs, end = [], start
    for tensor in tensors:
        dtype = str(tensor.dtype).removeprefix("torch.")
        specs.append(TensorSpec(offset=end, shape=tuple(tensor.shape), dtype=dtype))
        nbytes = tensor.numel() * tensor.element_size()
        # A guard band follows every tensor, so that reading or writing past its end shows.
        end += (nbytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT + ALIGNMENT
    return specs, end
