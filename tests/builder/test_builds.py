"""What a build gives back: an extension that works, or the author's own mistakes."""

import inspect
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import pytest
import torch
from torch.utils import cpp_extension

from benchmarks.flavours import candidate_files, captured_requests
from refine_agent.builder import (
    Artifact,
    BuildRequest,
    Device,
    Flavour,
    Rejected,
    Toolchain,
    build,
)
from refine_agent.builder.flags import Refused, allowed_flags
from refine_agent.builder.records import Finished
from refine_agent.builder.run import run_plainly
from refine_agent.worker.load_inline import import_extension, install

_TWICE = """
#include <torch/extension.h>
torch::Tensor twice(torch::Tensor x) {
  TORCH_CHECK(x.dim() == 1, "expected one dimension, got ", x.dim());
  return x * 2;
}
"""


def _request(
    source: str = _TWICE, function: str = "twice", extra_cflags: tuple[str, ...] = ()
) -> BuildRequest:
    functions = {function: function}
    return BuildRequest(
        name="ext", cpp_sources=(source,), functions=functions, extra_cflags=extra_cflags
    )


def _built(request: BuildRequest, cache: Path, flavour: Flavour = "light") -> Artifact:
    built = build(request, run=run_plainly, cache=cache, device="cpu", flavour=flavour)
    assert isinstance(built, Artifact), built.log
    return built


@pytest.mark.usefixtures("toolchain")
def test_a_candidate_builds_on_the_light_headers_and_runs(cache: Path) -> None:
    artifact = _built(_request(), cache)
    assert (artifact.flavour, artifact.why_stock) == ("light", None)
    twice = import_extension(artifact).twice
    assert torch.equal(twice(torch.arange(3.0)), torch.tensor([0.0, 2.0, 4.0]))
    with pytest.raises(RuntimeError, match=r"^expected one dimension, got 2$"):
        twice(torch.ones(2, 2))


_AS_TORCH_ROUNDS = """
#include <torch/extension.h>
template <class T>
torch::Tensor rounded(torch::Tensor x, torch::ScalarType type) {
  auto out = torch::empty_like(x, x.options().dtype(type));
  for (int64_t i = 0; i < x.numel(); ++i) out.data_ptr<T>()[i] = x.data_ptr<float>()[i];
  return out;
}
std::vector<torch::Tensor> narrow(torch::Tensor x) {
  return {rounded<c10::Float8_e4m3fn>(x, torch::kFloat8_e4m3fn),
          rounded<c10::Float8_e5m2>(x, torch::kFloat8_e5m2),
          rounded<c10::Float8_e4m3fnuz>(x, torch::kFloat8_e4m3fnuz),
          rounded<c10::Float8_e5m2fnuz>(x, torch::kFloat8_e5m2fnuz)};
}
std::vector<torch::Tensor> wide() {
  std::vector<torch::Tensor> out(4);
  for (auto& t : out) t = torch::empty({256});
  for (int i = 0; i < 256; ++i) {
    out[0].data_ptr<float>()[i] = c10::Float8_e4m3fn(i, c10::Float8_e4m3fn::from_bits());
    out[1].data_ptr<float>()[i] = c10::Float8_e5m2(i, c10::Float8_e5m2::from_bits());
    out[2].data_ptr<float>()[i] = c10::Float8_e4m3fnuz(i, c10::Float8_e4m3fnuz::from_bits());
    out[3].data_ptr<float>()[i] = c10::Float8_e5m2fnuz(i, c10::Float8_e5m2fnuz::from_bits());
  }
  return out;
}
"""
_FLOAT8 = (torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz)


@pytest.mark.usefixtures("toolchain")
def test_8_bit_floats_round_and_read_as_those_of_torch(cache: Path) -> None:
    asked = BuildRequest(
        name="ext", cpp_sources=(_AS_TORCH_ROUNDS,), functions={"narrow": "", "wide": ""}
    )
    artifact = _built(asked, cache)
    ext = import_extension(artifact)
    every_half = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.half)
    halves = every_half.float()
    random = torch.randint(-(2**31), 2**31, (100_000,), dtype=torch.int32).view(torch.float32)
    floats = torch.cat([halves, halves * 1.0001, random])

    assert artifact.flavour == "light"
    for dtype, rounded, read in zip(_FLOAT8, ext.narrow(floats), ext.wide(), strict=True):
        assert torch.equal(rounded.view(torch.uint8), floats.to(dtype).view(torch.uint8))
        every = torch.arange(256, dtype=torch.uint8).view(dtype).float()
        assert torch.equal(read.isnan(), every.isnan())
        bits, theirs = (each.nan_to_num().view(torch.int32) for each in (read, every))
        assert torch.equal(bits, theirs)


@pytest.mark.usefixtures("toolchain")
def test_the_same_content_is_built_once(cache: Path) -> None:
    request = _request(_TWICE + "// once")
    first, second = _built(request, cache), _built(request, cache)
    assert (first.cached, second.cached) == (False, True)
    assert first.path == second.path


@pytest.mark.usefixtures("toolchain")
def test_the_standard_headers_are_compiled_once_for_all_builds_with_the_same_flags(
    cache: Path, tmp_path: Path
) -> None:
    commands: list[list[str]] = []

    def run(
        argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        commands.append(list(argv))
        return run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)

    for salt in range(3):
        flags = ("-O1", "-fno-math-errno", f"-DSALT={salt}")  # the first two are nobody else's
        request = _request(f"{_TWICE}// {salt}", extra_cflags=flags)
        built = build(request, run=run, cache=cache, device="cpu")
        assert isinstance(built, Artifact), built.log
        assert import_extension(built).twice(torch.ones(2)).tolist() == [2, 2]

    assert sum("c++-header" in command for command in commands) == 1
    compiled = [command for command in commands if "main.cpp" in command]
    assert ["-include" in command for command in compiled] == [False, True, True]
    (tmp_path / "main.cpp").write_text("int main() { return std::string().size(); }")
    seen = run_plainly([*compiled[1], "-H"], cwd=tmp_path, env=dict(os.environ), deadline_s=60)
    assert seen.output.startswith("! "), seen.output  # how -H marks what was read precompiled

    commands.clear()  # what includes only what it names is given no more: it would fail in the seal
    own = msgspec.structs.replace(_request(f"{_TWICE}// own"), no_implicit_headers=True)
    assert isinstance(build(own, run=run, cache=cache, device="cpu"), Artifact)
    assert not {"c++-header", "-include"} & {word for command in commands for word in command}


@pytest.mark.usefixtures("toolchain")
def test_a_changed_character_or_flag_is_built_anew(cache: Path) -> None:
    plain = _built(_request(_TWICE + "// anew"), cache)
    changed = _built(_request(_TWICE + "// anew!"), cache)
    flagged = _built(_request(_TWICE + "// anew", extra_cflags=("-O1",)), cache)
    assert len({plain.digest, changed.digest, flagged.digest}) == 3
    assert not changed.cached
    assert not flagged.cached


@pytest.mark.usefixtures("toolchain")
def test_two_extensions_of_one_name_live_side_by_side(cache: Path) -> None:
    twice = import_extension(_built(_request(), cache))
    thrice_source = _TWICE.replace("* 2", "* 3")
    thrice = import_extension(_built(_request(thrice_source), cache))
    again = import_extension(_built(_request(), cache))
    one = torch.ones(1)
    assert [m.twice(one).item() for m in (twice, thrice, again)] == [2.0, 3.0, 2.0]


@pytest.mark.usefixtures("toolchain")
def test_only_the_module_itself_is_exported(cache: Path) -> None:
    artifact = _built(_request(), cache)
    argv = ["nm", "--dynamic", "--defined-only", artifact.path]
    listed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert re.findall(r" [TDBRVWu] (\w+)", listed) == ["PyInit_ext"]


@pytest.mark.parametrize(
    "candidate",
    [p for p in candidate_files("cpp") + candidate_files("cuda") if "wrong" in p.stem],
    ids=lambda p: f"{p.parent.name}-{p.stem}",
)
def test_a_wrong_candidate_hears_of_its_own_lines_at_once(
    candidate: Path, cache: Path, request: pytest.FixtureRequest
) -> None:
    device: Device = "cpu" if candidate.parent.name == "cpp" else "cuda"
    request.getfixturevalue("toolchain" if device == "cpu" else "cuda_toolchain")
    text = candidate.read_text(encoding="utf-8")
    expected = re.search(r"# expected: (.*)", text)
    assert expected is not None
    (asked,) = captured_requests(candidate)
    rejected = build(asked, run=run_plainly, cache=cache, device=device)
    assert isinstance(rejected, Rejected)
    assert rejected.flavour == "light"
    assert expected[1] in rejected.log
    assert str(cache.parent) not in rejected.log
    assert not re.search(r"\bra_|\bRA_|c10::ra::", rejected.log)


@pytest.mark.slow
@pytest.mark.usefixtures("toolchain")
def test_a_gap_is_built_by_torch_itself_and_never_run_by_the_builder(
    cache: Path, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    # Without torch's headers, because parsing them is nearly all that its build takes.
    source = f"""
    #include <pybind11/pybind11.h>
    #include <fstream>
    namespace py = pybind11;
    static int on_load = [] {{ std::ofstream("{ran}") << "ran"; return 0; }}();
    double half(double x) {{ return x / 2; }}
    extern "C" void* PyInit_spare() {{ return nullptr; }}
    PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{ m.def("half", &half); }}
    """
    asked = BuildRequest(name="gap", cpp_sources=(source,), no_implicit_headers=True)
    artifact = _built(asked, cache)
    assert (artifact.flavour, artifact.why_stock) == ("stock", "explicit PyInit_spare")
    assert not ran.exists()
    assert import_extension(artifact).half(1) == 0.5
    assert ran.exists()
    # The seal finds what the gap had to build, and the gap is not met twice.
    sealed = _built(asked, cache, flavour="stock")
    assert (sealed.cached, sealed.path, sealed.why_stock) == (True, artifact.path, "sealed rebuild")
    assert _built(asked, cache).cached


@pytest.mark.parametrize(
    ("argument", "flag"),
    [
        ("extra_cflags", "-fplugin=evil.so"),
        ("extra_cflags", "-B/tmp"),
        ("extra_cflags", "-specs=evil"),
        ("extra_cflags", "@evil"),
        ("extra_cflags", "-wrapper evil"),
        ("extra_cflags", "-include /etc/passwd"),
        ("extra_cflags", "-x assembler"),
        ("extra_cflags", "-o/tmp/evil"),
        ("extra_cflags", "-I/etc"),
        ("extra_cflags", "-O2; touch /tmp/evil"),
        ("extra_cflags", "$(touch /tmp/evil)"),
        ("extra_cflags", "-Wl,--dynamic-linker=/tmp/evil"),
        ("extra_cflags", "-Wa,-o,/tmp/evil"),
        ("extra_cflags", "-fdump-tree-all=/tmp/evil"),
        ("extra_cuda_cflags", "-ccbin evil"),
        ("extra_cuda_cflags", "--compiler-bindir=/tmp"),
        ("extra_cuda_cflags", "-Xcompiler -fplugin=evil.so"),
        ("extra_cuda_cflags", "-Xcompiler=-O2,-fplugin=evil.so"),
        ("extra_cuda_cflags", "--keep-dir /tmp"),
        ("extra_cuda_cflags", "--options-file=evil"),
        ("extra_ldflags", "-L/tmp"),
        ("extra_ldflags", "-Wl,-rpath,/tmp"),
        ("extra_ldflags", "-levil"),
        ("extra_ldflags", "-L /tmp"),
        ("extra_ldflags", "-l cupti"),
        ("extra_ldflags", "-l :../evil.so"),
        ("extra_ldflags", "-flto=@evil"),
        ("extra_ldflags", "/etc/evil.o"),
        ("extra_include_paths", "/etc"),
    ],
)
def test_a_flag_that_reaches_outside_is_refused_by_name(argument: str, flag: str) -> None:
    asked = BuildRequest(name="ext", **{argument: (flag,)})  # type: ignore[arg-type]
    refused = allowed_flags(asked, roots=[Path("/usr/local/cuda")])
    assert isinstance(refused, Refused)
    assert re.split("[ ;]", flag, maxsplit=1)[0] in refused.sentence


def test_the_flags_that_candidates_pass_are_passed_on() -> None:
    asked = BuildRequest(
        name="ext",
        extra_cflags=("", "-O3 -march=native", "-ffast-math", "-fopenmp", "-std=c++20", "-Wall"),
        extra_cuda_cflags=(
            "-O3", "--use_fast_math", "-Xptxas=-v,-O3", "--ptxas-options=-v", "-lineinfo", "-t=4",
            "-gencode", "arch=compute_90a,code=sm_90a", "-Xcompiler", "-fopenmp,-O2", "-arch=sm_90",
            "--expt-extended-lambda", "-U__CUDA_NO_HALF_OPERATORS__", "-DN=4", "-maxrregcount=64",
            "-lcublas", "-L/usr/local/cuda/lib64", "-v", "-Xcompiler '-O3 -march=native'",
        ),
        extra_ldflags=(
            "", "-l", "cublas", "-L", "/usr/local/cuda/lib64", "-fopenmp", "-flto", "-flto=auto",
        ),
        extra_include_paths=("/usr/local/cuda/include",),
    )  # fmt: skip
    flags = allowed_flags(asked, roots=[Path("/usr/local/cuda")])
    assert not isinstance(flags, Refused), flags.sentence
    assert flags.host[:2] == ("-O3", "-march=native")
    assert flags.device[6:8] == ("-gencode", "arch=compute_90a,code=sm_90a")
    # Quoted blanks would not survive the way through ninja and its shell; talk is not asked for.
    assert flags.device[-2:] == ("-Xcompiler", "-O3,-march=native")
    assert "-v" not in flags.device
    assert flags.linker[:2] == ("-lcublas", "-L/usr/local/cuda/lib64")


@pytest.mark.usefixtures("toolchain")
def test_a_refused_flag_reaches_no_compiler(cache: Path) -> None:
    def never(*_: object, **__: object) -> Finished:
        raise AssertionError("a compiler was started")

    asked = _request(extra_cflags=("-fplugin=evil.so",))
    rejected = build(asked, run=never, cache=cache, device="cpu")
    assert isinstance(rejected, Rejected)
    assert "'-fplugin=evil.so'" in rejected.log


@pytest.mark.usefixtures("toolchain")
def test_a_build_that_takes_too_long_is_stopped_and_said_so(cache: Path) -> None:
    bomb = "template <int A, int B, int C> struct F : F<A - 1, B, C>, F<A - 1, B + 1, C + A> {};"
    bomb += "template <int B, int C> struct F<0, B, C> {}; int f() { return sizeof(F<300, 0, 0>); }"
    asked = _request(bomb, "f")
    stopped = build(asked, run=run_plainly, cache=cache, device="cpu", deadline_s=2)
    assert isinstance(stopped, Rejected)
    assert stopped.log.endswith("The compiler was stopped after 2 s.")
    assert stopped.seconds < 30


@pytest.mark.usefixtures("toolchain")
def test_load_inline_and_load_of_torch_go_through_the_builder(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "include").mkdir()
    (tmp_path / "include/factor.h").write_text("constexpr int FACTOR = 7;\n")
    (tmp_path / "op.cpp").write_text('#include <torch/extension.h>\n#include "include/factor.h"\n')
    monkeypatch.setattr(cpp_extension, "load_inline", cpp_extension.load_inline)
    monkeypatch.setattr(cpp_extension, "load", cpp_extension.load)
    asked: list[BuildRequest] = []

    def noted(request: BuildRequest) -> Artifact | Rejected:
        asked.append(request)
        return build(request, run=run_plainly, cache=cache, device="cpu")

    install(noted)
    module = cpp_extension.load_inline(
        "own_header",
        '#include "factor.h"\ntorch::Tensor f(torch::Tensor x) { return x * FACTOR; }',
        functions="f",
        extra_include_paths=["include"],
    )
    assert module.f(torch.ones(1)).item() == 7.0
    with pytest.raises(RuntimeError, match=r"(?s)Error building extension 'bad': .*cpp_source:1"):
        cpp_extension.load_inline("bad", "int f() { return missing; }", functions=["f"])
    with pytest.raises(ImportError):  # torch says so too: nothing in it is bound
        cpp_extension.load("from_file", ["op.cpp"])
    assert asked[-1].headers["include/factor.h"] == "constexpr int FACTOR = 7;\n"


def test_the_drop_in_takes_every_argument_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {
        name: list(inspect.signature(getattr(cpp_extension, name)).parameters)
        for name in ("load", "load_inline")
    }
    for name in theirs:
        monkeypatch.setattr(cpp_extension, name, getattr(cpp_extension, name))
    install(lambda _: Rejected(log="", seconds=0, flavour="light"))
    for name, parameters in theirs.items():
        ours = list(inspect.signature(getattr(cpp_extension, name)).parameters)
        assert set(parameters) <= set(ours)
        assert ours[:3] == parameters[:3]  # these are passed by position


def test_the_toolchain_of_hopper_builds_for_its_own_instructions(cuda_toolchain: Toolchain) -> None:
    assert cuda_toolchain.arch == "9.0a"


@pytest.mark.parametrize(
    "headers",
    [{"a": "", "a/b": ""}, {"": ""}, {".": "", "a": ""}, {"ä" * 150: ""}, {"a\0b": ""}],
    ids=["a file and a folder", "none", "the folder itself", "too long", "with a NUL"],
)
def test_a_header_that_can_be_no_file_is_the_candidates_fault(
    cache: Path, headers: dict[str, str]
) -> None:
    request = BuildRequest(name="ext", cpp_sources=(_TWICE,), headers=headers)
    refused = build(request, run=run_plainly, cache=cache, device="cpu")

    assert isinstance(refused, Rejected)
    assert "is no name of a file; rename it" in refused.log


def test_a_name_longer_than_a_files_is_the_candidates_fault(cache: Path) -> None:
    request = BuildRequest(name="e" * 300, cpp_sources=(_TWICE,), functions={"twice": "twice"})
    refused = build(request, run=run_plainly, cache=cache, device="cpu")

    assert isinstance(refused, Rejected)
    assert "rename it" in refused.log
