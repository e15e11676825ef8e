"""Table, figure and words of the map: which method is right where, and what it costs."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import map_statistics
from defectpool.evaluation.map_answers import read_answers
from defectpool.evaluation.predictions import read_audit
from defectpool.evaluation.tables import write_csv
from defectpool.reporting import map_words, plots_coverage, plots_map
from defectpool.runtime.atomic_write import write_text
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    networks = list(snakemake.params.audits)
    raw = pd.concat([read_answers(Path(path)) for path in snakemake.input.answers])
    answers, thresholds = map_statistics.verdicts(raw, networks)
    resamples = snakemake.params.bootstrap
    table = map_statistics.table(answers, resamples)
    write_csv(table, Path(snakemake.output.csv))
    overall = map_statistics.overall(table)
    plots_map.draw(overall, [Path(path) for path in snakemake.output.plot])
    plots_coverage.draw(answers, [Path(path) for path in snakemake.output.coverage])
    audits = snakemake.params.audits.items()
    seconds = {name: float(read_audit(Path(path))["seconds"]) for name, path in audits}
    differences = map_statistics.differences(answers, networks, resamples)
    costs = map_statistics.costs(answers, seconds)
    trust = map_statistics.trust(answers, networks)
    words = map_words.page(overall, differences, trust, costs, thresholds)
    write_text(Path(snakemake.output.words), words)
    print(words)
