"""A small problem, an honest candidate for it, and some forty ways to misbehave; more on a GPU.

It owns the candidates and which verdicts are right for each; benches are started by the tests and,
where a GPU is, by `python -m tests.bench`.
"""

from __future__ import annotations

from refine_agent.bench.warden import Bounds
from refine_agent.judge.seats import Deadlines
from refine_agent.records import Crashed, Disqualified, Mismatch, Passed, Problem, TimedOut

PROBLEM = Problem(
    name="scale",
    source="""
import torch


class Model(torch.nn.Module):
    def forward(self, x):
        return x * 2 + 1


def get_inputs():
    return [torch.randn(256, 512)]


def get_init_inputs():
    return []
""",
)
HONEST = """
import torch


class ModelNew(torch.nn.Module):
    def forward(self, x):
        return 1 + 2 * x
"""
SHORT = Deadlines(load_s=5.0, calls_s=3.0, sampling_s=0.2)
LITTLE = Bounds(memory_bytes=2 << 30, disk_bytes=400 << 20)


def forward(body: str, *, before: str = "") -> str:
    """Return a candidate whose forward does something else first."""
    lines = "\n".join(f"        {line}" for line in body.strip().splitlines())
    return f"""
import ctypes, os, signal, sys, threading, time
import torch
{before}

class ModelNew(torch.nn.Module):
    def forward(self, x):
{lines}
        return 1 + 2 * x
"""


def at_import(body: str) -> str:
    """Return a candidate whose file does it."""
    return forward("pass", before=body)


MISBEHAVIOURS: dict[str, tuple[str, tuple[type, ...]]] = {
    "hangs in a call": (forward("while True: pass"), (TimedOut,)),
    "sleeps in a call": (forward("time.sleep(1000)"), (TimedOut,)),
    "hangs at import": (at_import("while True: pass"), (TimedOut,)),
    "stops itself": (forward("os.kill(os.getpid(), signal.SIGSTOP)"), (TimedOut,)),
    "reads a null pointer": (forward("ctypes.string_at(0)"), (Crashed,)),
    "aborts": (forward("os.abort()"), (Crashed,)),
    "meets an illegal instruction": (
        forward("os.kill(os.getpid(), signal.SIGILL)"),
        (Crashed,),
    ),
    "writes past a stack": (
        forward("ctypes.memset(ctypes.addressof(ctypes.c_int()) - (1 << 40), 0, 8)"),
        (Crashed,),
    ),
    "recurses for ever": (forward("(lambda f: f(f))(lambda f: f(f))"), (Crashed,)),
    "ends with success": (forward("os._exit(0)"), (Crashed,)),
    "ends with a code": (forward("sys.exit(7)"), (Crashed,)),
    "ends at import": (at_import("os._exit(0)"), (Crashed,)),
    "raises": (forward("raise RuntimeError('no')"), (Crashed,)),
    "raises what nobody catches": (forward("raise KeyboardInterrupt"), (Crashed,)),
    "raises what cannot be printed": (
        forward(
            "raise Odd",
            before="class Odd(Exception):\n    def __str__(self):\n        raise ValueError\n",
        ),
        (Crashed,),
    ),
    "raises at great length": (forward("raise RuntimeError('x' * 50_000_000)"), (Crashed,)),
    "does not parse": ("class ModelNew(", (Crashed,)),
    "has no ModelNew": ("import torch", (Crashed,)),
    "asks for a terabyte": (forward("torch.empty(1 << 40)"), (Crashed,)),
    "eats memory": (
        forward("hoard = []\nwhile True: hoard.append(torch.ones(16_000_000))"),
        (Crashed, TimedOut),
    ),
    "fills the disk": (
        forward(
            "for i in range(10_000):\n"
            "    with open(f'junk{i}', 'wb') as file: file.write(b'x' * (50 << 20))"
        ),
        (Crashed, TimedOut),
    ),
    "hides what it writes": (
        forward(
            "kept = []\n"
            "while True:\n"
            "    file = open(f'junk{len(kept)}', 'wb')\n"
            "    os.unlink(file.name)\n"
            "    file.write(b'x' * (50 << 20)); file.flush()\n"
            "    kept.append(file)"
        ),
        (Crashed,),
    ),
    "nests folders": (
        forward("for _ in range(1200):\n    os.mkdir('d')\n    os.chdir('d')\nraise RuntimeError"),
        (Crashed,),
    ),
    "locks its folder": (
        forward("os.makedirs('a/b', exist_ok=True)\nos.chmod('a', 0)\nraise RuntimeError"),
        (Crashed,),
    ),
    "runs out of descriptors": (
        forward("kept = [open('/dev/null') for _ in range(100_000)]"),
        (Crashed,),
    ),
    "changes its group": (
        forward("os.setpgid(0, 0) if os.getpgrp() != os.getpid() else None\ntime.sleep(1000)"),
        (TimedOut,),
    ),
    "prints ten gigabytes": (
        forward("for _ in range(10_000): os.write(1, b'x' * (1 << 20))"),
        (Crashed,),
    ),
    "is a fork bomb": (
        forward("while True:\n    try: os.fork()\n    except OSError: time.sleep(0.01)"),
        (Crashed, TimedOut),
    ),
    "starts a thousand threads": (
        forward(
            "for _ in range(5000):\n"
            "    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()"
        ),
        (Crashed,),
    ),
    "leaves a daemon": (
        forward(
            "if not os.path.exists('left'):\n"
            "    open('left', 'w').close()\n"
            "    if os.fork() == 0:\n"
            "        os.setsid()\n"
            "        if os.fork() == 0: time.sleep(1000)\n"
            "        os._exit(0)"
        ),
        (Passed, Disqualified),  # whom the clock catches with two processes
    ),
    "closes every descriptor": (forward("os.closerange(3, 4096)"), (Crashed,)),
    "writes noise to every socket": (
        forward(
            "for fd in range(3, 256):\n"
            "    try: os.write(fd, os.urandom(100))\n"
            "    except OSError: pass"
        ),
        (Crashed,),
    ),
    "announces an endless message": (
        forward(
            "for fd in range(3, 256):\n"
            "    try: os.write(fd, b'\\x7f\\xff\\xff\\xff')\n"
            "    except OSError: pass"
        ),
        (Crashed,),
    ),
    "kills its parent": (forward("os.kill(os.getppid(), signal.SIGKILL)"), (Crashed,)),
    "kills everybody": (forward("os.kill(-1, signal.SIGKILL)"), (Crashed, Passed)),
    "returns nothing": (forward("return None"), (Mismatch,)),
    "returns words": (forward("return 'right'"), (Mismatch,)),
    "returns too much": (forward("return [1 + 2 * x, x]"), (Mismatch,)),
    "returns another type": (forward("return (1 + 2 * x).double()"), (Mismatch,)),
    "returns NaN": (forward("return x * float('nan')"), (Mismatch,)),
    "writes its input": (forward("x.zero_()"), (Mismatch, Disqualified)),
    "writes past its input": (
        forward("ctypes.memset(x.data_ptr() + x.numel() * 4, 0, 64)"),
        (Disqualified,),
    ),
}


_SICK = """
import ctypes, torch
from torch.utils.cpp_extension import load_inline

SOURCE = r'''
#include <torch/extension.h>
#include <c10/cuda/CUDAStream.h>
#include <cassert>

__device__ __noinline__ float deeper(float* p, long depth) {
  volatile float here[256];
  here[depth % 256] = p[0] + depth;
  return depth < 0 ? here[0] : deeper(p, depth + 1) + here[depth % 256];
}

__global__ void sick(float* p, long n, int how) {
  volatile float* seen = p;
  switch (how) {
    case 0: while (seen[0] == seen[0] || seen[0] != seen[0]) {} break;
    case 1: p[0] = *reinterpret_cast<volatile float*>(16); break;
    case 2: p[0] = *reinterpret_cast<volatile float*>(1 + (char*)p); break;
    case 3: __trap(); break;
    case 4: assert(p == nullptr); break;
    case 5: p[0] = deeper(p, 0); break;
    case 6: p[n + threadIdx.x] = 0; break;
    case 7: p[threadIdx.x] = 0; break;
  }
}

torch::Tensor run(torch::Tensor x, int64_t how, int64_t threads) {
  auto stream = c10::cuda::getCurrentCUDAStream();
  sick<<<1, threads, 0, stream>>>(x.data_ptr<float>(), x.numel(), (int)how);
  return x;
}
'''
built = load_inline("sick", cpp_sources="torch::Tensor run(torch::Tensor, int64_t, int64_t);",
                    cuda_sources=SOURCE, functions=["run"])
HANGS, NOWHERE, MISALIGNED, TRAPS, ASSERTS, RECURSES, BEYOND, INPUT = range(8)
"""


def on_gpu(body: str) -> str:
    """Return a candidate whose forward does something to the GPU first."""
    return forward(body, before=_SICK)


# How a CUDA context may end: none of it may end anybody else's. What fails inside a kernel is a
# crash of its process; a launch that is refused leaves everything as it was.
ON_GPU: dict[str, tuple[str, tuple[type, ...]]] = {
    "hangs in a kernel": (on_gpu("built.run(x, HANGS, 1)"), (TimedOut,)),
    "hangs in a kernel on another stream": (
        on_gpu("with torch.cuda.stream(torch.cuda.Stream()): built.run(x, HANGS, 1)"),
        (TimedOut,),
    ),
    "hangs in a kernel at import": (
        forward(
            "pass", before=_SICK + "\nbuilt.run(torch.ones(1, device='cuda'), HANGS, 1).item()"
        ),
        (TimedOut,),
    ),
    "reads an illegal address in a kernel": (on_gpu("built.run(x, NOWHERE, 1)"), (Crashed,)),
    "reads a misaligned address in a kernel": (on_gpu("built.run(x, MISALIGNED, 1)"), (Crashed,)),
    "traps in a kernel": (on_gpu("built.run(x, TRAPS, 1)"), (Crashed,)),
    "fails an assertion in a kernel": (on_gpu("built.run(x, ASSERTS, 1)"), (Crashed,)),
    "recurses for ever in a kernel": (on_gpu("built.run(x, RECURSES, 1)"), (Crashed,)),
    "writes past its input in a kernel": (on_gpu("built.run(x, BEYOND, 32)"), (Disqualified,)),
    "writes its input in a kernel": (
        on_gpu("right = 1 + 2 * x\nbuilt.run(x, INPUT, 32)\nreturn right"),
        (Mismatch, Disqualified),
    ),
    "launches more threads than a block has": (
        on_gpu("built.run(x, INPUT, 4096)\nreturn torch.empty_like(x)"),
        (Mismatch, Crashed),
    ),
    "asks for a terabyte of the device": (
        forward("torch.empty(1 << 38, device=x.device)"),
        (Crashed,),
    ),
    "eats the device's memory": (
        forward("hoard = []\nwhile True: hoard.append(torch.ones(1 << 28, device=x.device))"),
        (Crashed,),
    ),
    "keeps the device's memory and works": (
        forward(
            "if not HOARD:\n"
            "    free, _ = torch.cuda.mem_get_info()\n"
            "    HOARD.append(torch.empty(free - (64 << 20), dtype=torch.uint8, device=x.device))",
            before="HOARD = []",
        ),
        (Crashed, Passed),
    ),
    "resets the device": (
        forward(
            "torch._C._cuda_getDeviceCount()\nctypes.CDLL('libcuda.so.1').cuDevicePrimaryCtxReset_v2(0)"
        ),
        (Crashed,),
    ),
}
