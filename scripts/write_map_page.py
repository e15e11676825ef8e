"""Page of the map: figure, confusion, coverage, found defects, the most confident mistakes."""

from pathlib import Path

import pandas as pd

from defectpool.evaluation import map_statistics
from defectpool.evaluation.map_answers import Networks, read_answers
from defectpool.evaluation.map_confusion import with_names
from defectpool.evaluation.map_examples import shown_network
from defectpool.evaluation.predictions import read_audit, read_predictions
from defectpool.reporting import map_gallery, map_page, map_words
from defectpool.runtime.atomic_write import write_text
from defectpool.runtime.job_log import logging_to
from defectpool.structures.structure_files import read_structures

with logging_to(snakemake.log[0]):
    source, runs = snakemake.input, snakemake.params.runs
    raw = pd.concat([read_answers(Path(path)) for path in source.answers])
    answers, thresholds = map_statistics.verdicts(raw, list(runs))
    named = with_names(map_statistics.of_campaign(answers))
    network = shown_network(named, list(runs))
    run = runs[network]
    networks = Networks(Path(run["model"]), read_predictions(Path(run["predictions"])))
    shown = map_gallery.gallery(
        named,
        network,
        networks,
        (one for path in source.cells for one in read_structures(Path(path))),
        (one for path in source.relaxed for one in read_structures(Path(path))),
    )
    table = pd.read_csv(source.table, dtype={"value": str})
    differences = map_statistics.differences(answers, list(runs), snakemake.params.bootstrap)
    seconds = {name: float(read_audit(Path(one["audit"]))["seconds"]) for name, one in runs.items()}
    inputs = map_page.Inputs(
        named=named,
        plot=Path(source.plot).read_text(encoding="utf-8"),
        coverage_plot=Path(source.coverage_plot).read_text(encoding="utf-8"),
        best=map_words.best_rows(map_statistics.overall(table), differences),
        trust=map_words.trust_rows(map_statistics.trust(answers, list(runs))),
        costs=map_words.costs_rows(map_statistics.costs(answers, seconds)),
        thresholds=map_words.chosen(thresholds),
        network=network,
        probabilities=networks.names_types,
        **shown,
    )
    write_text(Path(snakemake.output[0]), map_page.page(inputs))
    for drawn in (one for group in shown.values() for one in group):
        print(drawn["title"])
