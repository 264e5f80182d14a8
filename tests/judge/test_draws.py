"""Large draws use all cores, and remain draws: by the seed alone, of the right distribution."""

import pytest
import torch

from refine_agent.judge import cases
from refine_agent.judge.draws import BLOCK, SideBySide, normal, uniform

LARGE = torch.empty(2 * BLOCK + 3)


def drawn(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    with SideBySide():
        return torch.randn(3, BLOCK)


def test_a_seed_gives_the_same_numbers_on_any_number_of_cores() -> None:
    cores = torch.get_num_threads()
    several = drawn(1)
    torch.set_num_threads(1)
    alone = drawn(1)
    torch.set_num_threads(cores)

    assert torch.equal(several, alone)
    assert not torch.equal(several, drawn(2))


def test_no_block_repeats_another() -> None:
    first, second, third = drawn(3)

    assert not (first == second).float().mean() > 1e-3
    assert not (second == third).float().mean() > 1e-3


def test_large_draws_have_the_distribution_that_was_asked_for() -> None:
    generator = torch.Generator().manual_seed(4)
    normals, uniforms = normal(LARGE, generator), uniform(LARGE, generator)

    assert abs(float(normals.mean())) < 0.01
    assert abs(float(normals.std()) - 1) < 0.01
    assert abs(float(uniforms.mean()) - 0.5) < 0.01
    assert 0 <= float(uniforms.min()) < float(uniforms.max()) <= 1


def test_what_is_small_or_no_fraction_is_drawn_as_torch_draws_it() -> None:
    torch.manual_seed(5)
    plain = torch.randn(8, 8), torch.rand(3, dtype=torch.float64)
    torch.manual_seed(5)
    with SideBySide():
        inside = torch.randn(8, 8), torch.rand(3, dtype=torch.float64)

    assert all(map(torch.equal, plain, inside))


@pytest.mark.parametrize("shape", [(64, 512), (4, 8), (3, 5, 7)])
def test_hidden_outliers_are_there_however_few_values_there_are(shape: tuple[int, ...]) -> None:
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        tensor = torch.randn(shape, generator=generator)
        changed = cases._outliers(tensor, generator)
        found = changed[changed != tensor]

        assert 1 <= len(found) <= max(3, 2e-4 * tensor.numel())
        assert bool((found.abs() >= 0.99 * cases.LARGE * tensor.square().mean().sqrt()).all())
