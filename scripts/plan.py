"""Cost estimate of the campaign."""

from pathlib import Path

from defectpool.campaign.plan import benchmarks, count_hosts, describe, estimate, measured
from defectpool.config import load

config = load(snakemake.params.config)
results = Path("results")
hosts, how = count_hosts(
    config, results, Path(__file__).parent / "defectpool" / "materials" / "embedded.csv"
)
rates, known = measured(results), benchmarks(results)
text = describe(estimate(config, hosts, rates, known), how, rates, len(known))
Path(snakemake.log[0]).write_text(text + "\n", encoding="utf-8")
print(text)
