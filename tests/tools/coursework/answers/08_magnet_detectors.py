# What students might hand in for assignment 08. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% flattened first task="score" right=true
def reconstruction_score(images, reconstructions, p):
    error = torch.abs(images - reconstructions).flatten(start_dim=1)
    return (error**p).sum(dim=1) / error.shape[1]


# %% PyTorch's own losses task="score" right=true
import torch.nn.functional as F


def reconstruction_score(images, reconstructions, p):
    loss = F.l1_loss if p == 1 else F.mse_loss
    return loss(images, reconstructions, reduction="none").mean(dim=(1, 2, 3))


# %% one image after the other task="score" right=true
import torch


def reconstruction_score(images, reconstructions, p):
    return torch.stack([((x - y).abs() ** p).mean() for x, y in zip(images, reconstructions, strict=True)])


# %% in float64 task="score" right=true
def reconstruction_score(images, reconstructions, p):
    return (images.double() - reconstructions.double()).abs().pow(p).mean(dim=(1, 2, 3))


# %% sum for mean task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).abs().pow(p).sum(dim=(1, 2, 3))


# %% the norm task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).flatten(start_dim=1).norm(p=p, dim=1)


# %% the root of the mean task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).abs().pow(p).mean(dim=(1, 2, 3)) ** (1 / p)


# %% one number for the batch task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).abs().pow(p).mean()


# %% mean over the images task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).abs().pow(p).mean(dim=0)


# %% signed task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).pow(p).mean(dim=(1, 2, 3))


# %% forgets p task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).abs().mean(dim=(1, 2, 3))


# %% power before the difference task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images**p - reconstructions**p).abs().mean(dim=(1, 2, 3))


# %% mean over one side of the image task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).abs().pow(p).mean(dim=3)


# %% the reconstruction is detached task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions.detach()).abs().pow(p).mean(dim=(1, 2, 3))


# %% through NumPy task="score" right=false
def reconstruction_score(images, reconstructions, p):
    error = images.detach().numpy() - reconstructions.detach().numpy()
    return torch.from_numpy((abs(error) ** p).mean(axis=(1, 2, 3)))


# %% squeezes a single image away task="score" right=false
def reconstruction_score(images, reconstructions, p):
    return (images - reconstructions).squeeze().abs().pow(p).mean(dim=(-2, -1))


# %% NumPy's quantile that is no less than asked for task="threshold" right=true
import numpy as np


def choose_threshold(clean_scores, false_positive_rate):
    scores = clean_scores.numpy()
    threshold = np.quantile(scores, 1 - false_positive_rate, method="inverted_cdf")
    return threshold, (scores > threshold).sum()


# %% tries every score task="threshold" right=true
def choose_threshold(clean_scores, false_positive_rate):
    scores = clean_scores.tolist()
    above = {threshold: sum(score > threshold for score in scores) for threshold in scores}
    threshold = min(each for each, rejected in above.items() if rejected <= false_positive_rate * len(scores))
    return threshold, above[threshold]


# %% the k-th smallest, as tensors task="threshold" right=true
import math

import torch


def choose_threshold(clean_scores, false_positive_rate):
    n = len(clean_scores)
    threshold = torch.kthvalue(clean_scores, n - math.floor(false_positive_rate * n)).values
    return threshold, (clean_scores > threshold).sum()


# %% the last of the largest task="threshold" right=true
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.topk(allowed + 1).values[-1]
    return float(threshold), len([score for score in clean_scores if score > threshold])


# %% the wrong end task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort().values[allowed].item()
    return threshold, int((clean_scores > threshold).sum())


# %% the wrong end, and counts below task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort().values[allowed].item()
    return threshold, int((clean_scores < threshold).sum())


# %% an interpolated quantile task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    threshold = clean_scores.quantile(1 - false_positive_rate).item()
    return threshold, int((clean_scores > threshold).sum())


# %% the next higher of a quantile's two scores task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    threshold = clean_scores.quantile(1 - false_positive_rate, interpolation="higher").item()
    return threshold, int((clean_scores > threshold).sum())


# %% the next lower of a quantile's two scores task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    threshold = clean_scores.quantile(1 - false_positive_rate, interpolation="lower").item()
    return threshold, int((clean_scores > threshold).sum())


# %% the nearer of a quantile's two scores task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    threshold = clean_scores.quantile(1 - false_positive_rate, interpolation="nearest").item()
    return threshold, int((clean_scores > threshold).sum())


# %% rejects what equals the threshold task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort(descending=True).values[max(allowed - 1, 0)].item()
    return threshold, int((clean_scores >= threshold).sum())


# %% one score too high task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort(descending=True).values[max(allowed - 1, 0)].item()
    return threshold, int((clean_scores > threshold).sum())


# %% one score too low task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort(descending=True).values[min(allowed + 1, len(clean_scores) - 1)].item()
    return threshold, int((clean_scores > threshold).sum())


# %% rounds up task="threshold" right=false
import math


def choose_threshold(clean_scores, false_positive_rate):
    allowed = math.ceil(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort(descending=True).values[min(allowed, len(clean_scores) - 1)].item()
    return threshold, int((clean_scores > threshold).sum())


# %% says what is allowed, not what is rejected task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    return clean_scores.sort(descending=True).values[allowed].item(), allowed


# %% says a share task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort(descending=True).values[allowed].item()
    return threshold, (clean_scores > threshold).float().mean().item()


# %% equal scores counted once task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    different = clean_scores.unique()
    threshold = different[len(different) - 1 - int(false_positive_rate * len(different))].item()
    return threshold, int((clean_scores > threshold).sum())


# %% goes below equal scores task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    allowed = int(false_positive_rate * len(clean_scores))
    threshold = clean_scores.sort(descending=True).values[allowed].item()
    below = clean_scores[clean_scores < threshold]
    if (clean_scores > threshold).sum() < allowed and len(below):
        threshold = below.max().item()
    return threshold, int((clean_scores > threshold).sum())


# %% only the threshold task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    return clean_scores.sort(descending=True).values[int(false_positive_rate * len(clean_scores))].item()


# %% sorts the scores that it was given task="threshold" right=false
def choose_threshold(clean_scores, false_positive_rate):
    clean_scores.copy_(clean_scores.sort(descending=True).values)
    threshold = clean_scores[0].item()
    return threshold, int((clean_scores > threshold).sum())


# %% by counting task="accuracies" right=true
def two_accuracies(rejected, answers, labels):
    n = len(labels)
    accepted = rejected.sum(dim=1) == 0
    wrong = int((accepted & (answers != labels)).sum())
    return int((accepted & (answers == labels)).sum()) / n, 1 - wrong / n


# %% with a loop task="accuracies" right=true
def two_accuracies(rejected, answers, labels):
    strict, lenient = [], []
    for row, answer, label in zip(rejected, answers, labels, strict=True):
        strict.append(bool(answer == label) and not any(row))
        lenient.append(bool(answer == label) or any(row))
    return sum(strict) / len(strict), sum(lenient) / len(lenient)


# %% as tensors task="accuracies" right=true
def two_accuracies(rejected, answers, labels):
    gone = rejected.max(dim=1).values
    return torch.where(gone, False, answers == labels).float().mean(), torch.where(
        gone, True, answers == labels
    ).float().mean()


# %% exchanged task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    gone, right = rejected.any(dim=1), answers == labels
    return (right | gone).float().mean(), (right & ~gone).float().mean()


# %% all detectors have to agree task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    gone, right = rejected.all(dim=1), answers == labels
    return (right & ~gone).float().mean(), (right | gone).float().mean()


# %% rejections are not counted task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    right = (answers == labels).float().mean()
    return right, right


# %% among the accepted task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    accepted = ~rejected.any(dim=1)
    share = (answers == labels)[accepted].float().sum() / max(int(accepted.sum()), 1)
    return share, share


# %% the first among the accepted task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    gone, right = rejected.any(dim=1), answers == labels
    return right[~gone].float().sum() / max(int((~gone).sum()), 1), (right | gone).float().mean()


# %% counts some images twice task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    gone, right = rejected.any(dim=1), answers == labels
    return (right & ~gone).float().mean(), right.float().mean() + gone.float().mean()


# %% counts task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    gone, right = rejected.any(dim=1), answers == labels
    return (right & ~gone).sum(), (right | gone).sum()


# %% in percent task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    gone, right = rejected.any(dim=1), answers == labels
    return 100 * (right & ~gone).float().mean(), 100 * (right | gone).float().mean()


# %% the first detector alone task="accuracies" right=false
def two_accuracies(rejected, answers, labels):
    gone, right = rejected[:, 0], answers == labels
    return (right & ~gone).float().mean(), (right | gone).float().mean()
