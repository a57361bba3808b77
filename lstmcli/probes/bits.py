"""How much of a symbol a linear readout knows, in bits.

The scores that ridge regression gives for the values of a symbol are made probabilities by

    q = softmax(a score + b)        one a, and a b for each value

whose a and b are fitted by maximum likelihood on steps of their own: for two values Platt's (1999)
scaling, with his targets, for more its form for many (Guo et al. 2017). On further steps

    bits = H(x) - cross-entropy(q)

which is below the mutual information of state and symbol in expectation, whatever q (Barber and
Agakov 2003), and is the information that a linear reader can use (Xu et al. 2020). H(x) is the
entropy of these steps' own frequencies, the smallest that a fixed guess could lose on them. Shapes
are written with n steps and V values, which come first: they are few, and sums over them quick.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

MOST_STEPS = 30
"""Of Newton's method; it takes a dozen where values can be told apart."""
CONVERGED = 1e-7
"""Nats that a step must still promise."""


def entropy(labels: Labels, classes: int) -> float:
    """Entropy of the labels' frequencies, in bits."""
    shares = np.bincount(labels, minlength=classes) / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def known(scores: Floats, labels: Labels, judged: Floats, judged_by: Labels) -> float:
    """The bits that scores know of a symbol, below 0 where they mislead.

    Args:
        scores: to calibrate on: `[V, n]`.
        labels: of these: `[n]`.
        judged: scores of other steps: `[V, m]`.
        judged_by: their labels: `[m]`.
    """
    slope, offsets = calibrate(scores, labels)
    log_q = _log_softmax(slope * judged + offsets[:, None])
    nats = -log_q[judged_by, np.arange(len(judged_by))].mean()
    return entropy(judged_by, len(scores)) - float(nats / np.log(2))


def calibrate(scores: Floats, labels: Labels) -> tuple[float, Floats]:
    """Fits a and b by Newton's method.

    Args:
        scores: `[V, n]`.
        labels: `[n]`.

    Returns:
        a, and b `[V]`.
    """
    targets = _smoothed(labels, len(scores))
    centre = scores.mean(1)
    scaled = scores - centre[:, None]
    scale = float(scaled.std()) or 1.0
    scaled /= scale
    found = np.append(0.0, np.log(targets.mean(1)))
    loss = _loss(found, scaled, targets)
    for _ in range(MOST_STEPS):
        gradient, curvature = _slopes(found, scaled, targets)
        step = np.linalg.solve(curvature, gradient)
        length = 1.0
        while (new := _loss(found - length * step, scaled, targets)) > loss and length > 1e-4:
            length /= 2
        if new > loss:
            break
        found, loss = found - length * step, new
        if step @ gradient < CONVERGED:
            break
    slope = float(found[0] / scale)
    return slope, found[1:] - slope * centre


def _smoothed(labels: Labels, classes: int) -> Floats:
    """Platt's targets, `[V, n]`: (N + 1) / (N + 2) for a label that is there N times, no certainty.

    The others share what is left: for two values 1 / (N + 2).
    """
    counts = np.bincount(labels, minlength=classes)
    own = (counts + 1) / (counts + 2)
    columns = np.tile((1 - own) / max(1, classes - 1), (classes, 1))  # [V, V], one for each label
    np.fill_diagonal(columns, own)
    return np.asarray(columns[:, labels])


def _loss(parameters: Floats, scores: Floats, targets: Floats) -> float:
    log_q = _log_softmax(parameters[0] * scores + parameters[1:, None])
    return -float(np.vdot(targets, log_q) / scores.shape[1])


def _slopes(parameters: Floats, scores: Floats, targets: Floats) -> tuple[Floats, Floats]:
    """Gradient `[1 + V]` and Hessian of the loss.

    The offsets are known up to a sum: a little is added to the Hessian's diagonal.
    """
    q = np.exp(_log_softmax(parameters[0] * scores + parameters[1:, None]))
    classes, count = q.shape
    wrong = (q - targets) / count
    gradient = np.append(np.vdot(wrong, scores), wrong.sum(1))
    weighted = q * (scores - (q * scores).sum(0))  # [V, n]
    hessian = np.empty((1 + classes, 1 + classes))
    hessian[0, 0] = np.vdot(weighted, scores) / count
    hessian[0, 1:] = hessian[1:, 0] = weighted.mean(1)
    hessian[1:, 1:] = np.diag(q.mean(1)) - q @ q.T / count
    return gradient, hessian + 1e-9 * np.eye(1 + classes)


def _log_softmax(logits: Floats) -> Floats:
    below = logits - logits.max(0)
    return np.asarray(below - np.log(np.exp(below).sum(0)))
