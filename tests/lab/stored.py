"""What the tests of the store keep in it."""

import torch

from magnet_helpers.training import Epoch

SETTINGS = {"kind": "network", "name": "DAE, noise 0.4", "seed": 0}
TENSORS = {"weight": torch.arange(12.0).view(3, 4), "answers": torch.tensor([3, 1, 4])}
OTHER = {name: value + 1 for name, value in TENSORS.items()}
RECORD = {"collapsed": False, "epochs": [{"training_loss": 3.25}]}
EPOCHS = (Epoch(3.25, 3.5, 0.5), Epoch(3.0, 3.25, 0.5))


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
