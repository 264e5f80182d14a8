"""Real evidence for the tests: reports recorded on an H200, and values derived from them.

Reading and judging them is what the tests are about; this module only fetches.
"""

import lzma
from functools import cache
from pathlib import Path

import msgspec

from refine_agent.profiling.evidence import KernelReport
from refine_agent.profiling.records import Ceilings, Work

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"

# torch's LayerNorm, 4096x8192 fp32: x once, the result once, weight and bias.
LAYER_NORM = Work(
    bytes_needed=268_500_992,
    bytes_read=134_283_264,
    bytes_written=134_217_728,
    unfused_bytes=1_073_807_360,
)
# Ceilings as measured on that H200; peaks from its reports.
H200 = Ceilings(
    device="NVIDIA H200",
    arch="sm_90",
    sms=132,
    l2_bytes=62_914_560,
    dram_peak_gbps=4814.0,
    copy_gbps=4270.0,
    fp32_tflops=66.9,
    tf32_tflops=535.0,
    bf16_tflops=1070.0,
    fp32_matmul_tflops=51.0,
    bf16_matmul_tflops=679.0,
)


@cache
def layer_norm(collected: str = "full") -> KernelReport:
    """Return torch's LayerNorm kernel as `--set basic`, `detailed` or `full` saw it."""
    packed = (RECORDED / f"ln_{collected}.json.xz").read_bytes()
    (report,) = msgspec.json.decode(lzma.decompress(packed), type=tuple[KernelReport, ...])
    return report


def report_file(folder: Path, name: str = "ln_full") -> Path:
    """Unpack a real report file into a folder: `ln_full` (`--set full`), or `rereads`.

    The zoo's `rereads` was compiled with line info; the text of CUDA's own headers, which Nsight
    Compute had imported, and the folder it ran in are blanked out.
    """
    path = folder / f"{name}.ncu-rep"
    path.write_bytes(lzma.decompress((RECORDED / f"{name}.ncu-rep.xz").read_bytes()))
    return path
