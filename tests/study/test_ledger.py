import dataclasses

import pytest
import torch
from measured import N, plain_row

from magnet_helpers.attacks import Knowledge, Threat
from magnet_helpers.defenses import NO_REFORMER, VANILLA, contractive, denoising, stacked
from magnet_helpers.intervals import Estimate
from magnet_helpers.study.ledger import CLAIMS, Claim, ledger_entries
from magnet_helpers.study.results import Results
from magnet_helpers.study.results_file import Row
from magnet_helpers.study.threats import CLEAN, GREY_BOX, STRONG_ATTACK, WHITE_BOX

ACCURACIES = {  # grey and white box, in percent: the order that the paper reports
    NO_REFORMER: (10, 10),
    VANILLA: (30, 45),
    denoising(0.3): (70, 75),
    denoising(0.4): (75, 74),
    stacked(2, 0.4): (81, 79),
    stacked(3, 0.4): (85, 76),
    contractive(0.0): (60, 50),
    contractive(1e-3): (60, 55),
}


def row(defense, threat, percent, seed=0, **changes) -> Row:
    hard = torch.rand(N, generator=torch.Generator().manual_seed(seed))  # the same images are hard for all
    return plain_row(defense, threat, hard < percent / 100, seed, **changes)


def rows(seeds=(0, 1, 2)) -> list[Row]:
    return [
        row(defense, threat, percent, seed)
        for seed in seeds
        for defense, (grey, white) in ACCURACIES.items()
        for threat, percent in ((GREY_BOX, grey), (WHITE_BOX, white), (CLEAN, 98))
    ]


def turned_rows() -> list[Row]:
    """Grey box and white box exchanged."""
    other = {Knowledge.CLASSIFIER: Knowledge.REFORMER, Knowledge.REFORMER: Knowledge.CLASSIFIER}
    return [dataclasses.replace(line, knows=other.get(line.knows, line.knows)) for line in rows()]


def verdicts(results: Results) -> dict[str, str]:
    return {entry.claim: entry.verdict for entry in ledger_entries(results)}


def test_claims_that_hold_and_claims_that_do_not():
    found = verdicts(Results(rows()))
    assert found["DAE, noise 0.4 raises accuracy under FGSM (grey box)"] == "holds"
    assert found["a third autoencoder helps in the grey box"] == "holds"
    assert found["a third autoencoder does not help in the white box"] == "holds"
    assert found["the contractive penalty helps (white box, beside λ = 0)"] == "holds"
    assert found["the contractive penalty helps (grey box, beside λ = 0)"] == "undecided"
    assert found["DAE, noise 0.4 costs less than 1 point of clean accuracy"] == "holds"
    assert found["vanilla AE: the white box is easier to survive than the grey box"] == "holds"
    found = verdicts(Results(turned_rows()))
    assert found["vanilla AE: the white box is easier to survive than the grey box"] == "does not hold"


def test_one_seed_is_never_enough():
    entries = ledger_entries(Results(rows([0])))
    assert {entry.verdict for entry in entries} == {"undecided"}
    assert {entry.seeds for entry in entries} == {0, 1}


def test_what_was_not_measured_is_said():
    (entry,) = (entry for entry in ledger_entries(Results(rows())) if "PGD" in entry.claim and "vanilla" in entry.claim)
    assert (entry.ours, entry.verdict, entry.seeds) == ("not measured", "undecided", 0)


def test_the_numbers_are_paired_means_over_seeds():
    results = Results(rows())
    gain = results.gain((denoising(0.4), GREY_BOX), (stacked(2, 0.4), GREY_BOX))
    counts = [
        [each.right for each in rows() if (each.defense, each.knows) == (defense.label, GREY_BOX.knows)]
        for defense in (denoising(0.4), stacked(2, 0.4))
    ]
    assert gain.value == pytest.approx((sum(counts[1]) - sum(counts[0])) / (3 * N))
    assert gain.n_seeds == 3
    assert results.accuracy(VANILLA, GREY_BOX).value == pytest.approx(0.3, abs=0.05)
    assert results.accuracy(denoising(0.1), GREY_BOX) is None


def test_only_seeds_that_both_have_are_compared():
    some = [each for each in rows() if not (each.defense == "vanilla AE" and each.reformer_seed == 1)]
    gain = Results(some).gain((VANILLA, GREY_BOX), (denoising(0.4), GREY_BOX))
    assert gain.n_seeds == 2


def test_other_classifiers_crossed_seeds_and_other_attacks_stay_out():
    others = [
        row(VANILLA, GREY_BOX, 99, 0, classifier_epochs=5),
        row(VANILLA, GREY_BOX, 99, 0, classifier_seed=1),
        row(VANILLA, GREY_BOX, 99, 0, attack=repr(STRONG_ATTACK)),
    ]
    assert Results([*rows(), *others]).accuracy(VANILLA, GREY_BOX) == Results(rows()).accuracy(VANILLA, GREY_BOX)


def test_the_note_says_what_the_numbers_come_from():
    results = Results([*rows([2, 0]), plain_row(VANILLA, CLEAN, torch.ones(1000).bool(), classifier_seed=5)])
    assert results.seeds == [0, 2, 5]
    assert results.note == f"MNIST · paper budget · seeds 0, 2, 5 · n = {N} or 1,000"
    alone = Results(row(VANILLA, CLEAN, 90, 3, budget="fast") for _ in range(1))
    assert alone.note == f"MNIST · fast budget (not the paper's) · seed 3 · n = {N}"
    assert Results([]).note == "no results"


def test_budgets_are_never_mixed():
    with pytest.raises(ValueError, match="one dataset and one budget"):
        Results([*rows(), row(VANILLA, CLEAN, 99, budget="fast")])


@pytest.mark.parametrize(
    ("collapsed", "verdict"), [([True] * 3, "holds"), ([False] * 3, "does not hold"), ([True, False], "undecided")]
)
def test_collapses_are_counted(collapsed, verdict):
    some = [row(denoising(0.1), CLEAN, 11, seed, collapsed=each) for seed, each in enumerate(collapsed)]
    (entry,) = (
        each for each in ledger_entries(Results(some)) if each.claim.startswith("DAE, noise 0.1 does not converge")
    )
    assert entry.verdict == verdict
    assert entry.ours.startswith(f"{sum(collapsed)} of {len(collapsed)} [")
    assert (
        entry.why
        == {3: "every training collapsed", 0: "no training collapsed", 1: "some trainings collapsed"}[sum(collapsed)]
    )


def test_verdicts_give_their_reason():
    found = {entry.claim: entry.why for entry in ledger_entries(Results(rows()))}
    assert found["a third autoencoder helps in the grey box"] == "the whole interval is above 0"
    assert found["the contractive penalty helps (grey box, beside λ = 0)"] == "the interval includes 0"
    cost = found["DAE, noise 0.4 costs less than 1 point of clean accuracy"]
    assert cost.startswith("the whole interval is above -1; ")
    assert found["vanilla AE: the same under PGD, 100 steps and 5 restarts"].startswith("not measured; ")
    alone = {entry.claim: entry.why for entry in ledger_entries(Results(rows([0])))}
    assert alone["a third autoencoder helps in the grey box"] == "one seed is no evidence"
    reasons = {entry.claim: entry.why for entry in ledger_entries(Results(turned_rows()))}
    assert reasons["a third autoencoder helps in the grey box"] == "the whole interval is below 0"


def test_thresholds_are_given_in_points():
    limits = {entry.claim: entry.threshold for entry in ledger_entries(Results(rows()))}
    assert limits["DAE, noise 0.4 costs less than 1 point of clean accuracy"] == -1
    assert limits["denoising beats vanilla (grey box)"] == 0


@pytest.mark.parametrize(
    ("low", "high", "threshold", "expected"),
    [
        (1, 3, 0, "holds"),
        (-1, 3, 0, "undecided"),
        (-3, -1, 0, "does not hold"),
        (-0.5, 0.5, -1, "holds"),
        (-3, -2, -1, "does not hold"),
    ],
)
def test_the_rule(low, high, threshold, expected):
    claim = Claim("x", (VANILLA, CLEAN), (VANILLA, CLEAN), threshold / 100)
    assert claim.verdict(Estimate((low + high) / 200, (high - low) / 200, 3, 100)) == expected


def test_the_papers_differences():
    papers = {claim.text: claim.papers for claim in CLAIMS}
    assert papers["denoising beats vanilla (grey box)"] == pytest.approx(77.17 - 32.93)
    assert papers["a stack of two beats one denoising autoencoder (white box)"] == pytest.approx(78.46 - 76.09)
    assert papers["the contractive autoencoder is worse than the denoising one (grey box)"] == pytest.approx(9.77)
    assert papers["the contractive penalty helps (grey box, beside λ = 0)"] is None
    assert papers["vanilla AE raises accuracy under FGSM (grey box)"] == pytest.approx(32.93 - 11.42)
    assert papers["vanilla AE: the same under PGD, 100 steps and 5 restarts"] is None


DENSE = contractive(1.0).but(penalty="dense layer")
FAMILY = tuple(map(contractive, (0.0, 1e-3, 1e-2, 1e-1)))
NORMS = {0.0: 64.0, 1e-3: 60.0, 1e-2: 16.0, 1e-1: 4.0}


def norm_rows(own: float, seeds=(0, 1), threat=WHITE_BOX) -> list[Row]:
    of_family = [
        row(each, kind, 100 - norm, seed, jacobian=norm)
        for seed in seeds
        for each, norm in zip(FAMILY, NORMS.values(), strict=True)
        for kind in (CLEAN, threat)
    ]
    return of_family + [row(DENSE, kind, 95, seed, jacobian=own) for seed in seeds for kind in (CLEAN, threat)]


def test_equal_jacobians_are_interpolated_between_the_nearest_on_a_log_scale():
    gain = Results(norm_rows(own=8.0)).gain_at_equal_jacobian(DENSE, FAMILY, WHITE_BOX)
    found = {(each.defense, each.reformer_seed): each.right for each in norm_rows(8.0) if each.knows == WHITE_BOX.knows}
    # 8 lies in the middle between 4 and 16, counted in factors
    halfway = [(found[FAMILY[3].label, seed] + found[FAMILY[2].label, seed]) / 2 for seed in (0, 1)]
    expected = sum(found[DENSE.label, seed] - halfway[seed] for seed in (0, 1)) / (2 * N)
    assert gain.value == pytest.approx(expected)
    assert gain.n_seeds == 2


def test_an_equal_jacobian_is_its_own_neighbour():
    results = Results(norm_rows(own=16.0))
    keys = ((each, WHITE_BOX) for each in (FAMILY[2], DENSE))
    assert results.gain_at_equal_jacobian(DENSE, FAMILY, WHITE_BOX) == results.gain(*keys)


@pytest.mark.parametrize("own", [65.0, 3.0, 0.0, None])
def test_beyond_the_family_nothing_is_compared(own):
    assert Results(norm_rows(own)).gain_at_equal_jacobian(DENSE, FAMILY, WHITE_BOX) is None


def test_seeds_beyond_the_family_are_left_out():
    some = [*norm_rows(8.0, seeds=(0, 1)), *norm_rows(99.0, seeds=(2,))]
    assert Results(some).gain_at_equal_jacobian(DENSE, FAMILY, WHITE_BOX).n_seeds == 2


def test_the_rows_of_one_attack_name_their_own_images():
    results = Results([*rows(), plain_row(VANILLA, GREY_BOX, torch.ones(10).bool(), attack=repr(STRONG_ATTACK))])
    assert results.note.endswith(f"n = 10 or {N}")
    assert results.under(GREY_BOX).note.endswith(f"n = {N}")
    (only,) = results.under(Threat(STRONG_ATTACK, Knowledge.NOTHING)).rows
    assert (only.attack, only.n) == (repr(STRONG_ATTACK), 10)


def test_a_verdict_of_fewer_seeds_says_which_are_missing():
    claims = {
        "denoising beats vanilla (grey box)": None,
        "DAE, noise 0.1 does not converge (its output is constant)": None,
    }
    everything = [*rows(), *(row(denoising(0.1), CLEAN, 98, seed) for seed in (0, 1, 2))]
    gone = [(VANILLA.label, GREY_BOX.knows, 2), (denoising(0.1).label, CLEAN.knows, 2)]
    filtered = [line for line in everything if (line.defense, line.knows, line.reformer_seed) not in gone]
    for lines, missing in ((everything, False), (filtered, True)):
        entries = [entry for entry in ledger_entries(Results(lines)) if entry.claim in claims]
        assert [entry.seeds for entry in entries] == [2 if missing else 3] * 2
        assert [entry.why.endswith("; without seed 2") for entry in entries] == [missing] * 2
    assert not any("without" in entry.why for entry in ledger_entries(Results(rows())))
