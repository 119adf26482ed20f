"""Intervals and tests for paired, clustered, binary outcomes. Pure Python and numpy; no I/O.

Which for what: one outcome a problem `wilson`; several samples or hints a problem `wilson_clustered` or `avg_at_k`;
clean against hinted on the same problems `paired_bootstrap`, `flips`, `pdr`; the same in closed form, for hundreds of
points of a chart, `cluster_mean(..., limits=(-1, 1))`; two unrelated shares `newcombe`, or
`newcombe_clustered` over several problems; k hints against k
placebos `worst_of_k_effect`. How often each interval holds the truth is measured by tests/bench/bench_coverage.py.
"""

from training.core.statistics.clustered import cluster_mean, newcombe_clustered, wilson_clustered
from training.core.statistics.comparisons import Flips, WorstOfK, flips, pdr, worst_of_k, worst_of_k_effect
from training.core.statistics.intervals import Interval, newcombe, wilson
from training.core.statistics.mcnemar import mcnemar, mcnemar_clustered, mcnemar_exact
from training.core.statistics.planning import Needed, holm, needed_problems
from training.core.statistics.resampling import paired_bootstrap, sign_flip
from training.core.statistics.sampling import avg_at_k, evenness, maj_at_k, pass_at_k

__all__ = [
    "Flips",
    "Interval",
    "Needed",
    "WorstOfK",
    "avg_at_k",
    "cluster_mean",
    "evenness",
    "flips",
    "holm",
    "maj_at_k",
    "mcnemar",
    "mcnemar_clustered",
    "mcnemar_exact",
    "needed_problems",
    "newcombe",
    "newcombe_clustered",
    "paired_bootstrap",
    "pass_at_k",
    "pdr",
    "sign_flip",
    "wilson",
    "wilson_clustered",
    "worst_of_k",
    "worst_of_k_effect",
]
