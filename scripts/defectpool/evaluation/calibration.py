"""Calibration of predicted probabilities: share of defective structures in bins of probability."""

import numpy as np
import pandas as pd

from defectpool.evaluation.statistics import wilson_interval


def calibration_curve(predictions: pd.DataFrame, bins: int) -> pd.DataFrame:
    """Calibration curve of one run, in bins of equally many predictions.

    Parameters
    ----------
    predictions
        Columns label and probability.
    bins
        Number of bins.

    Returns
    -------
    DataFrame
        probability (mean of the bin), share (defective), low and high (95 % Wilson interval of the
        share), count; one row per bin that is not empty.
    """
    order = np.argsort(predictions["probability"].to_numpy(), kind="stable")
    parts = [predictions.iloc[part] for part in np.array_split(order, bins) if len(part)]
    defective = np.array([part["label"].sum() for part in parts])
    count = np.array([len(part) for part in parts])
    low, high = wilson_interval(defective, count)
    return pd.DataFrame(
        {
            "probability": [part["probability"].mean() for part in parts],
            "share": defective / count,
            "low": low,
            "high": high,
            "count": count,
        }
    )
