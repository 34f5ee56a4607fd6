# What students might hand in for assignment 01. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% a loop over the images task="count" right=true
def count_correct(logits, labels):
    correct = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        correct += row.index(max(row)) == label
    return correct, labels.shape[0]


# %% NumPy instead of PyTorch task="count" right=true
import numpy as np


def count_correct(logits, labels):
    return [np.sum(np.argmax(logits.numpy(), axis=-1) == labels.numpy()).item(), logits.shape[0]]


# %% wrong axis task="count" right=false
def count_correct(logits, labels):
    return int((logits.argmax(dim=0)[: len(labels)] == labels[:10]).sum()), len(labels)


# %% a share instead of a count task="count" right=false
def count_correct(logits, labels):
    return (logits.argmax(dim=1) == labels).float().mean(), len(labels)


# %% the two numbers exchanged task="count" right=false
def count_correct(logits, labels):
    return len(labels), int((logits.argmax(dim=1) == labels).sum())


# %% counts the wrong ones task="count" right=false
def count_correct(logits, labels):
    return int((logits.argmax(dim=1) != labels).sum()), len(labels)


# %% logsumexp task="cross_entropy" right=true
def cross_entropy(logits, labels):
    return (torch.logsumexp(logits, dim=1) - logits.gather(1, labels[:, None]).squeeze(1)).mean()


# %% log_softmax and one-hot task="cross_entropy" right=true
def cross_entropy(logits, labels):
    chosen = torch.nn.functional.one_hot(labels, 10).bool()
    return -logits.log_softmax(dim=-1)[chosen].sum() / len(labels)


# %% overflows task="cross_entropy" right=false
def cross_entropy(logits, labels):
    exponentials = logits.exp()
    probabilities = exponentials / exponentials.sum(dim=1, keepdim=True)
    return -probabilities[torch.arange(len(labels)), labels].log().mean()


# %% sum instead of mean task="cross_entropy" right=false
def cross_entropy(logits, labels):
    return -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels].sum()


# %% softmax over the images task="cross_entropy" right=false
def cross_entropy(logits, labels):
    return -logits.log_softmax(dim=0)[torch.arange(len(labels)), labels].mean()


# %% gradient cut task="cross_entropy" right=false
def cross_entropy(logits, labels):
    shifted = logits.detach() - logits.detach().max(dim=1, keepdim=True).values
    return (shifted.exp().sum(dim=1).log() - shifted[torch.arange(len(labels)), labels]).mean()


# %% one number for each image task="cross_entropy" right=false
def cross_entropy(logits, labels):
    return -logits.log_softmax(dim=1)[torch.arange(len(labels)), labels]


# %% takes all ten columns task="cross_entropy" right=false
def cross_entropy(logits, labels):
    return -logits.log_softmax(dim=1)[:, labels].mean()


# %% with n·p·(1 − p) task="wilson" right=true
def wilson_interval(k, n):
    z, p = 1.959964, k / n
    centre = (n * p + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (n * p * (1 - p) + z * z / 4) ** 0.5
    return centre - half, centre + half


# %% by the roots of the quadratic equation task="wilson" right=true
import numpy as np


def wilson_interval(k, n):
    z, p = 1.959964, k / n
    return sorted(np.roots([1 + z**2 / n, -(2 * p + z**2 / n), p**2]).real)


# %% the simple interval task="wilson" right=false
def wilson_interval(k, n):
    p = k / n
    reach = 1.959964 * (p * (1 - p) / n) ** 0.5
    return p - reach, p + reach


# %% no division by 1 + z²/n task="wilson" right=false
def wilson_interval(k, n):
    z, p = 1.959964, k / n
    reach = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return p + z**2 / (2 * n) - reach, p + z**2 / (2 * n) + reach


# %% no square root task="wilson" right=false
def wilson_interval(k, n):
    z, p = 1.959964, k / n
    reach = z * (p * (1 - p) / n + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - reach) / (1 + z**2 / n), (p + z**2 / (2 * n) + reach) / (1 + z**2 / n)


# %% z for 90 percent task="wilson" right=false
def wilson_interval(k, n):
    z, p = 1.644854, k / n
    reach = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return (p + z**2 / (2 * n) - reach) / (1 + z**2 / n), (p + z**2 / (2 * n) + reach) / (1 + z**2 / n)


# %% in percent task="wilson" right=false
def wilson_interval(k, n):
    z, p = 1.959964, k / n
    reach = z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return tuple(100 * (p + z**2 / (2 * n) + sign * reach) / (1 + z**2 / n) for sign in (-1, 1))
