"""Every attack takes an ε of 0, and changes nothing then."""

import pytest
import torch
from tiny import tiny_classifier, tiny_images

from magnet_helpers.attacks import (
    FGSM,
    IFGSM,
    MIFGSM,
    PGD,
    PGDL2,
    SPSA,
    DetectorAwarePGD,
    Ensemble,
    RandomNoise,
    Square,
    Transferred,
)
from magnet_helpers.inference import predict
from magnet_helpers.magnet import MagNet

IMAGES, LABELS = tiny_images(6).images, tiny_images(6).labels


@pytest.mark.parametrize(
    "attack",
    [
        *(
            FGSM(0),
            FGSM(0, "given"),
            IFGSM(0, steps=2),
            MIFGSM(0, steps=2),
            PGD(0, steps=2),
            PGD(0, steps=2, restarts=2),
        ),
        *(PGDL2(0, steps=2), PGDL2(0, steps=2, restarts=2), RandomNoise(0), SPSA(0, steps=2, samples=2)),
        *(Square(0, queries=3), Square(0, queries=3, restarts=2), DetectorAwarePGD(0, "given", steps=2, restarts=1)),
        *(DetectorAwarePGD(0, "given", steps=2), Transferred(Square(0), tiny_classifier(1), "another")),
    ],
    ids=repr,
)
@pytest.mark.parametrize("is_right", [True, False])
def test_an_epsilon_of_zero_changes_nothing(attack, is_right):
    model = tiny_classifier()
    network = MagNet(Ensemble([model, model]), None, {})
    labels = (predict(model, IMAGES) + (not is_right)) % 10
    run = attack.run(network, IMAGES, labels)
    assert torch.equal(run.adversarial, IMAGES)
    assert run.success.tolist() == [not is_right] * len(IMAGES)
    assert all(not sizes.any() for sizes in run.norms.values())
    assert torch.equal(attack.perturb(network, IMAGES, labels), IMAGES)
