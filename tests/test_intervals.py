import numpy as np
import pytest
import torch
from scipy import stats

from magnet_helpers.intervals import difference, estimate, share


def crossed(seeds, images, *, of_seeds, of_images, noise, generator):
    """Return values with a random effect of each seed, of each image, and of each pair; the true mean is 0.3."""
    return torch.from_numpy(
        0.3
        + of_seeds * generator.standard_normal((seeds, 1))
        + of_images * generator.standard_normal((1, images))
        + noise * generator.standard_normal((seeds, images))
    )


@pytest.mark.parametrize(
    ("of_seeds", "of_images", "noise"),
    [(0.5, 0.0, 1.0), (0.0, 1.0, 0.3), (0.1, 1.0, 1.0), (0.02, 0.3, 0.5), (0.14, 0.32, 0.32)],
)
@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_the_interval_holds_the_truth_in_95_of_100_studies(seeds, of_seeds, of_images, noise):
    generator = np.random.default_rng(0)
    effects = {"of_seeds": of_seeds, "of_images": of_images, "noise": noise}
    found = [estimate(crossed(seeds, 80, **effects, generator=generator)) for _ in range(1000)]
    covered = sum(each.interval[0] <= 0.3 <= each.interval[1] for each in found) / 1000
    assert covered >= 0.93
    if of_seeds >= 0.5:  # with little between seeds it errs on the safe side
        assert covered <= 0.975


@pytest.mark.parametrize(("of_seeds", "of_images", "seeds_decide"), [(2, 1, True), (1, 4, False)])
def test_the_variance_is_that_of_the_analysis_of_variance_in_loops(of_seeds, of_images, seeds_decide):
    values = crossed(4, 6, of_seeds=of_seeds, of_images=of_images, noise=1, generator=np.random.default_rng(1))
    s, n = values.shape
    mean = values.sum().item() / (s * n)
    rows = [sum(values[i, j].item() for j in range(n)) / n for i in range(s)]
    columns = [sum(values[i, j].item() for i in range(s)) / s for j in range(n)]
    a = n * sum((row - mean) ** 2 for row in rows) / (s - 1)
    b = s * sum((column - mean) ** 2 for column in columns) / (n - 1)
    c = sum((values[i, j].item() - rows[i] - columns[j] + mean) ** 2 for i in range(s) for j in range(n))
    c /= (s - 1) * (n - 1)
    assert a + b - c > max(a, b)
    freedom = (a + b - c) ** 2 / (a**2 / (s - 1) + b**2 / (n - 1) + c**2 / ((s - 1) * (n - 1)))
    expected = stats.t.ppf(0.975, freedom) * ((a + b - c) / (s * n)) ** 0.5
    of_seeds_alone = stats.t.ppf(0.975, s - 1) * stats.sem(rows)
    assert (of_seeds_alone > expected) == seeds_decide
    expected = max(expected, of_seeds_alone)
    found = estimate(values)
    assert found.value == pytest.approx(mean)
    assert found.half_width == pytest.approx(expected)
    assert (found.n_seeds, found.n_images) == (4, 6)


def test_seeds_that_differ_only_by_a_constant_give_students_interval():
    per_seed = torch.tensor([0.1, 0.4, 0.2, 0.6], dtype=torch.float64)
    found = estimate(per_seed[:, None].expand(4, 50))
    low, high = stats.t.interval(0.95, 3, per_seed.mean().item(), stats.sem(per_seed))
    assert found.interval == pytest.approx((low, high))


def test_one_seed_gives_the_interval_of_the_images():
    values = torch.tensor([[1, 0, 1, 1, 0, 1, 1, 1]])
    low, high = stats.t.interval(0.95, 7, 0.75, stats.sem(values[0].numpy()))
    found = estimate(values)
    assert found.interval == pytest.approx((low, high))


def test_a_paired_difference_is_narrower_than_its_parts():
    generator = torch.Generator().manual_seed(0)
    hard = torch.rand(400, generator=generator)
    first = torch.stack([hard < 0.6 for _ in range(3)])
    second = torch.stack([hard < 0.65 for _ in range(3)])
    found = difference(first, second)
    assert found.value == pytest.approx((second.double() - first.double()).mean().item())
    assert found.interval[0] > 0
    assert found.half_width < estimate(first).half_width
    assert difference(second, first).value == -found.value


@pytest.mark.parametrize("seeds", [1, 3])
def test_where_nothing_varies_the_interval_is_that_of_no_event_in_n_images(seeds):
    # 0 of 1000 is still compatible with every share p that gives no event with a chance of 2.5 %: (1 − p)^1000 = 0.025.
    never = estimate(torch.zeros(seeds, 1000))
    assert (1 - never.half_width) ** 1000 == pytest.approx(0.025)
    assert never.in_percent() == "0.0 ± 0.4"
    assert estimate(torch.ones(seeds, 1000)).half_width == never.half_width
    always = difference(torch.ones(seeds, 1000), torch.zeros(seeds, 1000))
    assert always.in_percent(signed=True) == "-100.0 ± 0.4"
    once = torch.zeros(seeds, 1000)
    once[0, 0] = 1
    assert estimate(once).half_width >= never.half_width, "one more event must not look more certain"


@pytest.mark.parametrize("shape", [(5,), (0, 5), (3, 1), (2, 3, 4)])
def test_too_little_to_go_by(shape):
    with pytest.raises(ValueError, match=r"shape \(seeds, images\)"):
        estimate(torch.ones(shape))


def test_a_difference_needs_the_same_seeds_and_images():
    with pytest.raises(ValueError, match=r"got \(2, 5\) and \(3, 5\)"):
        difference(torch.ones(2, 5), torch.ones(3, 5))


def test_the_exact_interval_of_a_share():
    assert share(0, 3) == pytest.approx((0, 1 - 0.025 ** (1 / 3)))
    assert share(3, 3)[0] == pytest.approx(0.025 ** (1 / 3))
