"""Say what the campaign will cost."""

from pathlib import Path

from defectpool.campaign.plan import count_hosts, describe, estimate, measured
from defectpool.config import load

config = load(snakemake.params.config)
results = Path("results")
hosts, how = count_hosts(
    config, results, Path(__file__).parent / "defectpool" / "materials" / "embedded.csv"
)
rates = measured(results)
text = describe(estimate(config, hosts, rates), how, rates)
Path(snakemake.log[0]).write_text(text + "\n", encoding="utf-8")
print(text)
