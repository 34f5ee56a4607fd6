import pytest
import torch
from tiny import steep_classifier, tiny_autoencoder, tiny_classifier
from torch import nn

from magnet_helpers.attacks import BPDA, DDN, FGSM, PGD, PGDL2, DetectorAwarePGD, RandomNoise, Square, Transferred
from magnet_helpers.detectors import ReconstructionDetector
from magnet_helpers.inference import predict
from magnet_helpers.intervals import Accuracy
from magnet_helpers.magnet import MagNet
from magnet_helpers.robustness import HUGE, ITERATED, NOISE, ONE_STEP, QUERIES, check_up, security_curve, worst_case

IMAGES = (0.5 + 0.1 * torch.randn(40, 1, 28, 28, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
QUICK = {"iterated": PGD(0.15, "given", steps=10, step_size=0.03), "queries": Square(0.15, queries=60)}


@pytest.fixture(scope="module")
def linear() -> nn.Module:
    return steep_classifier(10)


class Steps(nn.Module):
    """Cuts the gradient: 16 shades of grey."""

    def forward(self, images):
        return (15 * images).round() / 15


class Saturated(nn.Module):
    """Masks the gradient: the loss is flat to within float32 where the answer is sure."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return 1e4 * self.model(images)


# ---- the worst case and curves


def test_the_worst_case_is_per_image(linear):
    labels = predict(linear, IMAGES)
    runs = {
        "noise": RandomNoise(0.2).run(linear, IMAGES, labels),
        "other noise": RandomNoise(0.2, seed=1).run(linear, IMAGES, labels),
    }
    by_hand = sum(not (a or b) for a, b in zip(runs["noise"].success, runs["other noise"].success, strict=True))
    assert worst_case(runs) == Accuracy(by_hand, 40) == worst_case(list(runs.values()))
    assert worst_case(runs).correct < min(int((~run.success).sum()) for run in runs.values())


def test_the_worst_case_needs_the_same_images(linear):
    labels = predict(linear, IMAGES)
    runs = [FGSM(0.1).run(linear, images, labels) for images in (IMAGES, IMAGES.flip(0))]
    with pytest.raises(ValueError, match="same images"):
        worst_case(runs)
    run = FGSM(0.1).run(linear, IMAGES, labels)
    with pytest.raises(ValueError, match="same labels"):
        worst_case([run, FGSM(0.1).run(linear, IMAGES, labels.flip(0))])
    with pytest.raises(ValueError, match="at least one attack"):
        worst_case({})


def test_a_security_curve_counts_what_needs_more(linear):
    run = DDN(40).run(linear, IMAGES, predict(linear, IMAGES))
    sizes = [0.0, 0.1, 0.2, 0.4, 9.0]
    curve = security_curve(run, "L2", sizes)
    assert [each.correct for each in curve] == [int((run.norms["L2"] > size + 1e-6).sum()) for size in sizes]
    assert curve[0].correct == 40
    assert curve[-1].correct == 0


# ---- the check-up


def test_an_undefended_model_raises_no_doubt(linear):
    found = check_up(linear, IMAGES, predict(linear, IMAGES), **QUICK)
    assert found.doubts == ()
    assert found.accuracies["worst case"].correct == 0
    assert found.accuracies[HUGE].correct == 0
    assert set(found.accuracies) == {*found.runs, "worst case"}


def test_a_defence_that_cuts_the_gradient_is_caught(linear):
    broken = nn.Sequential(Steps(), linear)
    labels = predict(broken, IMAGES)
    around = Transferred(QUICK["iterated"], nn.Sequential(BPDA(Steps()), linear), "straight through")
    found = check_up(broken, IMAGES, labels, **QUICK, transferred={"straight through": around})
    assert found.accuracies[ITERATED].correct == 40, "PGD reports a perfect defence"
    assert found.accuracies["worst case"].correct == 0
    text = " | ".join(found.doubts)
    assert "40 of 40 images have a gradient of zero" in text
    assert "Square, which knows less, fools" in text
    assert "straight through, which knows less, fools 40 of 40 images" in text
    assert "with ε = 1, which allows any image at all, 40 of 40 images are not fooled" in text


def test_a_defence_that_masks_the_gradient_is_caught(linear):
    masked = Saturated(linear)
    found = check_up(masked, IMAGES, predict(masked, IMAGES), **QUICK)
    text = " | ".join(found.doubts)
    assert "have a gradient of zero" in text
    assert "Square, which knows less" in text


def test_an_attack_of_too_few_steps_is_named(linear):
    short = PGD(0.15, "given", steps=1, step_size=0.006)
    found = check_up(linear, IMAGES, predict(linear, IMAGES), iterated=short, queries=QUICK["queries"])
    text = " | ".join(found.doubts)
    assert "twice the steps fool" in text
    assert "one step fools" in text
    assert "random noise fools" in text


# ---- like is compared with like


def test_an_attack_beyond_epsilon_is_no_doubt_about_one_within_it(linear):
    weak = PGD(0.01, "given", steps=10, step_size=0.003)
    stronger = {"ε of 0.3": FGSM(0.3, "given"), "any size": DDN(20)}
    found = check_up(linear, IMAGES, predict(linear, IMAGES), iterated=weak, transferred=stronger)
    assert found.accuracies[ITERATED].correct > 0
    assert found.accuracies["any size"].correct == 0
    assert found.doubts == ()


def test_an_attack_within_epsilon_is_a_doubt_whatever_its_own_epsilon(linear):
    broken = nn.Sequential(Steps(), linear)
    less = Transferred(PGD(0.1, "given", steps=10, step_size=0.03), nn.Sequential(BPDA(Steps()), linear), "around")
    found = check_up(broken, IMAGES, predict(broken, IMAGES), **QUICK, transferred={"less": less})
    assert "less, which knows less, fools" in " | ".join(found.doubts)


@pytest.mark.parametrize("queries", [Square(0.3), Square(0.1), PGDL2(0.15)], ids=repr)
def test_questions_within_another_epsilon_or_norm_are_refused(linear, queries):
    with pytest.raises(ValueError, match=r"queries must keep within the ε of PGD\(epsilon=0.15.*give both the same ε"):
        check_up(linear, IMAGES, predict(linear, IMAGES), iterated=QUICK["iterated"], queries=queries)


def test_a_check_up_of_nothing_is_refused(linear):
    with pytest.raises(ValueError, match="needs an ε of more than 0, got 0"):
        check_up(linear, IMAGES, predict(linear, IMAGES), iterated=PGD(0))
    with pytest.raises(TypeError, match="a check-up is of an iterated attack"):
        check_up(linear, IMAGES, predict(linear, IMAGES), iterated=FGSM(0.3))


def test_an_attack_in_l2_is_compared_in_l2(linear):
    judged = PGDL2(1.5, "given", steps=10, step_size=0.3)
    questions = Transferred(DDN(10), linear, "the same")
    found = check_up(linear, IMAGES, predict(linear, IMAGES), iterated=judged, queries=questions)
    for name in (NOISE, ONE_STEP, ITERATED):
        assert found.runs[name].norms["L2"].max() <= 1.5 + 1e-5
    assert found.runs[HUGE].success.all()
    assert found.doubts == ()
    broken = nn.Sequential(Steps(), linear)
    caught = check_up(broken, IMAGES, predict(broken, IMAGES), iterated=judged, queries=questions)
    assert f"{QUERIES}, which knows less" in " | ".join(caught.doubts)


def test_images_that_were_wrong_before_are_no_doubt(linear):
    """An attack without labels may put them right; one that knows the labels leaves them wrong."""
    labels = predict(linear, IMAGES)
    labels[:20] = linear(IMAGES[:20]).topk(2).indices[:, 1]  # where an attack on the answer leads
    found = check_up(linear, IMAGES, labels, iterated=PGD(0.15, steps=10, step_size=0.03), queries=QUICK["queries"])
    assert found.doubts == ()


def test_what_a_detector_rejects_fools_nobody(linear):
    detector = ReconstructionDetector(tiny_autoencoder(), p=1)
    magnet = MagNet.calibrated(linear, None, [detector], IMAGES, 0)
    labels = predict(linear, IMAGES)
    judged = DetectorAwarePGD(0.15, "given", steps=10, step_size=0.03)
    found = check_up(magnet, IMAGES, labels, iterated=judged, queries=QUICK["queries"])
    for run in found.runs.values():
        outcome = magnet.judge(run.adversarial, labels)
        assert torch.equal(run.success, ~outcome.rejected & (outcome.answers != labels))
    assert any(magnet.judge(run.adversarial, labels).rejected.any() for run in found.runs.values())


def test_random_noise():
    model = tiny_classifier()
    noisy = RandomNoise(0.2).run(model, IMAGES, predict(model, IMAGES))
    change = noisy.adversarial - IMAGES
    inside = (IMAGES > 0.2) & (IMAGES < 0.8)
    assert change[inside].abs().sub(0.2).abs().max() < 1e-6
    assert change[inside].mean().abs() < 0.01, "up as often as down"
    assert (noisy.forward_passes, noisy.backward_passes) == (0, 0)
    again = RandomNoise(0.2).perturb(model, IMAGES, torch.zeros(40).long())
    assert torch.equal(again, RandomNoise(0.2).perturb(model, IMAGES, torch.zeros(40).long()))
    assert not torch.equal(again, RandomNoise(0.2, seed=1).perturb(model, IMAGES, torch.zeros(40).long()))
    with pytest.raises(ValueError, match="epsilon must be"):
        RandomNoise(2)
