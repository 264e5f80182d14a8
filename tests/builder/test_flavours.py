"""Callers cannot tell the light headers from torch's own, and candidates seldom need the latter."""

import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.flavours import Noted, candidate_files, captured_requests, observed
from refine_agent.builder import Artifact, BuildRequest, Rejected, Toolchain, build
from refine_agent.builder.flags import Flags, allowed_flags
from refine_agent.builder.gaps import gap_before_building, gap_in
from refine_agent.builder.job import Compiled, Job
from refine_agent.builder.light_build import compile_lightly
from refine_agent.builder.records import Finished, Run
from refine_agent.builder.run import run_plainly
from refine_agent.worker.load_inline import import_extension
from tests.builder.batch import Batch, batched

_CPP = [path for path in candidate_files("cpp") if "wrong" not in path.stem]
# Ten seconds each to parse CUB, which thrust_and_cub_device does as well.
_LIKE_ANOTHER = ("cumsum_cub_device", "sum_cub_block")
_CUDA = [
    path
    for path in candidate_files("cuda")
    if "wrong" not in path.stem and path.stem not in _LIKE_ANOTHER
]
_MAY_FALL_BACK = 0.05


@pytest.fixture(scope="module")
def batch(cache: Path, toolchain: Toolchain) -> Batch:
    """Every C++ candidate, built by torch in one go."""
    assert toolchain.unfit is None
    requests = [request for path in _CPP for request in captured_requests(path)]
    built = build(
        batched(requests),
        run=run_plainly,
        cache=cache,
        device="cpu",
        flavour="stock",
        deadline_s=400,
    )
    assert isinstance(built, Artifact), built.log
    return Batch(built)


@pytest.mark.slow
@pytest.mark.parametrize("candidate", _CPP, ids=lambda path: path.stem)
def test_a_candidate_behaves_alike_under_both_builds(
    candidate: Path, batch: Batch, cache: Path
) -> None:
    """Values, dtypes, strides, errors and their texts, for good arguments and bad ones."""

    def lightly(request: BuildRequest) -> Artifact | Rejected:
        if "torch::nn" in "".join(request.cpp_sources):
            return batch.build(request)  # torch's own in any case
        return build(request, run=run_plainly, cache=cache, device="cpu")

    def load(artifact: Artifact) -> ModuleType:
        return batch.load(artifact) if artifact.flavour == "stock" else import_extension(artifact)

    light = observed(candidate, build_with=lightly, load=load)
    stock = observed(candidate, build_with=batch.build, load=batch.load)
    assert not _differences(light, stock)
    assert not [each.why_stock for each in light.builds if each and each.why_stock]
    assert len(light.seen) > 5


def _differences(light: Noted, stock: Noted) -> list[str]:
    pairs = zip(light.seen, stock.seen, strict=True)
    return [sentence for a, b in pairs if (sentence := a.differs_from(b)) is not None]


@pytest.mark.slow
def test_cuda_candidates_seldom_need_torch_itself(cache: Path, cuda_toolchain: Toolchain) -> None:
    """All are compiled for Hopper; none is run, and headers of absent libraries excuse.

    Most go as far as gaps can show, through nvcc's front ends, and every eighth through the linker.
    """
    requests = [request for path in _CUDA for request in captured_requests(path)]

    def outcome(number: int) -> str | None:
        request = requests[number]
        if gap := gap_before_building(request, cuda_toolchain):
            return f"{request.name}: {gap}"
        run = run_plainly if number % 8 == 0 else _front_ends
        built = _compiled(request, cache, cuda_toolchain, run)
        if built.built or _lacks_a_library(built.log):
            return None
        return f"{request.name}: {gap_in(built.log, cuda_toolchain)}\n{built.log}"

    with ThreadPoolExecutor(max_workers=2) as pool:
        fallen = [told for told in pool.map(outcome, range(len(requests))) if told is not None]
    assert len(requests) > 60
    assert len(fallen) <= _MAY_FALL_BACK * len(requests), "\n".join(fallen)


_WITHOUT_INCLUDES = """
#include <torch/extension.h>
__global__ void k(float* o, c10::Float8_e4m3fn* p, at::Float8_e5m2* q) {
  o[0] = FLT_MAX + FLT_DIG + FLT_TRUE_MIN + DBL_MIN + DBL_MAX_EXP + LDBL_DIG + FLT_RADIX;
  p[0] = -c10::Float8_e4m3fn(o[1]) * 2.f + p[1];
  q[0] = q[1] / q[2] + static_cast<float>(std::numeric_limits<c10::Float8_e5m2>::max());
  o[1] = static_cast<float>(p[2]) + q[3];
}
torch::Tensor f(torch::Tensor x) { return x; }
"""
# From CUDA 13 on, by way of thrust's complex numbers.
_OF_THE_TOOLKIT = """
__global__ void l(float* o) {
  __nv_fp8_e4m3 small(o[0]);
  o[0] = float(small) + float(__nv_fp4_e2m1(o[1])) + cuda::std::numeric_limits<float>::max();
}
"""


@pytest.mark.slow
def test_cuda_code_is_shown_what_torchs_headers_bring_along(
    cache: Path, cuda_toolchain: Toolchain
) -> None:
    assert cuda_toolchain.toolkit is not None
    later = (cuda_toolchain.toolkit / "include/cccl").is_dir()
    request = BuildRequest(
        name="ext",
        cpp_sources=("torch::Tensor f(torch::Tensor x);",),
        cuda_sources=(_WITHOUT_INCLUDES, _OF_THE_TOOLKIT if later else ""),
        functions={"f": ""},
    )
    built = _compiled(request, cache, cuda_toolchain, _front_ends)

    assert built.built, built.log


def _front_ends(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
) -> Finished:
    """Parse for device and host, and leave out what comes after: half of the time goes there."""
    if "-shared" in argv:
        return Finished(exit_code=0, output="", seconds=0)
    if argv[0].endswith("nvcc"):
        argv = ["-cuda" if word == "-c" else word for word in argv]
    else:
        argv = [*argv, "-fsyntax-only"]
    return run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)


def _compiled(request: BuildRequest, cache: Path, toolchain: Toolchain, run: Run) -> Compiled:
    flags = allowed_flags(request, roots=[Path("/usr")])
    assert isinstance(flags, Flags)
    job = Job(request=request, flags=flags, toolchain=toolchain, run=run, deadline_s=120)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        return compile_lightly(job, Path(folder), home=Path(folder))


def _lacks_a_library(log: str) -> bool:
    absent = [f"{name}: No such file" for name in ("cublas_v2.h", "curand_kernel.h")]
    return any(told in log for told in (*absent, "cannot find -l"))
