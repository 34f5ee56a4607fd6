import numpy as np
import pytest
import torch

from magnet_helpers.detectors.curves import _area, roc

GENERATOR = torch.Generator().manual_seed(0)
CLEAN = torch.randn(300, generator=GENERATOR)
ATTACKED = torch.randn(200, generator=GENERATOR) + 1


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    clean, attacked = (CLEAN * 4).round(), (ATTACKED * 4).round()  # with ties
    pairs = (attacked[:, None] > clean[None]).double() + 0.5 * (attacked[:, None] == clean[None])
    found = roc(clean, attacked)
    assert found.auc == pytest.approx(pairs.mean().item(), abs=1e-12)
    assert _area(clean.numpy(), attacked.numpy()) == pytest.approx(pairs.mean().item(), abs=1e-12)


def test_the_curve_is_what_a_threshold_rejects():
    found = roc(CLEAN, ATTACKED)
    for threshold in (-1.0, 0.3, 1.7):
        false, true = (threshold < CLEAN).double().mean().item(), (threshold < ATTACKED).double().mean().item()
        # the curve keeps only its corners
        assert np.interp(false, found.false_positive_rates, found.true_positive_rates) == pytest.approx(true, abs=0.02)
    assert found.false_positive_rates[[0, -1]].tolist() == [0, 1]


def test_the_interval_is_near_delongs():
    """DeLong, DeLong & Clarke-Pearson 1988: the variance of the two kinds' placements."""
    found = roc(CLEAN, ATTACKED)
    wins = (ATTACKED[:, None] > CLEAN[None]).double()
    variance = wins.mean(dim=1).var() / len(ATTACKED) + wins.mean(dim=0).var() / len(CLEAN)
    half = 1.96 * variance.sqrt().item()
    assert found.interval == pytest.approx((found.auc - half, found.auc + half), abs=0.01)
    assert found.interval == roc(CLEAN, ATTACKED).interval, "its seed fixes it"
    assert str(found) == f"{found.auc:.3f} [{found.interval[0]:.3f}, {found.interval[1]:.3f}]"


def test_perfect_and_useless_scores():
    assert roc(torch.zeros(5), torch.ones(4)).auc == 1
    assert roc(torch.ones(5), torch.zeros(4)).auc == 0
    assert roc(torch.ones(5), torch.ones(4)).auc == 0.5


@pytest.mark.parametrize("scores", [torch.zeros(1), torch.tensor([1.0, torch.nan])])
def test_what_has_no_curve(scores):
    with pytest.raises(ValueError, match="at least 2 finite scores of each kind"):
        roc(scores, ATTACKED)
    with pytest.raises(ValueError, match="at least 2 finite scores of each kind"):
        roc(CLEAN, scores)
