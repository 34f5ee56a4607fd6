# What students might hand in for assignment 07. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% written out task="interval" right=true
from scipy.stats import t


def mean_with_interval(values):
    n = len(values)
    mean = sum(values) / n
    variance = sum((each - mean) ** 2 for each in values) / (n - 1)
    return mean, t.ppf(0.975, n - 1) * (variance / n) ** 0.5


# %% PyTorch, whose std divides by n − 1 task="interval" right=true
from scipy.stats import t
import torch


def mean_with_interval(values):
    values = torch.tensor(values)
    error = values.std() / len(values) ** 0.5
    return values.mean(), error * t.ppf(0.975, len(values) - 1)


# %% by scipy's interval task="interval" right=true
import numpy as np
from scipy.stats import t
from scipy.stats import sem


def mean_with_interval(values):
    error = sem(values)
    low, high = t.interval(0.95, len(values) - 1, loc=0, scale=error) if error else (0, 0)
    return [np.mean(values), (high - low) / 2]


# %% n for n − 1 in the standard deviation task="interval" right=false
from math import sqrt
import numpy as np
from scipy.stats import t


def mean_with_interval(values):
    n = len(values)
    return np.mean(values), t.ppf(0.975, n - 1) * np.std(values) / sqrt(n)


# %% z for t task="interval" right=false
from math import sqrt
import numpy as np


def mean_with_interval(values):
    return np.mean(values), 1.959964 * np.std(values, ddof=1) / sqrt(len(values))


# %% the standard deviation for the standard error task="interval" right=false
import numpy as np
from scipy.stats import t


def mean_with_interval(values):
    return np.mean(values), t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1)


# %% divided by n, not by its root task="interval" right=false
import numpy as np
from scipy.stats import t


def mean_with_interval(values):
    return np.mean(values), t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values)


# %% n degrees of freedom task="interval" right=false
from math import sqrt
import numpy as np
from scipy.stats import t


def mean_with_interval(values):
    return np.mean(values), t.ppf(0.975, len(values)) * np.std(values, ddof=1) / sqrt(len(values))


# %% the 95 % point task="interval" right=false
from math import sqrt
import numpy as np
from scipy.stats import t


def mean_with_interval(values):
    return np.mean(values), t.ppf(0.95, len(values) - 1) * np.std(values, ddof=1) / sqrt(len(values))


# %% the standard error task="interval" right=false
from math import sqrt
import numpy as np


def mean_with_interval(values):
    return np.mean(values), np.std(values, ddof=1) / sqrt(len(values))


# %% the whole width task="interval" right=false
from math import sqrt
import numpy as np
from scipy.stats import t


def mean_with_interval(values):
    return np.mean(values), 2 * t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / sqrt(len(values))


# %% the two ends task="interval" right=false
from math import sqrt
import numpy as np
from scipy.stats import t


def mean_with_interval(values):
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / sqrt(len(values))
    return np.mean(values) - half, np.mean(values) + half


# %% the other tail, in NumPy task="paired" right=true
from math import comb


def paired_difference(first, second):
    a, b = first.numpy(), second.numpy()
    won, lost = np.sum(b > a), np.sum(a > b)
    n, fewer = int(won + lost), int(min(won, lost))
    if won == lost:
        return won, lost, 1.0
    return won, lost, 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n


# %% with logarithms task="paired" right=true
from math import exp, lgamma, log


def paired_difference(first, second):
    won, lost = (second & ~first).sum().item(), (first & ~second).sum().item()
    n = won + lost
    chances = [exp(lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2)) for k in range(n + 1)]
    return won, lost, sum(chances[k] for k in range(n + 1) if abs(2 * k - n) >= abs(won - lost))


# %% by scipy, which the task forbids but no test can see task="paired" right=true
from scipy.stats import binomtest


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return won, lost, binomtest(won, won + lost).pvalue if won + lost else 1.0


# %% one-sided task="paired" right=false
from math import comb


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n = won + lost
    return won, lost, sum(comb(n, k) for k in range(max(won, lost), n + 1)) / 2**n


# %% one-sided, in favour of the second task="paired" right=false
from math import comb


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n = won + lost
    return won, lost, sum(comb(n, k) for k in range(won, n + 1)) / 2**n


# %% one-sided, in favour of the first task="paired" right=false
from math import comb


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n = won + lost
    return won, lost, sum(comb(n, k) for k in range(lost, n + 1)) / 2**n


# %% above 1 for an even split task="paired" right=false
from math import comb


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n = won + lost
    return won, lost, 2 * sum(comb(n, k) for k in range(max(won, lost), n + 1)) / 2**n if n else 1.0


# %% without the split itself task="paired" right=false
from math import comb


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n = won + lost
    return won, lost, min(1.0, 2 * sum(comb(n, k) for k in range(max(won, lost) + 1, n + 1)) / 2**n)


# %% overflows task="paired" right=false
from math import comb


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n = won + lost
    return won, lost, min(1.0, 2 * sum(comb(n, k) * 0.5**n for k in range(max(won, lost), n + 1)))


# %% the approximation by χ² task="paired" right=false
from scipy.stats import chi2


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return won, lost, chi2.sf((won - lost) ** 2 / (won + lost), 1) if won + lost else 1.0


# %% the approximation by χ², corrected task="paired" right=false
from scipy.stats import chi2


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return won, lost, chi2.sf(max(abs(won - lost) - 1, 0) ** 2 / (won + lost), 1) if won + lost else 1.0


# %% the coin thrown for every image task="paired" right=false
from scipy.stats import binomtest


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return won, lost, binomtest(won, len(first)).pvalue


# %% won and lost exchanged task="paired" right=false
from scipy.stats import binomtest


def paired_difference(first, second):
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    return won, lost, binomtest(won, won + lost).pvalue if won + lost else 1.0


# %% all right answers task="paired" right=false
from scipy.stats import binomtest


def paired_difference(first, second):
    won, lost = int(second.sum()), int(first.sum())
    return won, lost, binomtest(won, won + lost).pvalue


# %% shares task="paired" right=false
from scipy.stats import binomtest


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return won / len(first), lost / len(first), binomtest(won, won + lost).pvalue if won + lost else 1.0


# %% fails where nothing differs task="paired" right=false
from scipy.stats import binomtest


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    return won, lost, binomtest(won, won + lost).pvalue


# %% p alone task="paired" right=false
from math import comb


def paired_difference(first, second):
    won, lost = int((second & ~first).sum()), int((first & ~second).sum())
    n = won + lost
    return min(1.0, 2 * sum(comb(n, k) for k in range(max(won, lost), n + 1)) / 2**n)


# %% the smallest of each column task="worst" right=true
def worst_case(correct):
    return correct.float().min(dim=0).values.mean()


# %% a loop over the images task="worst" right=true
def worst_case(correct):
    columns = list(zip(*correct.tolist(), strict=True))
    return sum(all(column) for column in columns) / len(columns)


# %% the worst mean task="worst" right=false
def worst_case(correct):
    return correct.float().mean(dim=1).min()


# %% the mean of all task="worst" right=false
def worst_case(correct):
    return correct.float().mean()


# %% survives one attack task="worst" right=false
def worst_case(correct):
    return correct.any(dim=0).float().mean()


# %% the attacks that no image falls to task="worst" right=false
def worst_case(correct):
    return correct.all(dim=1).float().mean()


# %% a count task="worst" right=false
def worst_case(correct):
    return correct.all(dim=0).sum()


# %% one answer for each image task="worst" right=false
def worst_case(correct):
    return correct.all(dim=0)
