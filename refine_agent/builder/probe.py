"""Owns what a child tells about one installed torch; runs as a script, in that torch's Python.

Its last line is a JSON object; deciding what to do with that is left to `toolchain`.
"""

import contextlib
import inspect
import json
import re
import sys
import sysconfig


def describe_torch(*, wants_cuda: bool) -> dict[str, object]:
    """Versions, folders and flags of the torch that this Python imports."""
    import torch  # noqa: PLC0415 - two to three seconds, and only the child may pay them
    from torch.utils import cpp_extension  # noqa: PLC0415

    source = inspect.getsource(cpp_extension)
    standards = re.findall(r"'-fPIC', '-std=(c\+\+\d+)'", source) or re.findall(
        r"-std=(c\+\+\d+)", source
    )
    capability = None
    if wants_cuda:
        with contextlib.suppress(RuntimeError, AssertionError):  # no driver, no device
            capability = ".".join(map(str, torch.cuda.get_device_capability()))
    return {
        "torch": torch.__version__,
        "torch_commit": str(torch.version.git_version),
        "torch_cuda": torch.version.cuda,
        "package": str(torch.__path__[0]),
        "include_paths": _include_paths(cpp_extension),
        "cuda_home": cpp_extension.CUDA_HOME,
        "nvcc_flags": list(getattr(cpp_extension, "COMMON_NVCC_FLAGS", [])),
        "standard": standards[0] if standards else "c++17",
        "python_include": sysconfig.get_path("include", scheme="posix_prefix"),
        "capability": capability,
        "old_abi": not torch._C._GLIBCXX_USE_CXX11_ABI,  # noqa: SLF001 - torch's own builder asks it too
    }


def _include_paths(cpp_extension: object) -> list[str]:
    try:
        return list(cpp_extension.include_paths("cpu"))  # type: ignore[attr-defined]
    except TypeError:  # before torch 2.6 the argument was a bool
        return list(cpp_extension.include_paths(False))  # type: ignore[attr-defined]  # noqa: FBT003


if __name__ == "__main__":
    print(json.dumps(describe_torch(wants_cuda=sys.argv[1:] == ["cuda"])))  # noqa: T201 - its only voice
