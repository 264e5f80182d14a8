"""One animal's timeline by torch.profiler, the way the product takes it: kernels and their gaps.

    python tests/profiling/zoo/timeline.py LIBRARY.so

Prints the rows as JSON. The library is an animal built as one (`Studio.timeline`); its host code
runs in this process, so that torch.profiler sees its launches.
"""

import ctypes
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from refine_agent.worker import traces


def main() -> None:
    """Run the animal once to warm it up and once under the profiler."""
    library = ctypes.CDLL(sys.argv[1])
    printed = os.dup(1)
    # What the program prints about itself belongs to another run.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    arguments = (ctypes.c_char_p * 2)(b"animal", None)
    library.main(1, arguments)
    # The first profile starts the profiler's machinery and stretches every launch.
    traces.record(library.zoo_again, calls=1, device="cuda")
    os.write(printed, traces.record(library.zoo_again, calls=1, device="cuda"))


if __name__ == "__main__":
    main()
