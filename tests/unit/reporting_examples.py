"""Random predictions in the format of a training."""

import numpy as np
import pandas as pd


def predictions(hosts=60, repeats=1, skill=1.0, seed=0, per_host=2, spread=1.0):
    """Sample structures of hosts of different difficulty, defective and pristine in turn."""
    rng = np.random.default_rng(seed)
    rows = []
    difficulty = rng.normal(0, spread, hosts)
    for repeat in range(repeats):
        for host in range(hosts):
            for k in range(per_host + 2 * (host % 3)):
                label = k % 2
                logit = (2 * label - 1) * (skill + difficulty[host]) + rng.normal()
                best = logit + 0.2 * (2 * label - 1)
                rows.append(
                    {
                        "structure": f"h{host}:{k}",
                        "host": f"h{host}",
                        "formula": f"F{host // 2}",
                        "pair": f"h{host}:{k // 2}",
                        "name": "v_X",
                        "repeat": repeat,
                        "fold": host % 5,
                        "label": label,
                        "probability": 1 / (1 + np.exp(-logit)),
                        "probability_best_epoch": 1 / (1 + np.exp(-best)),
                    }
                )
    return pd.DataFrame(rows)
