"""What students and neighbouring libraries do, and what comes of it here: a right number or a refusal in words."""

import pytest
import torch
from torch import Tensor, nn

from magnet_helpers.attacks import BPDA, DDN, FGSM, CarliniWagner, DetectorAwareCarliniWagner, ElasticNet, Square
from magnet_helpers.contracts import as_count, as_number
from magnet_helpers.data import LabeledImages
from magnet_helpers.defenses import NO_REFORMER, VANILLA, Defense
from magnet_helpers.detectors import DetectorSpec, DivergenceDetector, ReconstructionDetector
from magnet_helpers.inference import apply_model, predict
from magnet_helpers.lab.budget import get_budget
from magnet_helpers.lab.trainings import TrainingSpecs
from magnet_helpers.losses import ReconstructionLoss, squared_error
from magnet_helpers.magnet import MagNet, MagNetSpec
from magnet_helpers.training import TrainingConfig, fit

IMAGES = torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2])


class Normalising(nn.Module):
    """Normalises in place, as `torchvision`'s Normalize(inplace=True)."""

    def forward(self, images: Tensor) -> Tensor:
        return images.sub_(0.1307).div_(0.3081)


class WithoutGradient(nn.Module):
    """Answers, but cuts the graph."""

    def forward(self, images: Tensor) -> Tensor:
        return 9 * images.detach().flatten(1)


def test_a_network_that_works_in_place_leaves_the_images() -> None:
    images = IMAGES.clone()
    apply_model(Normalising(), images)
    predict(nn.Sequential(Normalising(), nn.Flatten()), images)
    with pytest.raises(ValueError, match="changes the images that it is given"):
        FGSM(0.1).perturb(nn.Sequential(nn.Flatten(), nn.ReLU(inplace=True)), images, LABELS)
    assert torch.equal(images, IMAGES)


def test_a_detectors_networks_that_work_in_place_change_no_score() -> None:
    images, flat = IMAGES.clone(), nn.Flatten()

    class Halving(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mul_(0.5)

    score = ReconstructionDetector(Halving(), 1)(images)
    assert torch.allclose(score, IMAGES.flatten(1).mean(1) / 2)
    in_place = DivergenceDetector(nn.Threshold(0.5, 0), nn.Sequential(Halving(), flat), 1.0)(images)
    assert torch.allclose(in_place, DivergenceDetector(nn.Threshold(0.5, 0), lambda x: flat(x) / 2, 1.0)(IMAGES))
    assert torch.equal(images, IMAGES)


@pytest.mark.parametrize("network", [lambda images: images.flatten(1), None, "model", nn.Flatten, VANILLA])
def test_what_is_no_network_is_refused_by_name(network: object) -> None:
    for ask in (
        lambda: predict(network, IMAGES),  # type: ignore[arg-type]
        lambda: FGSM(0.1).perturb(network, IMAGES),  # type: ignore[arg-type]
        lambda: MagNet(network, None, {}).judge(IMAGES, LABELS),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match=r"network must be a torch\.nn\.Module"):
            ask()


@pytest.mark.parametrize("attack", [FGSM(0.1), DDN(2), CarliniWagner(iterations=2), ElasticNet(iterations=2)])
def test_a_network_without_a_gradient_is_refused_by_attacks_that_follow_it(attack: FGSM) -> None:
    with pytest.raises(ValueError, match=r"no gradient passes .*BPDA"):
        attack.perturb(WithoutGradient(), IMAGES, LABELS)


def test_a_magnet_without_a_gradient_is_refused_by_attacks_that_follow_it() -> None:
    with pytest.raises(ValueError, match=r"no gradient passes .*BPDA"):
        DetectorAwareCarliniWagner(iterations=2).perturb(MagNet(WithoutGradient(), None, {}), IMAGES, LABELS)


@pytest.mark.parametrize("attack", [Square(0.1, queries=2), CarliniWagner(iterations=2, searches=1)])
def test_an_attack_that_computes_in_float32_says_so(attack: Square) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).double()
    with pytest.raises(ValueError, match=r"model\.float\(\)"):
        attack.perturb(network, IMAGES.double(), LABELS)


def test_a_gradient_of_another_function_broadcasts_nothing() -> None:
    with pytest.raises(ValueError, match="of the shape"):
        BPDA(lambda images: images.mean(dim=(2, 3), keepdim=True))(IMAGES)


def test_results_compare_without_an_error() -> None:
    first, second = (FGSM(0).run(nn.Flatten(), IMAGES, LABELS) for _ in range(2))
    assert first == first
    assert first != second
    assert first not in [second]


def test_settings_of_another_kind_are_refused_where_they_are_made() -> None:
    for make, message in (
        (lambda: Defense("vanilla", variant="keras"), "variant must be a Variant"),  # type: ignore[arg-type]
        (lambda: DetectorSpec("vanilla", p=1), "defense must be a Defense"),  # type: ignore[arg-type]
        (lambda: MagNetSpec("a", "vanilla"), "reformer must be a Defense"),  # type: ignore[arg-type]
        (lambda: MagNetSpec("a", VANILLA, (VANILLA,)), "detectors must be DetectorSpecs"),  # type: ignore[arg-type]
        (lambda: MagNetSpec("a", VANILLA, DetectorSpec(VANILLA, p=1)), "detectors must be"),  # type: ignore[arg-type]
        (lambda: as_number("epsilon", torch.tensor(1.0, device="meta")), "epsilon must be a number"),
        (lambda: as_count("steps", torch.tensor(1, device="meta")), "steps must be a whole number"),
    ):
        with pytest.raises(TypeError, match=message):
            make()
    with pytest.raises(ValueError, match="labels must be one of predicted, given"):
        FGSM(0.3, LABELS.numpy())  # type: ignore[arg-type]


def test_a_lab_names_what_has_no_reformer() -> None:
    specs = TrainingSpecs(get_budget("smoke"), 0, 10)
    with pytest.raises(ValueError, match="has no reformer"):
        specs.reformer(NO_REFORMER)
    with pytest.raises(TypeError, match="expected a Defense"):
        specs.reformer("vanilla")  # type: ignore[arg-type]


def test_a_training_leaves_the_validation_images() -> None:
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    validation = LabeledImages(images.clone(), torch.arange(4))
    network = nn.Sequential(nn.Threshold(0.5, 0, inplace=True), nn.Conv2d(1, 1, 3, padding=1))
    fit(network, ReconstructionLoss(), validation, validation, TrainingConfig(1), device=torch.device("cpu"))
    assert torch.equal(validation.images, images)
    wanted = squared_error(images, network(images.clone())).mean()
    assert torch.allclose(ReconstructionLoss()(network, images, torch.arange(4), torch.Generator()), wanted)


def test_a_list_of_detectors_is_the_tuple() -> None:
    detector = DetectorSpec(VANILLA, p=1)
    assert hash(MagNetSpec("a", VANILLA, [detector])) == hash(MagNetSpec("a", VANILLA, (detector,)))  # type: ignore[arg-type]


def test_no_reformer_builds_none() -> None:
    with pytest.raises(ValueError, match="no reformer to"):
        NO_REFORMER.build()
