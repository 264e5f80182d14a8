"""Owns running one candidate file under some build and writing down all that a caller can see of it.

Building is left to `refine_agent.builder`. As a script it runs in a child: candidates may crash.
"""

import contextlib
import importlib.util
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import cpp_extension

from refine_agent.builder import Artifact, BuildRequest, build
from refine_agent.builder.run import run_plainly
from refine_agent.worker.load_inline import Build, Load, import_extension, install

_SEED = 20
_MAX_TEXT = 1500


class Seen:
    """One call: what came back or was raised, as text, and the tensors of it."""

    def __init__(self, call: str, text: str, tensors: list[torch.Tensor]) -> None:
        self.call = call
        self.text = text
        self.tensors = tensors

    def differs_from(self, other: "Seen") -> str | None:
        """One sentence about the first difference, or None; floats may differ by their rounding."""
        if self.text != other.text:
            return f"{self.call}: {self.text[:300]!r} against {other.text[:300]!r}"
        for mine, theirs in zip(self.tensors, other.tensors, strict=True):
            if not _close(mine, theirs):
                return f"{self.call}: values differ by up to {(mine.double() - theirs.double()).abs().max().item():.3g}"
        return None


def captured_requests(candidate: Path) -> list[BuildRequest]:
    """What a candidate's file asks to build, with nothing built; needs no GPU."""
    requests: list[BuildRequest] = []

    def note(request: BuildRequest) -> Artifact:
        requests.append(request)
        return Artifact(
            module=request.name,
            path="",
            digest="",
            flavour="light",
            why_stock=None,
            seconds=0,
            cached=False,
            log="",
        )

    with installed(note, lambda _: _Nothing("nothing")), _OnCpu(), contextlib.suppress(Exception):  # noqa: BLE001 - it computes with nothing
        module = loaded_candidate(candidate)
        module.ModelNew(*module.get_init_inputs()).forward(*module.get_inputs())
    return requests


def observations(
    candidate: Path, *, build_with: Build, load: Load = import_extension
) -> list[Seen]:
    """Run the candidate's model and, with variants of their arguments, the functions that it bound."""
    calls: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
    with installed(build_with, lambda artifact: _recording(load(artifact), calls)):
        torch.manual_seed(_SEED)
        seen = [_seen("forward", lambda: _forward(candidate))]
    for name, (function, arguments) in calls.items():
        for variant, changed in _variants(arguments):
            seen.append(_seen(f"{name} {variant}", lambda f=function, a=changed: f(*a)))
        seen.append(
            _seen(
                f"{name} with a keyword",
                lambda f=function, a=arguments: f(*a[:-1], arg=a[-1] if a else 0),
            )
        )
    return seen


@contextlib.contextmanager
def installed(build_with: Build, load: Load) -> Iterator[None]:
    """The drop-in, for as long as the block runs."""
    before = cpp_extension.load_inline, cpp_extension.load
    install(build_with, load)
    try:
        yield
    finally:
        cpp_extension.load_inline, cpp_extension.load = before


def loaded_candidate(path: Path) -> Any:
    """Import a candidate's file as a module of its own."""
    spec = importlib.util.spec_from_file_location(f"candidate_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _forward(candidate: Path) -> Any:
    module = loaded_candidate(candidate)
    torch.manual_seed(_SEED)
    return module.ModelNew(*module.get_init_inputs()).forward(*module.get_inputs())


def _variants(arguments: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Ways to call a function that keep it inside its tensors, whatever it forgets to check."""
    yield "as the model calls it", arguments
    yield (
        "with strided tensors",
        tuple(_strided(a) if isinstance(a, torch.Tensor) else a for a in arguments),
    )
    yield (
        "with doubles",
        tuple(
            a.double() if isinstance(a, torch.Tensor) and a.is_floating_point() else a
            for a in arguments
        ),
    )
    yield "with too few arguments", arguments[:-1]
    yield "with too many arguments", (*arguments, 1)
    for index, argument in enumerate(arguments):
        for name, other in _others(argument):
            yield (
                f"with {name} for argument {index}",
                (*arguments[:index], other, *arguments[index + 1 :]),
            )


def _others(argument: Any) -> Iterator[tuple[str, Any]]:
    yield "an object", object
    if isinstance(argument, torch.Tensor):
        yield "a number", 3
        yield "a list", [argument]
        if argument.numel() and not argument.is_cuda:
            yield "nothing", None
    elif isinstance(argument, bool | int):
        yield "a real number", float(argument)
        yield "a tensor", torch.tensor(argument)
        yield "a huge number", 2**70
        yield "text", "2"
    elif isinstance(argument, float):
        yield "a whole number", int(argument)
        yield "a tensor", torch.tensor(argument)
        yield "text", "2.0"
    elif isinstance(argument, list | tuple):
        yield "another sequence", tuple(argument) if isinstance(argument, list) else list(argument)
        yield "an iterator", iter(argument)
        yield "text", "23"


def _strided(t: torch.Tensor) -> torch.Tensor:
    """The same values over memory at least as large, out of order."""
    if t.dim() > 1:
        return t.detach().transpose(-1, -2).contiguous().transpose(-1, -2)
    return t.detach().repeat_interleave(2)[::2] if t.dim() == 1 else t


def _seen(call: str, run: Callable[[], Any]) -> Seen:
    try:
        value = run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 - whatever it raises is what we came to see
        return Seen(call, f"{type(error).__name__}: {_comparable(str(error))[:_MAX_TEXT]}", [])
    tensors: list[torch.Tensor] = []
    return Seen(call, _described(value, tensors), tensors)


def _described(value: Any, tensors: list[torch.Tensor]) -> str:
    if isinstance(value, torch.Tensor):
        tensors.append(value.detach().cpu())
        return f"{value.dtype} {tuple(value.shape)} strides {value.stride()} on {value.device.type} grad {value.requires_grad}"
    if isinstance(value, list | tuple):
        inner = ", ".join(_described(item, tensors) for item in value)
        return f"{type(value).__name__}({inner})"
    return _comparable(f"{type(value).__name__} {value!r}")


def _comparable(text: str) -> str:
    """The message without what differs from run to run: addresses and the time of day."""
    return re.sub(r"\[F\d{4} [\d:.]+", "[F", text.partition("\nInvoked with:")[0])


def _close(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    if not (mine.is_floating_point() or mine.is_complex()):
        return torch.equal(mine, theirs)
    tolerance = 1e-2 if mine.dtype in (torch.float16, torch.bfloat16) else 1e-4
    return torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)


def _recording(module: Any, calls: dict[str, Any]) -> Any:
    """The module, noting each function's first call."""
    proxy = types.ModuleType(module.__name__, module.__doc__)
    for name in dir(module):
        function = getattr(module, name)
        if callable(function) and not name.startswith("__"):
            function = _noting(f"{module.__name__}.{name}", function, calls)
        if not name.startswith("__"):
            setattr(proxy, name, function)
    return proxy


def _noting(name: str, function: Callable[..., Any], calls: dict[str, Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        if not named:
            kept = tuple(
                a.detach().clone() if isinstance(a, torch.Tensor) else a for a in arguments
            )
            calls.setdefault(name, (function, kept))
        return function(*arguments, **named)

    return call


class _OnCpu(TorchFunctionMode):
    """Lets a CUDA candidate's file run where there is no GPU."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ARG002
        named = dict(kwargs or {})
        if str(named.get("device", "")).startswith("cuda"):
            named["device"] = "cpu"
        if getattr(func, "__name__", "") == "cuda":
            return args[0]
        return func(*args, **named)


class _Nothing(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **_: arguments[0] if arguments else None


def main(candidate: str, flavour: str, device: str, cache: str, out: str) -> None:
    """Observe one candidate under one flavour and save what was seen."""

    def build_with(request: BuildRequest) -> Any:
        return build(
            request,
            run=run_plainly,
            cache=Path(cache),
            device=device,
            flavour=flavour,
            deadline_s=400,
        )  # type: ignore[arg-type]

    torch.save(observations(Path(candidate), build_with=build_with), out)


if __name__ == "__main__":
    main(*sys.argv[1:])
