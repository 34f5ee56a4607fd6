"""Trials: one defence under one threat, made once, and the same whoever makes it."""

import dataclasses

import pytest
import torch

from magnet_helpers.attacks import FGSM, PGD, CarliniWagner, DetectorAwarePGD, ElasticNet, Ensemble, Knowledge, Threat
from magnet_helpers.attacks.minimal_norm import MinimalNormAttack
from magnet_helpers.data import load_images
from magnet_helpers.defenses import MAGNETS_OWN, NO_REFORMER, ReformedClassifier, denoising
from magnet_helpers.detectors import DetectorSpec
from magnet_helpers.inference import predict
from magnet_helpers.lab import measurements
from magnet_helpers.lab import trials as trials_module
from magnet_helpers.lab.budget import BUDGETS, FAST, PAPER, SMOKE
from magnet_helpers.lab.lab import PAPER_ATTACK, Lab
from magnet_helpers.lab.store import Store
from magnet_helpers.lab.trainings import TrainingSpecs
from magnet_helpers.lab.trials import _ATTACKERS_OWN, Calibration, Trial, TrialReport, all_trials
from magnet_helpers.magnet import MagNet, MagNetSpec, Outcome
from magnet_helpers.study.grid import MAGNET, MAGNETS_PARTS, UNDER_ATTACK
from magnet_helpers.study.threats import all_threats, confident_threats

TINY = dataclasses.replace(
    SMOKE, classifier_images=64, autoencoder_images=64, validation_images=8, test_images=20, classifier_epochs=2
)
REFORMED = MagNetSpec("DAE", denoising(0.4))
WHOLE = MagNetSpec("MagNet", MAGNETS_OWN[0], (DetectorSpec(MAGNETS_OWN[1], p=1),))
N = 8
pytestmark = pytest.mark.filterwarnings("ignore::magnet_helpers.detectors.UncertainRateWarning")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Lab:
    store = Store(tmp_path_factory.mktemp("trials"))
    return Lab(TINY, load_images("digits"), seed=3, store=store, device=torch.device("cpu"))


def again(lab: Lab) -> Lab:
    return dataclasses.replace(lab)


# ---- what is tried


@pytest.mark.parametrize("budget", BUDGETS.values(), ids=BUDGETS)
def test_threats_follow_the_budget(budget):
    found = all_threats(budget)
    assert len({threat.name for threat in found}) == len(set(found)) == len(found)
    assert [threat.attack for threat in found[:2]] == [PAPER_ATTACK] * 2
    assert (*found.within_epsilon, *found.without_bound) == tuple(found)
    assert {threat.attack.epsilon for threat in found.within_epsilon} == {PAPER_ATTACK.epsilon}
    assert all(isinstance(threat.attack, MinimalNormAttack) for threat in found.without_bound)
    iterated = found.pgd_white_box.attack
    assert (iterated.steps, iterated.restarts, iterated.labels) == (
        budget.attack_steps,
        budget.attack_restarts,
        "given",
    )
    assert iterated.steps * iterated.step_size >= 2 * iterated.epsilon, "it can cross the ball"
    careful = found.pgd_detectors_known.attack
    assert (careful.steps, careful.labels) == (budget.attack_steps, "given")
    assert careful.restarts == 0, "detectors see a random start to the end"
    for kind, name in {CarliniWagner: "C&W", ElasticNet: "EAD"}.items():
        some = confident_threats(budget, kind)
        assert [threat.attack.confidence for threat in some] == list(budget.confidences)
        assert {type(threat.attack) for threat in some} == {kind}
        assert all(threat.name.startswith(name) and threat.knows is Knowledge.CLASSIFIER for threat in some)


def test_slow_attacks_have_the_images_that_were_promised():
    assert (PAPER.trial_images, PAPER.attack_steps, PAPER.attack_restarts) == (1_000, 100, 5)
    assert set(FAST.confidences) <= set(PAPER.confidences) == {0, 5, 10, 15, 20, 25, 30, 35, 40}


def test_without_detectors_no_attacker_has_to_know_them():
    threats = all_threats(SMOKE)
    found = all_trials(UNDER_ATTACK, threats, N, TrainingSpecs(SMOKE, 0))
    assert len(found) == 7 * 7 + 9
    assert {each.defense for each in found if each.threat.knows is Knowledge.EVERYTHING} == {MAGNET}
    assert [each.label for each in UNDER_ATTACK] == [
        "no reformer",
        "vanilla AE",
        "DAE, noise 0.4",
        "SDAE(2), noise 0.4",
        "SDAE(3), noise 0.4",
        "CAE, λ = 0.001",
        "MagNet's reformer",
        "MagNet, complete",
    ]
    assert not set(_ATTACKERS_OWN) & {each.reformer for each in (*UNDER_ATTACK, *MAGNETS_PARTS)}, "they are his own"


# ---- what becomes of it


def test_a_magnet_of_a_recipe(lab):
    found = lab.magnet(WHOLE)
    parts = (lab.classifier(), lab.reformer(MAGNETS_OWN[0]), lab.detectors(WHOLE.detectors))
    by_hand = MagNet.calibrated(*parts, lab.data.validation.images, 0.001)
    images, labels = lab.test.images, lab.test.labels
    assert found.thresholds == by_hand.thresholds
    assert found.judge(images, labels).counts == by_hand.judge(images, labels).counts
    assert lab.magnet(WHOLE) is found, "thresholds are chosen once"
    bare = lab.magnet(MagNetSpec("bare", NO_REFORMER))
    assert torch.equal(predict(bare, images), predict(lab.classifier(), images))
    assert lab.magnet(REFORMED).reformed.reformer is lab.reformer(denoising(0.4))


def source(lab, knows, defense):
    """Return what an attacker with this knowledge attacks."""
    classifier = lab.classifier()
    return {
        "classifier": classifier,
        "own autoencoders": Ensemble(
            [classifier, *(ReformedClassifier(lab.reformer(each), classifier) for each in _ATTACKERS_OWN)]
        ),
        "reformer": ReformedClassifier(lab.reformer(defense.reformer), classifier),
        "everything": lab.magnet(defense),
    }[knows]


def run_trial(lab, trial) -> TrialReport:
    return TrialReport.restore(lab.result(trial))


@pytest.mark.parametrize("knows", [knows for knows in Knowledge if knows is not Knowledge.NOTHING])
def test_a_trial_by_hand(lab, knows):
    kind = DetectorAwarePGD if knows is Knowledge.EVERYTHING else PGD
    attack = kind(0.2, "predicted", steps=4, step_size=0.05)  # whoever has labels spares what is wrong already
    report = run_trial(lab, Trial(WHOLE, Threat(attack, knows), N, lab.specs))
    test = lab.data.test.spread(N)
    by_hand = attack.run(source(lab, knows, WHOLE), test.images, test.labels)
    outcome = lab.magnet(WHOLE).judge(by_hand.adversarial, test.labels)
    assert torch.equal(report.success, by_hand.success)
    assert torch.equal(report.outcome.answers, outcome.answers)
    assert torch.equal(report.outcome.rejected, outcome.rejected)
    assert torch.equal(report.norms["L2"], by_hand.norms["L2"])
    assert (report.forward_passes, report.backward_passes) == (by_hand.forward_passes, by_hand.backward_passes)
    assert int(report.not_fooled.sum()) == outcome.rejected_counts_as_right.correct


def test_the_sources_differ(lab):
    """Else a wrong source would pass the test above."""
    attack, test = PGD(0.2, "given", steps=4, step_size=0.05), lab.data.test.spread(N)
    made = [
        attack.perturb(source(lab, knows, WHOLE), test.images, test.labels)
        for knows in Knowledge
        if knows is not Knowledge.NOTHING
    ]
    assert all((one - other).abs().max() > 0.01 for i, one in enumerate(made[:3]) for other in made[:i])


def test_a_trial_is_made_once(lab, monkeypatch):
    trial = Trial(REFORMED, Threat(FGSM(0.1), Knowledge.REFORMER), N, lab.specs)
    made = run_trial(lab, trial)
    monkeypatch.setattr(trials_module, "attack_images", lambda *_: pytest.fail("this should have been loaded"))
    loaded = run_trial(again(lab), trial)
    assert torch.equal(loaded.outcome.answers, made.outcome.answers)
    assert loaded.outcome.counts == made.outcome.counts
    assert loaded.seconds == made.seconds


def test_what_needs_no_defense_is_made_once_for_all(lab, monkeypatch):
    trials = all_trials([REFORMED, WHOLE], [Threat(FGSM(0.15), Knowledge.CLASSIFIER)], N, lab.specs)
    assert trials[0].without_defense == trials[1].without_defense
    made = lab.result(trials[0].without_defense).tensors
    monkeypatch.setattr(measurements, "attack_images", lambda *_: pytest.fail("this should have been loaded"))
    reports = [run_trial(lab, trial) for trial in trials]
    assert torch.equal(made["adversarial"], FGSM(0.15).perturb(lab.classifier(), lab.data.test.spread(N).images))
    assert torch.equal(reports[0].success, reports[1].success)
    by_hand = lab.magnet(REFORMED).judge(made["adversarial"], reports[0].outcome.labels)
    assert torch.equal(reports[0].outcome.answers, by_hand.answers)


@pytest.mark.parametrize(
    "change",
    [
        {"images": N + 1},
        {"threat": Threat(FGSM(0.21), Knowledge.REFORMER)},
        {"threat": Threat(FGSM(0.2), Knowledge.CLASSIFIER)},
        {"defense": MagNetSpec("DAE", denoising(0.3))},
        {"defense": dataclasses.replace(REFORMED, detectors=WHOLE.detectors)},
        {"specs": TrainingSpecs(TINY, 4)},
        {"specs": TrainingSpecs(dataclasses.replace(TINY, denoising_epochs=9), 3)},
    ],
    ids=["images", "attack", "knowledge", "reformer", "detectors", "seed", "how the reformer is trained"],
)
def test_everything_that_matters_is_in_the_key(lab, change):
    trial = Trial(REFORMED, Threat(FGSM(0.2), Knowledge.REFORMER), N, TrainingSpecs(TINY, 3))
    assert dataclasses.replace(trial, **change).key != trial.key


def test_the_norm_of_a_detector_is_in_the_keys():
    square = dataclasses.replace(WHOLE, detectors=(DetectorSpec(MAGNETS_OWN[1], p=2),))
    threat, specs = Threat(FGSM(0.2), Knowledge.REFORMER), TrainingSpecs(TINY, 3)
    assert Trial(square, threat, N, specs).key != Trial(WHOLE, threat, N, specs).key
    assert Calibration(square, specs).key != Calibration(WHOLE, specs).key


def test_thresholds_come_back_as_they_were_chosen(lab):
    chosen = lab.magnet(WHOLE).thresholds
    assert again(lab).magnet(WHOLE).thresholds == chosen
    assert [threshold.total for threshold in chosen] == [len(lab.data.validation)]


def test_rejected_or_right_is_not_fooled():
    outcome = Outcome(
        labels=torch.tensor([1, 1, 1, 1]),
        answers=torch.tensor([1, 2, 1, 2]),
        rejected=torch.tensor([False, False, True, True]),
    )
    report = TrialReport(outcome, torch.ones(4).bool(), {}, 1, 1, 1)
    assert report.not_fooled.tolist() == [True, False, True, True]


@pytest.mark.long
def test_worker_processes_give_the_same(lab, tmp_path):
    """Two processes train, attack and keep; what they made is loaded here, and is what one process makes."""
    several = dataclasses.replace(lab, budget=dataclasses.replace(TINY, processes=2), store=Store(tmp_path))
    iterated, one_step = PGD(0.2, "given", steps=3), FGSM(0.2)
    trials = all_trials([REFORMED], [Threat(iterated, Knowledge.REFORMER)], N, lab.specs)
    trials += all_trials([REFORMED, WHOLE], [Threat(one_step, Knowledge.CLASSIFIER)], N, lab.specs)
    several.make(trials)
    for trial in trials:
        theirs, ours = run_trial(several, trial), run_trial(lab, trial)
        assert torch.equal(theirs.outcome.answers, ours.outcome.answers)
        assert torch.allclose(theirs.norms["L2"], ours.norms["L2"])
    assert len(list((tmp_path / "trial").glob("*/record.json"))) == 3


def test_nothing_missing_makes_nothing(lab, monkeypatch):
    trials = all_trials([REFORMED], [Threat(FGSM(0.1), Knowledge.REFORMER)], N, lab.specs)
    lab.make(trials)
    monkeypatch.setattr(Trial, "run", lambda *_: pytest.fail("nothing is missing"))
    again(lab).make(trials)
