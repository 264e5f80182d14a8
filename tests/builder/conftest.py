"""Owns what the builder's tests share: one cache, and toolchains made once per session."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from refine_agent.bench.machine import cache_folder
from refine_agent.builder import Toolchain, prepare
from refine_agent.builder.run import run_plainly


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that holds the shim and nothing else.

    The shim takes a quarter of a minute, and comes from the cache in which the other tests look.
    """
    folder = tmp_path_factory.mktemp("cache")
    shared = cache_folder()
    prepare(run=run_plainly, cache=shared, device="cpu")
    for source in shared.glob("entries/*/*/shim.cpp"):
        shutil.copytree(source.parent, folder / source.parent.relative_to(shared))
    return folder


@pytest.fixture(scope="session")
def toolchain(cache: Path) -> Toolchain:
    """For C++ candidates."""
    return prepare(run=run_plainly, cache=cache, device="cpu")


@pytest.fixture(scope="session")
def cuda_toolchain(cache: Path) -> Iterator[Toolchain]:
    """For CUDA candidates, which are compiled for Hopper where there is an nvcc."""
    if shutil.which("nvcc") is None and not Path("/usr/local/cuda/bin/nvcc").exists():
        pytest.skip("there is no nvcc here")
    before = os.environ.get("TORCH_CUDA_ARCH_LIST")
    os.environ["TORCH_CUDA_ARCH_LIST"] = "9.0a"
    yield prepare(run=run_plainly, cache=cache, device="cuda")
    del os.environ["TORCH_CUDA_ARCH_LIST"]
    if before is not None:
        os.environ["TORCH_CUDA_ARCH_LIST"] = before
