"""Whatever happens to a build, the shared cache holds whole entries or none."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from refine_agent.builder import Artifact, BuilderFault, BuildRequest, Store, build, prepare
from refine_agent.builder.records import Finished
from refine_agent.builder.run import run_plainly
from refine_agent.builder.store import DEFAULT_LIMIT_BYTES
from refine_agent.worker.landlock import MAX_COMPILED_BYTES
from refine_agent.worker.load_inline import import_extension

_SOURCE = "int answer() {{ return {}; }}"
# Builds in a process of its own, and notes every command that it runs.
_SCRIPT = """
import sys
import time
from pathlib import Path
from refine_agent.builder import BuildRequest, build
from refine_agent.builder.run import run_plainly

def run(argv, *, cwd, env, deadline_s):
    with open(sys.argv[2], "a") as log:
        log.write(" ".join(argv) + "\\n")
    if "main.cpp" in argv:
        time.sleep(float(sys.argv[4]))
    return run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)

request = BuildRequest(name="ext", cpp_sources=(sys.argv[3],), functions={"answer": "answer"})
print(build(request, run=run, cache=Path(sys.argv[1]), device="cpu").path)
"""


def _request(number: int) -> BuildRequest:
    source = _SOURCE.format(number)
    return BuildRequest(name="ext", cpp_sources=(source,), functions={"answer": "answer"})


def _answer(number: int, cache: Path) -> int:
    built = build(_request(number), run=run_plainly, cache=cache, device="cpu")
    assert isinstance(built, Artifact), built.log
    answer: int = import_extension(built).answer()
    return answer


def _process(cache: Path, log: Path, number: int, wait_s: float) -> subprocess.Popen[str]:
    argv = [
        sys.executable,
        "-c",
        _SCRIPT,
        str(cache),
        str(log),
        _SOURCE.format(number),
        str(wait_s),
    ]
    root = Path(__file__).parents[2]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=root)


@pytest.mark.usefixtures("toolchain")
def test_two_processes_that_build_the_same_compile_it_once(cache: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [_process(cache, log, 1001, wait_s=1) for _ in range(2)]
    paths = {process.communicate(timeout=60)[0] for process in processes}
    assert len(paths) == 1
    assert log.read_text().count(" -c main.cpp") == 1
    assert _answer(1001, cache) == 1001


@pytest.mark.usefixtures("toolchain")
def test_a_killed_build_leaves_nothing_behind_that_the_next_one_minds(
    cache: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    process = _process(cache, log, 1002, wait_s=30)
    while not log.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    abandoned = set((cache / "making").iterdir())
    assert abandoned
    assert _answer(1002, cache) == 1002
    assert not set((cache / "making").iterdir()) & abandoned


@pytest.mark.usefixtures("toolchain")
def test_a_disk_that_fills_while_compiling_is_a_fault_and_leaves_no_entry(cache: Path) -> None:
    def full(
        argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        (cwd / "main.cpp.o").symlink_to("/dev/full")
        return run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)

    with pytest.raises(
        BuilderFault, match=r"disk under the build cache .* is full; free some space"
    ):
        build(_request(1003), run=full, cache=cache, device="cpu")
    assert _answer(1003, cache) == 1003


@pytest.mark.usefixtures("toolchain")
def test_a_disk_that_fills_while_publishing_is_a_fault_and_leaves_no_entry(cache: Path) -> None:
    def full(
        argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        (cwd / "complete.json").unlink(missing_ok=True)
        (cwd / "complete.json").symlink_to("/dev/full")
        return run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)

    with pytest.raises(BuilderFault, match="is full"):
        build(_request(1004), run=full, cache=cache, device="cpu")
    assert _answer(1004, cache) == 1004


def test_a_cache_that_cannot_be_written_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        BuilderFault, match=r"cannot be written .*; make it writable or choose another"
    ):
        prepare(run=run_plainly, cache=tmp_path / "file/cache", device="cpu")


@pytest.mark.usefixtures("toolchain")
def test_an_entry_that_lost_bytes_is_not_believed(cache: Path) -> None:
    built = build(_request(1005), run=run_plainly, cache=cache, device="cpu")
    assert isinstance(built, Artifact)
    Path(built.path).chmod(0o644)
    os.truncate(built.path, 100)
    assert _answer(1005, cache) == 1005


def test_a_machine_without_a_compiler_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuilderFault, match=r"no C\+\+ compiler .* on PATH; install g\+\+"):
        prepare(run=run_plainly, cache=tmp_path, device="cpu")


def test_a_compiler_that_the_shim_kills_is_a_fault_and_is_tried_again(tmp_path: Path) -> None:
    def stopped(
        argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        seconds = 0.01 if "shim.cpp" in argv else deadline_s
        return run_plainly(argv, cwd=cwd, env=env, deadline_s=seconds)

    with pytest.raises(BuilderFault, match="stopped while it built the shim"):
        prepare(run=stopped, cache=tmp_path, device="cpu")
    assert Store(tmp_path).size_bytes() == 0


@pytest.mark.slow
@pytest.mark.usefixtures("toolchain")
def test_another_version_of_torch_gets_a_toolchain_and_builds_of_its_own(
    cache: Path, tmp_path: Path
) -> None:
    real = Path(prepare(run=run_plainly, cache=cache, device="cpu").facts.package)
    other = tmp_path / "site/torch"
    other.mkdir(parents=True)
    for path in real.iterdir():
        if path.name != "version.py":
            (other / path.name).symlink_to(path)
    version = (real / "version.py").read_text()
    (other / "version.py").write_text(version.replace("__version__ = '", "__version__ = '99."))
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={other.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)

    shims: list[str] = []
    toolchain = prepare(run=run_plainly, cache=cache, device="cpu")

    def with_a_shim_at_hand(
        argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], deadline_s: float
    ) -> Finished:
        """Both torches are one but for their number: the compiler would make the same again."""
        if "shim.cpp" not in argv:
            return run_plainly(argv, cwd=cwd, env=env, deadline_s=deadline_s)
        shims.append(str(cwd))
        shutil.copyfile(toolchain.shim, cwd / toolchain.shim.name)
        return Finished(exit_code=0, output="", seconds=0)

    def built(python_path: str) -> Artifact:
        made = build(
            _request(1006), run=with_a_shim_at_hand, cache=cache, device="cpu", python=python_path
        )
        assert isinstance(made, Artifact)
        return made

    before, after = built(sys.executable), built(str(python))
    assert before.digest != after.digest
    assert (after.cached, after.flavour) == (False, "light")
    assert len(shims) == 1
    theirs = prepare(run=run_plainly, cache=cache, device="cpu", python=str(python))
    assert theirs.facts.torch.startswith("99.")


def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for age, name in enumerate(("aa1", "bb2", "cc3")):
        with store.making(name) as folder:
            (folder / "data").write_bytes(bytes(1000))
            os.utime(store.publish(name, folder), (age, age))
    assert store.find("aa1") is not None  # and is now the youngest
    freed = store.evict(limit_bytes=2500)
    assert [store.find(name) is not None for name in ("aa1", "bb2", "cc3")] == [True, False, True]
    assert freed >= 1000
    assert store.clear() > 0
    assert store.size_bytes() == 0


def test_large_builds_in_a_row_do_not_wait_until_somebody_looks_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.keep_in_bounds()
    names = [f"{number}a" for number in range(10)]
    for name in names:
        with store.making(name) as folder:
            (folder / "data").touch()
            os.truncate(folder / "data", MAX_COMPILED_BYTES)
            store.publish(name, folder)
        store.keep_in_bounds()

    assert store.size_bytes() <= DEFAULT_LIMIT_BYTES
    assert store.find(names[-1]) is not None
