"""Owns running a candidate file under some build and noting all that a caller can see of it.

Building is left to `refine_agent.builder`. As a script it runs in a child: candidates may crash.
"""

import contextlib
import importlib
import importlib.util
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, cast

import msgspec
import torch
from torch.overrides import TorchFunctionMode
from torch.utils import cpp_extension

from refine_agent.builder import Artifact, BuildRequest, Device, Flavour, Rejected, build
from refine_agent.builder.run import run_plainly
from refine_agent.worker.load_inline import Build, Load, import_extension, install

_SEED = 20
_MAX_TEXT_CHARS = 1500

_Function = Callable[..., object]


class Seen:
    """One call: what came back or was raised, as text, and the tensors of it."""

    def __init__(self, call: str, text: str, tensors: list[torch.Tensor]) -> None:
        self.call = call
        self.text = text
        self.tensors = tensors

    def differs_from(self, other: "Seen") -> str | None:
        """One sentence about the first difference; floats may differ by their rounding."""
        if (self.call, self.text) != (other.call, other.text):
            return f"{self.call}: {self.text[:300]!r} against {other.text[:300]!r}"
        for mine, theirs in zip(self.tensors, other.tensors, strict=True):
            if not _close(mine, theirs):
                apart = (mine.to(torch.complex128) - theirs).abs().max().item()
                return f"{self.call}: values differ by up to {apart:.3g}"
        return None


class Noted(msgspec.Struct, frozen=True, kw_only=True):
    """How one candidate was built and what was seen of it."""

    builds: tuple[Artifact | None, ...]
    """None: rejected."""
    seen: list[Seen]


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

    # Past the point where it asks, a candidate computes with nothing, and may fail as it likes.
    with _installed(note, lambda _: _Nothing("nothing")), _OnCpu(), contextlib.suppress(Exception):
        _forward(candidate)
    return requests


def observed(candidate: Path, *, build_with: Build, load: Load = import_extension) -> Noted:
    """Run the candidate's model, and the functions it bound with variants of their arguments."""
    calls: dict[str, tuple[_Function, tuple[object, ...]]] = {}
    builds: list[Artifact | None] = []

    def noted(request: BuildRequest) -> Artifact | Rejected:
        built = build_with(request)
        builds.append(built if isinstance(built, Artifact) else None)
        return built

    with _installed(noted, lambda artifact: _recording(load(artifact), calls)):
        seen = [_seen("forward", lambda: _forward(candidate))]
    for name, (function, arguments) in calls.items():
        seen += [
            _seen(f"{name} {variant}", lambda f=function, a=changed: f(*a))  # type: ignore[misc]
            for variant, changed in _variants(arguments)
        ]
        seen.append(_seen(f"{name} with a keyword", lambda f=function: f(arg=0)))  # type: ignore[misc]
    return Noted(builds=tuple(builds), seen=seen)


def salted(request: BuildRequest, salt: str) -> BuildRequest:
    """The same request, but for a comment that no cache has seen."""
    return msgspec.structs.replace(
        request,
        cpp_sources=(*request.cpp_sources, f"// {salt}"),
        cuda_sources=(*request.cuda_sources, f"// {salt}") if request.cuda_sources else (),
    )


@contextlib.contextmanager
def _installed(build_with: Build, load: Load) -> Iterator[None]:
    """The drop-in, for as long as the block runs."""
    before = cpp_extension.load_inline, cpp_extension.load
    install(build_with, load)
    try:
        yield
    finally:
        cpp_extension.load_inline, cpp_extension.load = before


def _forward(candidate: Path) -> object:
    """Import the file as a module of its own and run its model on its inputs."""
    spec = importlib.util.spec_from_file_location(f"candidate_{candidate.stem}", candidate)
    if spec is None or spec.loader is None:
        raise ImportError(f"{candidate} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(_SEED)
    model = module.ModelNew(*module.get_init_inputs())
    return cast("object", model.forward(*module.get_inputs()))


def _variants(arguments: tuple[object, ...]) -> Iterator[tuple[str, tuple[object, ...]]]:
    """Ways to call a function that keep it inside its tensors, whatever it forgets to check."""
    yield "as the model calls it", arguments
    yield "with strided tensors", tuple(map(_strided, arguments))
    yield "with doubles", tuple(map(_doubled, arguments))
    yield "with too few arguments", arguments[:-1]
    yield "with too many arguments", (*arguments, 1)
    for index, argument in enumerate(arguments):
        for name, other in _others(argument):
            changed = (*arguments[:index], other, *arguments[index + 1 :])
            yield f"with {name} for argument {index}", changed


def _others(argument: object) -> Iterator[tuple[str, object]]:
    yield "an object", object
    match argument:
        case torch.Tensor():
            yield "a number", 3
            yield "a list", [argument]
            if not argument.is_cuda:
                yield "nothing", None
        case bool() | int():
            yield "a real number", float(argument)
            yield "a tensor", torch.tensor(argument)
            yield "a huge number", 2**70
            yield "text", "2"
        case float():
            yield "a whole number", int(argument)
            yield "a tensor", torch.tensor(argument)
            yield "text", "2.0"
        case list() | tuple():
            other = tuple(argument) if isinstance(argument, list) else list(argument)
            yield "another sequence", other
            yield "an iterator", iter(argument)
            yield "text", "23"


def _strided(argument: object) -> object:
    """The same values over memory at least as large, out of order."""
    if not isinstance(argument, torch.Tensor) or argument.dim() == 0:
        return argument
    values = argument.detach()
    if values.dim() == 1:
        return values.repeat_interleave(2)[::2]
    return values.transpose(-1, -2).contiguous().transpose(-1, -2)


def _doubled(argument: object) -> object:
    if isinstance(argument, torch.Tensor) and argument.is_floating_point():
        return argument.double()
    return argument


def _seen(call: str, run: Callable[[], object]) -> Seen:
    try:
        value = run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except Exception as error:  # noqa: BLE001 - whatever it raises is what we came to see
        return Seen(call, f"{type(error).__name__}: {_comparable(str(error))}", [])
    tensors: list[torch.Tensor] = []
    return Seen(call, _described(value, tensors), tensors)


def _described(value: object, tensors: list[torch.Tensor]) -> str:
    if isinstance(value, torch.Tensor):
        tensors.append(value.detach().cpu())
        shape = f"{value.dtype} {tuple(value.shape)} strides {value.stride()}"
        return f"{shape} on {value.device.type} grad {value.requires_grad}"
    if isinstance(value, list | tuple):
        inner = ", ".join(_described(item, tensors) for item in value)
        return f"{type(value).__name__}({inner})"
    return _comparable(f"{type(value).__name__} {value!r}")


def _comparable(text: str) -> str:
    """The message without what differs from run to run: addresses and the time of day."""
    text = text.partition("\nInvoked with:")[0]
    return re.sub(r"\[F\d{4} [\d:.]+", "[F", text)[:_MAX_TEXT_CHARS]


def _close(mine: torch.Tensor, theirs: torch.Tensor) -> bool:
    if not (mine.is_floating_point() or mine.is_complex()):
        return torch.equal(mine, theirs)
    tolerance = 1e-2 if mine.dtype in (torch.float16, torch.bfloat16) else 1e-4
    return torch.allclose(mine, theirs, rtol=tolerance, atol=tolerance, equal_nan=True)


def _recording(
    module: types.ModuleType, calls: dict[str, tuple[_Function, tuple[object, ...]]]
) -> types.ModuleType:
    """The module, noting the first call of each of its functions."""
    proxy = types.ModuleType(module.__name__, module.__doc__)
    for name in (each for each in dir(module) if not each.startswith("__")):
        value = getattr(module, name)
        noted = f"{module.__name__}.{name}"
        setattr(proxy, name, _noting(noted, value, calls) if callable(value) else value)
    return proxy


def _noting(
    name: str, function: _Function, calls: dict[str, tuple[_Function, tuple[object, ...]]]
) -> _Function:
    def call(*arguments: object, **named: object) -> object:
        if not named:
            calls.setdefault(name, (function, tuple(map(_kept, arguments))))
        return function(*arguments, **named)

    call.__doc__, call.__name__ = function.__doc__, function.__name__
    call.__module__ = function.__module__
    return call


def _kept(argument: object) -> object:
    return argument.detach().clone() if isinstance(argument, torch.Tensor) else argument


class _OnCpu(TorchFunctionMode):
    """Lets a CUDA candidate's file run where there is no GPU."""

    def __torch_function__(  # type: ignore[no-untyped-def]
        self,
        func,  # noqa: ANN001 - torch's own signature has no types
        types,  # noqa: ANN001
        args=(),  # noqa: ANN001
        kwargs=None,  # noqa: ANN001
    ) -> object:
        named = dict(kwargs or {})
        if str(named.get("device", "")).startswith("cuda"):
            named["device"] = "cpu"
        if getattr(func, "__name__", "") == "cuda":
            return args[0]
        return func(*args, **named)


class _Nothing(types.ModuleType):
    """Stands in for an extension while a file is only asked what it would build."""

    def __getattr__(self, name: str) -> _Function:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *arguments, **_: arguments[0] if arguments else None


def main(  # noqa: PLR0913, PLR0917 - the words of a command line
    candidate: str, flavour: str, device: str, cache: str, out: str, salt: str
) -> None:
    """Observe one candidate under one flavour and save what was noted."""

    def build_with(request: BuildRequest) -> Artifact | Rejected:
        return build(
            salted(request, salt),
            run=run_plainly,
            cache=Path(cache),
            device=cast("Device", device),
            flavour=cast("Flavour", flavour),
            deadline_s=400,
        )

    torch.save(observed(Path(candidate), build_with=build_with), out)


Kind = Literal["cpp", "cuda"]


def candidate_files(kind: Kind) -> list[Path]:
    """The candidates kept with the tests, wrong ones included."""
    folder = Path(__file__).parents[1] / "tests/builder/candidates" / kind
    return sorted(folder.glob("*.py"))


if __name__ == "__main__":
    # Under its own name, so that what is saved can be loaded elsewhere.
    importlib.import_module("benchmarks.flavours").main(*sys.argv[1:])
