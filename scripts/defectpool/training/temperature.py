"""Temperature by which logits are divided, so that probabilities are calibrated."""

from __future__ import annotations

from math import exp, log

import numpy as np
from scipy.optimize import minimize_scalar
from torch import Tensor

# No temperature beyond 1/4 to 4: where a network makes no mistake on the validation hosts, none is
# too low.
WIDEST = 4.0


def fitted_temperature(logits: Tensor, label: Tensor) -> float:
    r"""Temperature that minimizes the cross entropy of :math:`\sigma(l / T)`.

    It changes no verdict, only how sure it is (Guo et al., "On calibration of modern neural
    networks", ICML 2017).

    Parameters
    ----------
    logits, label
        Logits of crystals that the network was not trained on, and 1 for defective ones, [C].

    Returns
    -------
    float
        The temperature; 1 where there are no crystals.
    """
    values = logits.detach().cpu().double().numpy()
    signed = np.where(label.cpu().numpy() > 0.5, values, -values)
    if not len(signed):
        return 1.0

    def entropy(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -signed / exp(log_temperature)).mean())

    found = minimize_scalar(entropy, bounds=(-log(WIDEST), log(WIDEST)), method="bounded")
    return exp(float(found.x))
