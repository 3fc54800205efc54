"""Rows on which NannyML's CBPE and ours are compared.

`.venv-peers/bin/python -m tests.monitoring.cbpe_rows` writes what NannyML says to nannyml_cbpe.json.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

Rows = tuple[np.ndarray, np.ndarray]
CHUNK = 5_000


def rows() -> tuple[Rows, list[Rows]]:
    """Return scores and truths of the reference, then of six chunks that move away from it."""
    random = np.random.default_rng(11)

    def drawn(size: int, mean: float) -> Rows:
        logit = random.normal(mean, 1.2, size)
        truth = random.random(size) < 1 / (1 + np.exp(-0.6 * logit + 0.3))
        return 1 / (1 + np.exp(-logit)), truth

    return drawn(4 * CHUNK, 0.0), [drawn(CHUNK, 0.2 * number) for number in range(6)]


def main() -> None:
    """Ask NannyML."""
    import nannyml
    import pandas as pd

    def frame(scores: np.ndarray, truths: np.ndarray) -> pd.DataFrame:
        said = (scores >= 0.5).astype(int)
        return pd.DataFrame({"score": scores, "said": said, "truth": truths.astype(int)})

    reference, chunks = rows()
    estimator = nannyml.CBPE(
        y_pred_proba="score",
        y_pred="said",
        y_true="truth",
        problem_type="classification_binary",
        metrics=["roc_auc"],
        chunk_size=CHUNK,
    )
    estimator.fit(frame(*reference))
    now = pd.concat([frame(*chunk) for chunk in chunks]).drop(columns="truth")
    found = estimator.estimate(now).filter(period="analysis").to_df()
    auc = [float(value) for value in found[("roc_auc", "value")]]
    kept = {"nannyml": nannyml.__version__, "auc": auc}
    Path(__file__).with_name("nannyml_cbpe.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
