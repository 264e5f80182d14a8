"""nvcc's passes run side by side, and make what nvcc makes when it runs them in a row."""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from refine_agent.builder import Artifact, BuildRequest, Rejected, Toolchain, build
from refine_agent.builder.flags import Flags
from refine_agent.builder.job import Job
from refine_agent.builder.nvcc import compile_device_code
from refine_agent.builder.records import Finished
from refine_agent.builder.run import run_plainly
from refine_agent.builder.toolchain import scrubbed_environment

# Names that only this file knows are where host and device code must agree on the module's id.
_KERNELS = """
#include <cuda_runtime.h>
static __device__ float table[4];
namespace {
template <typename T>
__global__ void fill(T* to, T value) { to[threadIdx.x] = value + table[0]; }
}
static __global__ void own(float* to) { to[0] = 1; }
void launch(float* to) {
  fill<float><<<1, 32>>>(to, 2.0f);
  own<<<1, 1>>>(to);
}
"""
_ID = re.compile(rb"_[0-9a-f]{8}_7_cuda_cu_[0-9a-f]{8}")
HOPPER = "-gencode=arch=compute_90a,code=sm_90a"


class _Watched:
    """Runs plainly, and remembers which programs were asked for."""

    def __init__(self) -> None:
        self.programs: list[str] = []

    def __call__(
        self, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        self.programs.append(Path(argv[0]).name + (" --dryrun" if "--dryrun" in argv else ""))
        return run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)


@pytest.fixture
def watched() -> _Watched:
    return _Watched()


def _compiled(
    source: str, toolchain: Toolchain, folder: Path, run: _Watched, *flags: str
) -> tuple[Finished, list[str]]:
    assert toolchain.nvcc is not None
    (folder / "tmp").mkdir(parents=True)
    (folder / "cuda.cu").write_text(source, encoding="utf-8")
    request = BuildRequest(name="ext", cuda_sources=(source,))
    none = Flags(host=(), device=(), linker=(), include_paths=())
    job = Job(request=request, flags=none, toolchain=toolchain, run=run, deadline_s=120.0)
    argv = [toolchain.nvcc, "-lineinfo", *flags, "-c", "cuda.cu", "-o", "cuda.cu.o"]
    return compile_device_code(argv, job, folder), argv


def test_the_object_is_to_the_byte_what_nvcc_makes(
    cuda_toolchain: Toolchain, tmp_path: Path, watched: _Watched
) -> None:
    folder = tmp_path / "build"
    done, argv = _compiled(_KERNELS, cuda_toolchain, folder, watched, HOPPER)
    assert (done.exit_code, watched.programs) == (0, ["nvcc --dryrun", "sh", "sh"]), done.output
    ours = (folder / "cuda.cu.o").read_bytes()

    # The object says what the text between the passes was called, a random name otherwise.
    (kept := folder / "tmp" / "kept").mkdir()
    named = [*argv, "--keep", "--keep-dir", str(kept)]
    environment = scrubbed_environment(folder / "tmp")
    plain = run_plainly(named, cwd=folder, env=environment, deadline_s=120.0)
    assert plain.exit_code == 0, plain.output
    theirs = (folder / "cuda.cu.o").read_bytes()
    assert _ID.search(ours)  # the names were put to the test
    assert _ID.sub(b"id", ours) == _ID.sub(b"id", theirs)


def test_another_source_has_names_of_its_own(
    cuda_toolchain: Toolchain, tmp_path: Path, watched: _Watched
) -> None:
    ids = []
    for value in ("2.0f", "3.0f"):
        folder = tmp_path / value
        _compiled(_KERNELS.replace("2.0f", value), cuda_toolchain, folder, watched, HOPPER)
        ids.append(set(_ID.findall((folder / "cuda.cu.o").read_bytes())))
    assert not ids[0] & ids[1]


def test_nvcc_runs_what_is_not_on_the_known_list(
    cuda_toolchain: Toolchain, tmp_path: Path, watched: _Watched
) -> None:
    two = (HOPPER, "-gencode=arch=compute_80,code=sm_80")
    done, _ = _compiled(_KERNELS, cuda_toolchain, tmp_path / "build", watched, *two)
    assert (done.exit_code, watched.programs) == (0, ["nvcc --dryrun", "nvcc"]), done.output


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param("void f() { missing(); }", "identifier", id="to both front ends"),
        pytest.param(
            """__global__ void f() { asm("no such instruction;"); }""",
            "Parsing error",
            id="to the assembler",
        ),
    ],
)
def test_an_error_is_told_once(
    cuda_toolchain: Toolchain, tmp_path: Path, watched: _Watched, wrong: str, says: str
) -> None:
    done, _ = _compiled(wrong, cuda_toolchain, tmp_path / "build", watched, HOPPER)
    assert done.exit_code
    assert done.exit_code > 0
    assert done.output.count(says) == 1, done.output
    assert "sh" in watched.programs


_SCALE = """
#include <torch/extension.h>
__global__ void scale(float* to, const float* from, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) to[i] = from[i] * FACTOR;
}
torch::Tensor scaled(torch::Tensor x) {
  TORCH_CHECK(x.is_cuda(), "x must be on the GPU");
  auto y = torch::empty_like(x);
  scale<<<(x.numel() + 255) / 256, 256>>>(y.data_ptr<float>(), x.data_ptr<float>(), x.numel());
  return y;
}
"""


@pytest.mark.usefixtures("cuda_toolchain")
def test_what_candidates_include_alike_is_compiled_once_and_changes_no_object(cache: Path) -> None:
    commands: list[str] = []
    objects: list[bytes] = []

    def run(
        argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        scripts = [path.read_text(encoding="utf-8") for path in cwd.glob("tmp/passes/*.sh")]
        commands.extend([*scripts, " ".join(argv)])
        done = run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)
        if (made := cwd / "cuda.cu.o").exists() and not argv[0].endswith("sh"):
            objects.append(made.read_bytes())
        return done

    def built(factor: str) -> Artifact | Rejected:
        # Nobody else's flags, so that nothing is compiled yet.
        request = BuildRequest(
            name="scaled",
            cpp_sources=("torch::Tensor scaled(torch::Tensor x);",),
            cuda_sources=(_SCALE.replace("FACTOR", factor),),
            functions={"scaled": "scaled"},
            extra_cuda_cflags=("-O1", "--ftz=true", "-Xcompiler", "-fno-math-errno"),
        )
        return build(request, run=run, cache=cache, device="cuda")

    assert isinstance(built("2.0f"), Artifact)
    made = [command for command in commands if "c++-header" in command and "-O1" in command]
    assert len(made) == 1
    commands.clear()
    assert isinstance(built("3.0f"), Artifact)
    assert not [command for command in commands if "c++-header" in command]
    assert [command for command in commands if "-include" in command and "cudafe1" in command]

    # The same source again, with what was precompiled and without: nothing else may differ.
    (with_it,) = {objects[-1]}
    for entry in cache.glob("entries/*/*"):
        if (entry / "precompiled.h").exists() or (entry / "cuda_source").exists():
            shutil.rmtree(entry)
    objects.clear()
    assert isinstance(built("3.0f"), Artifact)
    assert objects[-1] == with_it


@pytest.mark.usefixtures("cuda_toolchain")
def test_an_error_that_only_the_hosts_compiler_sees_names_the_candidates_line(cache: Path) -> None:
    for _ in range(2):  # the second time with what the first has had precompiled
        wrong = _SCALE.replace("FACTOR", "2.0f") + 'void no() { asm("" :: "i"(no)); asm("%"); }'
        request = BuildRequest(
            name="wrong",
            cpp_sources=("torch::Tensor scaled(torch::Tensor x);",),
            cuda_sources=(wrong,),
            functions={"scaled": "scaled"},
            extra_cuda_cflags=("-O2", "--ftz=true"),
        )
        found = build(request, run=run_plainly, cache=cache, device="cuda")
        assert isinstance(found, Rejected)
        assert f"cuda_source:{wrong.count(chr(10)) + 1}" in found.log, found.log
        assert "precompiled.h" not in found.log


@pytest.mark.usefixtures("cuda_toolchain")
def test_a_pass_that_is_killed_is_no_error_of_the_candidate(cache: Path) -> None:
    def killing(
        argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        for script in cwd.glob("tmp/passes/*.sh"):
            text = script.read_text(encoding="utf-8")
            script.write_text(
                re.sub(r"ptxas [^&;]*", "sh -c 'kill -9 $$' ", text), encoding="utf-8"
            )
        return run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)

    request = BuildRequest(
        name="ext", cpp_sources=("void launch(float*);",), cuda_sources=(_KERNELS,), functions={}
    )
    built = build(request, run=killing, cache=cache, device="cuda")
    assert isinstance(built, Rejected)
    assert "stopped" in built.log or "killed" in built.log, built.log


@pytest.mark.usefixtures("cuda_toolchain")
def test_nothing_of_the_passes_is_kept(cache: Path) -> None:
    request = BuildRequest(
        name="kept", cpp_sources=("void launch(float*);",), cuda_sources=(_KERNELS,), functions={}
    )
    built = build(request, run=run_plainly, cache=cache, device="cuda")
    assert isinstance(built, Artifact), built.log
    left = {path.name for path in Path(built.path).parent.rglob("*")}
    assert not {name for name in left if "fatbin" in name or name in ("tmp", "passes")}, left
