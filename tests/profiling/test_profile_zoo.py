"""The zoo: each sick kernel's first finding names its sickness and line; healthy ones have none."""

import lzma
import shutil
import subprocess
from functools import cache
from pathlib import Path

import msgspec
import pytest

from refine_agent.profiling import metrics, summary, trace
from refine_agent.profiling.records import Page
from tests.profiling.zoo.animals import RECORDED, VARIANTS, Animal, Recording, animals

EVERY = {animal.name: animal for animal in animals()}
RECORDINGS = [path.name.removesuffix(".json.xz") for path in sorted(RECORDED.glob("*.json.xz"))]
SICK = [name for name in RECORDINGS if EVERY[name.rsplit("-", 1)[0]].sickness]
HEALTHY = [name for name in RECORDINGS if name not in SICK]


@cache
def recording(name: str) -> Recording:
    packed = (RECORDED / f"{name}.json.xz").read_bytes()
    return msgspec.json.decode(lzma.decompress(packed), type=Recording)


def animal_of(name: str) -> Animal:
    return EVERY[name.rsplit("-", 1)[0]]


def page(name: str) -> Page:
    seen = recording(name)
    return summary.page(
        candidate_digest=name,
        device=seen.device,
        shape=seen.variant,
        work=seen.measured.work(),
        ceilings=seen.ceilings,
        timing_us=seen.measured.time_us,
        reports=seen.reports,
        trace=trace.read(seen.rows) if seen.rows else None,
    )


@pytest.mark.parametrize("name", SICK)
def test_the_first_finding_names_the_sickness_and_its_line(name: str) -> None:
    animal, found = animal_of(name), page(name).findings
    assert found, "no finding at all"
    assert found[0].kind == animal.sickness
    if animal.where is not None:
        assert found[0].where == animal.where


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_kernel_gets_no_finding(name: str) -> None:
    assert page(name).findings == ()


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_animals_page_fits_its_budget(name: str) -> None:
    assert summary.tokens(page(name).text()) <= 1200


def test_the_zoo_is_as_large_as_promised_and_every_animal_says_what_ails_it() -> None:
    sick = {animal.sickness for animal in EVERY.values() if animal.sickness}
    healthy = [animal for animal in EVERY.values() if animal.sickness is None]
    assert len(sick) >= 15
    assert len(healthy) >= 4
    for animal in healthy:
        assert "HEALTHY" in animal.source.read_text()


def test_the_second_variant_hides_the_name_and_changes_the_size() -> None:
    first, second = VARIANTS
    assert second.kernel != first.kernel
    assert "-DVARIANT" in second.flags
    assert all("kVariant" in animal.source.read_text() for animal in EVERY.values())


def test_no_finding_reads_a_kernels_name() -> None:
    for name in SICK:
        seen = recording(name)
        renamed = tuple(
            msgspec.structs.replace(report, name="another_name") for report in seen.reports
        )
        kinds = [one.kind for one in page(name).findings]
        again = summary.page(
            candidate_digest=name,
            device=seen.device,
            shape=seen.variant,
            work=seen.measured.work(),
            ceilings=seen.ceilings,
            timing_us=seen.measured.time_us,
            reports=renamed,
        )
        if not seen.rows:
            assert [one.kind for one in again.findings] == kinds


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_counters_are_complete_on_this_architecture(name: str) -> None:
    for report in recording(name).reports:
        assert metrics.missing(report) == ()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on PATH")
@pytest.mark.parametrize("name", ["bank_conflict", "layer_norm"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_an_animal_compiles(name: str, variant: object, tmp_path: Path) -> None:
    flags = variant.flags  # type: ignore[attr-defined]
    command = ["nvcc", "-arch=sm_90", "-std=c++17", "-lineinfo", *flags, "-cubin"]
    out = tmp_path / "a.cubin"
    subprocess.run([*command, "-o", str(out), str(EVERY[name].source)], check=True)
    assert out.stat().st_size > 1000
