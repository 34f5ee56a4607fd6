"""Rows of results that tests make up."""

import torch

from magnet_helpers.study.results_file import Row, pack_bits, pack_sizes

N = 500


def plain_row(defense, threat, bits: torch.Tensor, seed: int = 0, sizes=None, **changes) -> Row:
    """Return a row in which nothing is rejected, of the paper's budget on MNIST unless changed."""
    values = {
        **{"dataset": "mnist", "budget": "paper", "classifier_epochs": 30, "classifier_seed": seed},
        **{"reformer_seed": seed, "defense": defense.label, "attack": repr(threat.attack), "knows": threat.knows},
        **{"n": len(bits), "rejected": 0, "right": int(bits.sum()), "wrong": int((~bits).sum()), "made": 0},
        **{"unchanged": 0, "collapsed": False, "jacobian": None, "median_l2": None, "forward_passes": 1.0},
        **{"backward_passes": 1.0, "training_seconds": 1.0, "seconds": 1.0, "device": "cpu", "precision": "float32"},
        **{"torch": "2", "python": "3", "key": "k", "not_fooled": pack_bits(bits)},
        "l2": "" if sizes is None else pack_sizes(torch.tensor(sizes)),
    }
    return Row(**values | changes)
