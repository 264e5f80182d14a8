"""Build one kernel file's extensions with torch's own headers into the shared cache.

    python -m benchmarks.stock_build KERNEL.py [--device cuda]

It owns filling the cache before something is measured, so that many kernels can be built side by
side; only kernels that one trusts, since the file is imported in this very process.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from refine_agent import builder
from refine_agent.bench import machine
from refine_agent.builder.run import run_plainly
from refine_agent.worker import load_inline

if TYPE_CHECKING:
    from refine_agent.builder.records import Artifact, BuildRequest, Rejected


def main() -> int:
    """Import the file with a loader that builds as a seal does."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kernel", type=Path)
    parser.add_argument("--device", default="cuda")
    asked = parser.parse_args()
    kind: Literal["cpu", "cuda"] = "cuda" if asked.device.startswith("cuda") else "cpu"
    cache = machine.cache_folder()
    builder.prepare(run=run_plainly, cache=cache, device=kind)

    def build(request: BuildRequest) -> Artifact | Rejected:
        return builder.build(request, run=run_plainly, cache=cache, device=kind, flavour="stock")

    load_inline.install(build)
    found = importlib.util.spec_from_file_location("candidate", asked.kernel)
    assert found is not None  # noqa: S101 - a path always has a spec
    assert found.loader is not None  # noqa: S101 - likewise
    module = importlib.util.module_from_spec(found)
    sys.modules["candidate"] = module
    found.loader.exec_module(module)
    return 0


if __name__ == "__main__":
    sys.exit(main())
