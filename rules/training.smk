"""Graphs of one defect and supercell become a trained, tested network: one entry of the table."""


rule train:
    input:
        graphs=graphs_of_entry,
        hosts=hosts_of_split(SETTINGS.training.split),
    output:
        model="results/training/{defect}/{supercell}/{pooling}/{convolution}/model.pt",
        history="results/training/{defect}/{supercell}/{pooling}/{convolution}/history.csv",
        predictions="results/training/{defect}/{supercell}/{pooling}/{convolution}/predictions.csv",
        audit="results/training/{defect}/{supercell}/{pooling}/{convolution}/audit.json",
    log:
        "results/logs/train/{defect}/{supercell}/{pooling}/{convolution}.log",
    conda:
        "../envs/environment.yaml"
    # One thread an entry: the same figures on any number of cores, and two entries side by side
    # are faster than one on two threads.
    threads: 1
    resources:
        mem_mb=memory(20),
        runtime=lambda wildcards, input, attempt: int(
            (240 + 5 * input.size_mb) * attempt
        ),
    params:
        network=settings("network"),
        training=settings("training", exclude={"device"}),
        # Not among the outputs, which a failed job loses: the epoch to go on from lies here.
        state=placed("results/state/{defect}/{supercell}/{pooling}/{convolution}"),
        code=code("train.py"),
    script:
        "../scripts/train.py"
