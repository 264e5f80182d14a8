"""The two floors: what each is made of, that they are never mixed, and where they do not hold."""

import msgspec
import pytest

from refine_agent.profiling import roofline
from refine_agent.profiling.records import Ceilings, Flops, Precision, Work
from tests.profiling.evidence_on_file import H200, LAYER_NORM, layer_norm


def test_bytes_bound_a_layer_norm() -> None:
    both = roofline.floors(LAYER_NORM, H200)
    assert both.bound is not None
    assert both.ceiling is not None
    assert both.bound.us == pytest.approx(55.77, abs=0.01)
    assert both.ceiling.us == pytest.approx(62.88, abs=0.01)
    assert (both.bound.by, both.ceiling.by) == ("bytes", "bytes")


def test_a_reduction_is_held_to_the_read_only_rate() -> None:
    rates = msgspec.structs.replace(H200, read_gbps=4600.0, write_gbps=4000.0)
    work = Work(bytes_needed=1_000_000_000, bytes_read=1_000_000_000, bytes_written=0)
    ceiling = roofline.measured_ceiling(work, rates)
    assert ceiling is not None
    assert ceiling.us == pytest.approx(1e9 / 4600e3, rel=1e-6)


def test_operations_bind_where_they_take_longer_than_bytes() -> None:
    product = Work(
        bytes_needed=201_326_592, flops=(Flops(precision="fp16", count=2 * 4096**3, matrix=True),)
    )
    rates = msgspec.structs.replace(H200, fp16_tflops=1070.0, fp16_matmul_tflops=700.0)
    both = roofline.floors(product, rates)
    assert both.bound is not None
    assert both.ceiling is not None
    assert (both.bound.by, both.ceiling.by) == ("operations", "operations")
    assert both.bound.us == pytest.approx(128.4, abs=0.1)
    assert both.ceiling.us == pytest.approx(196.3, abs=0.1)


def test_an_honest_split_precision_product_never_beats_the_bound() -> None:
    # Three bf16 products stand in for one fp32 product; only the plain pipe would forbid that.
    product = Work(
        bytes_needed=201_326_592, flops=(Flops(precision="fp32", count=2 * 4096**3, matrix=True),)
    )
    bound = roofline.bound(product, H200)
    assert bound is not None
    split = 3 * 2 * 4096**3 / 1070e6
    assert bound.us <= split
    plain = msgspec.structs.replace(product.flops[0], matrix=False)
    assert "a third of the tensor cores' as in split products" in bound.text
    unsplit = roofline.bound(msgspec.structs.replace(product, flops=(plain,)), H200)
    assert unsplit is not None
    assert unsplit.us > split
    assert unsplit.text.endswith("TFLOP/s peak at the boost clock")


def test_an_unknown_rate_gives_no_floor_rather_than_a_guess() -> None:
    both = roofline.floors(LAYER_NORM, Ceilings(device="unknown"))
    assert both.bound is None
    assert both.ceiling is None


@pytest.mark.parametrize("precision", ["fp64", "int8", "fp8"])
def test_a_rate_that_no_library_was_seen_to_reach_is_the_datasheets(precision: Precision) -> None:
    # A GPU's products are measured in fp32, tf32, fp16 and bf16 only; without operations in others
    # a "measured" floor of bytes alone would lie below what is possible.
    rates = msgspec.structs.replace(H200, fp64_tflops=67.0, int8_tops=2141.0, fp8_tflops=2141.0)
    product = Work(
        bytes_needed=3 * 4096**2,
        flops=(Flops(precision=precision, count=2 * 4096**3, matrix=True),),
    )
    both = roofline.floors(product, rates)
    assert both.bound is not None
    assert both.ceiling is not None
    assert both.ceiling.by == "operations"
    assert both.ceiling.us >= both.bound.us
    assert both.ceiling.text.endswith("peak at the boost clock")


CPU = Ceilings(
    device="a CPU",
    threads=2,
    copy_gbps=29.5,
    read_gbps=30.0,
    write_gbps=25.0,
    fp32_matmul_tflops=0.18,
)


@pytest.mark.parametrize("precision", ["fp64", "bf16", "tf32"])
def test_operations_of_no_known_rate_leave_the_ceiling_unknown(precision: Precision) -> None:
    product = Work(
        bytes_needed=25_165_824,
        flops=(
            Flops(precision=precision, count=2 * 1024**3, matrix=True),
            Flops(precision="fp32", count=1024**2),
        ),
    )
    assert roofline.measured_ceiling(product, CPU) is None


def test_the_datasheet_alone_is_no_measured_ceiling() -> None:
    assert roofline.measured_ceiling(LAYER_NORM, roofline.from_report(layer_norm())) is None


def test_peaks_from_the_driver_agree_with_those_in_a_report() -> None:
    driver = roofline.from_properties(
        "NVIDIA H200",
        arch="sm_90",
        sms=132,
        clock_mhz=1980,
        l2_bytes=62_914_560,
        memory_clock_mhz=3201,
        bus_bits=6016,
    )
    report = roofline.from_report(layer_norm())
    assert driver.dram_peak_gbps == pytest.approx(report.dram_peak_gbps, rel=0.002)
    assert driver.bf16_tflops == pytest.approx(1070, rel=0.001)
    # The report's own FP32 peak is at the clock of its launch, 1.95 GHz.
    assert driver.fp32_tflops == pytest.approx(report.fp32_tflops, rel=0.02)


def test_an_unknown_architecture_keeps_its_memory_and_has_no_arithmetic_peaks() -> None:
    found = roofline.from_properties("new", arch="sm_130", sms=200, clock_mhz=2000, l2_bytes=1)
    assert found.fp32_tflops is None
