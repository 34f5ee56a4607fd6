# What students might hand in for assignment 09. Each cell is one answer to one task: its header says what it does,
# which task it answers, and whether it deserves the marks.

# %% with backward and in-place clipping of a copy task="pgd" right=true
def pgd(network, images, labels, epsilon, step_size, steps):
    adversarial = images.clone().detach()
    for _ in range(steps):
        adversarial.requires_grad = True
        cross_entropy(network(adversarial), labels).backward()
        with torch.no_grad():
            moved = adversarial + step_size * adversarial.grad.sign()
            adversarial = images + (moved - images).clamp(-epsilon, epsilon)
            adversarial = adversarial.clamp(0, 1)
    return adversarial


# %% the change is followed, one image after the other task="pgd" right=true
def pgd(network, images, labels, epsilon, step_size, steps):
    results = []
    for image, label in zip(images, labels, strict=True):
        change = torch.zeros_like(image)[None].requires_grad_()
        for _ in range(steps):
            loss = -network(image + change).log_softmax(dim=1)[0, label]
            slope = torch.autograd.grad(loss, change)[0]
            change = torch.clamp(change.detach() + step_size * torch.sign(slope), -epsilon, epsilon)
            change = ((image + change).clamp(0, 1) - image).requires_grad_()
        results.append((image + change)[0])
    return torch.stack(results)


# %% descends the negative loss, first [0, 1], then the ball task="pgd" right=true
def pgd(network, images, labels, epsilon, step_size, steps):
    x = images.detach().clone()
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        slope = torch.autograd.grad(-cross_entropy(network(x), labels), x)[0]
        x = (x - step_size * slope.sign()).clamp(0, 1)
        x = torch.max(torch.min(x, images + epsilon), images - epsilon)
    return x.detach()


# %% makes the loss smaller task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    x = images.clone()
    for _ in range(steps):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
        x = (x - step_size * slope.sign()).clamp(low, high)
    return x.detach()


# %% no sign task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    x = images.clone()
    for _ in range(steps):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels, reduction="sum"), x)[0]
        x = (x + step_size * slope).clamp(low, high)
    return x.detach()


# %% the ball moves along task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    x = images.clone()
    for _ in range(steps):
        last = x.detach()
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
        x = x + step_size * slope.sign()
        x = torch.max(torch.min(x, last + epsilon), last - epsilon).clamp(0, 1)
    return x.detach()


# %% no clip to [0, 1] task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    x = images.clone()
    for _ in range(steps):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
        x = (x + step_size * slope.sign()).clamp(images - epsilon, images + epsilon)
    return x.detach()


# %% [0, 1] only at the end task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    x = images.clone()
    for _ in range(steps):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
        x = (x + step_size * slope.sign()).clamp(images - epsilon, images + epsilon)
    return x.detach().clamp(0, 1)


# %% epsilon only at the end task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    x = images.clone()
    for _ in range(steps):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
        x = (x + step_size * slope.sign()).clamp(0, 1)
    return x.detach().clamp(images - epsilon, images + epsilon)


# %% gradients add up task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    x = images.clone().requires_grad_()
    for _ in range(steps):
        cross_entropy(network(x), labels).backward()
        x.data = (x.data + step_size * x.grad.sign()).clamp(low, high)
    return x.detach()


# %% the gradient of the clean image task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    clean = images.clone().requires_grad_()
    slope = torch.autograd.grad(cross_entropy(network(clean), labels), clean)[0]
    x = images
    for _ in range(steps):
        x = (x + step_size * slope.sign()).clamp(low, high)
    return x


# %% one step task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    x = images.clone().requires_grad_()
    slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
    change = (step_size * slope.sign()).clamp(-epsilon, epsilon)
    return (images + change).clamp(0, 1)


# %% FGSM task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    x = images.clone().requires_grad_()
    slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
    return (images + epsilon * slope.sign()).clamp(0, 1)


# %% the network's answers for labels task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    labels = network(images).argmax(dim=1)
    x = images.clone()
    for _ in range(steps):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
        x = (x + step_size * slope.sign()).clamp(low, high)
    return x.detach()


# %% a random start task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    x = low + (high - low) * torch.rand_like(images)
    for _ in range(steps):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
        x = (x + step_size * slope.sign()).clamp(low, high)
    return x.detach()


# %% works on the images that it was given task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    for _ in range(steps):
        images.requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(images), labels), images)[0]
        images.data = (images.data + step_size * slope.sign()).clamp(low, high)
    return images.detach()


# %% one step too many task="pgd" right=false
def pgd(network, images, labels, epsilon, step_size, steps):
    low, high = (images - epsilon).clamp(min=0), (images + epsilon).clamp(max=1)
    x = images.clone()
    for _ in range(steps + 1):
        x = x.detach().requires_grad_()
        slope = torch.autograd.grad(cross_entropy(network(x), labels), x)[0]
        x = (x + step_size * slope.sign()).clamp(low, high)
    return x.detach()


# %% one gradient after the other task="average" right=true
def average_gradient(network, reformers, images, labels):
    total = torch.zeros_like(images)
    for reformer in reformers:
        x = images.clone().requires_grad_()
        cross_entropy(network(reformer(x)), labels, reduction="none").sum().backward()
        total = total + x.grad
    return total / len(reformers)


# %% the mean loss times the number of images, all stacked task="average" right=true
def average_gradient(network, reformers, images, labels):
    x = images.detach().clone().requires_grad_(True)
    logits = torch.cat([network(reformer(x)) for reformer in reformers])
    loss = cross_entropy(logits, labels.repeat(len(reformers)))
    return len(images) * torch.autograd.grad(loss, x)[0]


# %% torch.func, image by image task="average" right=true
def average_gradient(network, reformers, images, labels):
    def loss_of(image, label):
        return sum(-network(reformer(image[None])).log_softmax(dim=1)[0, label] for reformer in reformers)

    gradients = [torch.func.grad(loss_of)(image, label) for image, label in zip(images, labels, strict=True)]
    return torch.stack(gradients) / len(reformers)


# %% picks one at random task="average" right=false
import random


def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    loss = cross_entropy(network(random.choice(reformers)(x)), labels, reduction="sum")
    return torch.autograd.grad(loss, x)[0]


# %% the first reformer alone task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(network(reformers[0](x)), labels, reduction="sum"), x)[0]


# %% the mean of the reformed images task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    mean = sum(reformer(x) for reformer in reformers) / len(reformers)
    return torch.autograd.grad(cross_entropy(network(mean), labels, reduction="sum"), x)[0]


# %% the mean of the probabilities task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    mean = sum(network(reformer(x)).softmax(dim=1) for reformer in reformers) / len(reformers)
    return torch.autograd.grad(torch.nn.functional.nll_loss(mean.log(), labels, reduction="sum"), x)[0]


# %% the mean of the logits task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    mean = sum(network(reformer(x)) for reformer in reformers) / len(reformers)
    return torch.autograd.grad(cross_entropy(mean, labels, reduction="sum"), x)[0]


# %% sign before the mean task="average" right=false
def average_gradient(network, reformers, images, labels):
    signs = []
    for reformer in reformers:
        x = images.clone().requires_grad_()
        loss = cross_entropy(network(reformer(x)), labels, reduction="sum")
        signs.append(torch.autograd.grad(loss, x)[0].sign())
    return torch.stack(signs).mean(dim=0)


# %% sign after the mean task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    loss = sum(cross_entropy(network(reformer(x)), labels) for reformer in reformers)
    return torch.autograd.grad(loss, x)[0].sign()


# %% the sum over the reformers task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    loss = sum(cross_entropy(network(reformer(x)), labels, reduction="sum") for reformer in reformers)
    return torch.autograd.grad(loss, x)[0]


# %% the mean over the images task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    loss = sum(cross_entropy(network(reformer(x)), labels) for reformer in reformers) / len(reformers)
    return torch.autograd.grad(loss, x)[0]


# %% not through the reformers task="average" right=false
def average_gradient(network, reformers, images, labels):
    slopes = []
    for reformer in reformers:
        reformed = reformer(images).detach().requires_grad_()
        loss = cross_entropy(network(reformed), labels, reduction="sum")
        slopes.append(torch.autograd.grad(loss, reformed)[0])
    return torch.stack(slopes).mean(dim=0)


# %% no reformer task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(network(x), labels, reduction="sum"), x)[0]


# %% gradients add up, and divided by the wrong number task="average" right=false
def average_gradient(network, reformers, images, labels):
    x = images.clone().requires_grad_()
    slopes = []
    for reformer in reformers:
        cross_entropy(network(reformer(x)), labels, reduction="sum").backward()
        slopes.append(x.grad.clone())
    return torch.stack(slopes).mean(dim=0)


# %% one-hot and relu task="gain" right=true
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    is_right = torch.nn.functional.one_hot(labels, logits.shape[1]).bool()
    margin = logits.masked_fill(is_right, float("-inf")).max(dim=1).values - logits[is_right]
    punished = torch.relu(scores / thresholds - 1).sum(dim=1)
    return torch.minimum(margin, torch.full_like(margin, confidence)) - weight * punished


# %% loops task="gain" right=true
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    gains = []
    for line, label, marks in zip(logits, labels.tolist(), scores, strict=True):
        wrong = torch.cat([line[:label], line[label + 1 :]]).max()
        gain = torch.clamp(wrong - line[label], max=confidence)
        for mark, threshold in zip(marks, thresholds, strict=True):
            gain = gain - weight * torch.clamp((mark - threshold) / threshold, min=0)
        gains.append(gain)
    return torch.stack(gains)


# %% with the two largest logits task="gain" right=true
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    rows = torch.arange(len(labels))
    two = logits.topk(2, dim=1)
    wrong = torch.where(two.indices[:, 0] == labels, two.values[:, 1], two.values[:, 0])
    margin = (wrong - logits[rows, labels]).clamp(max=confidence)
    above = scores > thresholds
    return margin - weight * torch.where(above, (scores - thresholds) / thresholds, 0.0).sum(dim=1)


# %% the detectors pay task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (wrong - right).clamp(max=confidence) + weight * torch.relu((scores - thresholds) / thresholds).sum(dim=1)


# %% no hinge task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (wrong - right).clamp(max=confidence) - weight * ((scores - thresholds) / thresholds).sum(dim=1)


# %% one hinge for all detectors task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (wrong - right).clamp(max=confidence) - weight * torch.relu(((scores - thresholds) / thresholds).sum(dim=1))


# %% not in thresholds task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (wrong - right).clamp(max=confidence) - weight * torch.relu(scores - thresholds).sum(dim=1)


# %% the largest of all logits task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    punished = torch.relu((scores - thresholds) / thresholds).sum(dim=1)
    return (logits.amax(dim=1) - right).clamp(max=confidence) - weight * punished


# %% the other sign of the margin task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (right - wrong).clamp(max=confidence) - weight * torch.relu((scores - thresholds) / thresholds).sum(dim=1)


# %% no cap task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return wrong - right - weight * torch.relu((scores - thresholds) / thresholds).sum(dim=1)


# %% capped from below task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (wrong - right).clamp(min=confidence) - weight * torch.relu((scores - thresholds) / thresholds).sum(dim=1)


# %% the worst detector alone task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (wrong - right).clamp(max=confidence) - weight * torch.relu((scores - thresholds) / thresholds).amax(dim=1)


# %% the mean over the detectors task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (wrong - right).clamp(max=confidence) - weight * torch.relu((scores - thresholds) / thresholds).mean(dim=1)


# %% forgets the weight task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    return (wrong - right).clamp(max=confidence) - torch.relu((scores - thresholds) / thresholds).sum(dim=1)


# %% one number for the batch task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    punished = torch.relu((scores - thresholds) / thresholds).sum(dim=1)
    return ((wrong - right).clamp(max=confidence) - weight * punished).mean()


# %% their sum task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    punished = torch.relu((scores - thresholds) / thresholds).sum(dim=1)
    return ((wrong - right).clamp(max=confidence) - weight * punished).sum()


# %% the scores are detached task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    punished = torch.relu((scores.detach() - thresholds) / thresholds).sum(dim=1)
    return (wrong - right).clamp(max=confidence) - weight * punished


# %% the logits are detached task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    logits = logits.detach()
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    punished = torch.relu((scores - thresholds) / thresholds).sum(dim=1)
    return (wrong - right).clamp(max=confidence) - weight * punished


# %% writes into the logits task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    rows = torch.arange(len(labels))
    right = logits[rows, labels].clone()
    logits.data[rows, labels] = -torch.inf
    punished = torch.relu((scores - thresholds) / thresholds).sum(dim=1)
    return (logits.amax(dim=1) - right).clamp(max=confidence) - weight * punished


# %% zero instead of the right logit task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    one_hot = torch.nn.functional.one_hot(labels, 10)
    right, wrong = (logits * one_hot).sum(dim=1), (logits * (1 - one_hot)).amax(dim=1)
    return (wrong - right).clamp(max=confidence) - weight * torch.relu((scores - thresholds) / thresholds).sum(dim=1)


# %% the lesson's constants task="gain" right=false
def detector_aware_gain(logits, labels, scores, thresholds, weight, confidence):
    right = logits.gather(1, labels[:, None])[:, 0]
    wrong = logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1)
    punished = ((scores - thresholds) / thresholds + 0.02).clamp(min=0).sum(dim=1)
    return (wrong - right).clamp(max=1) - 3 * punished
