"""Graphs of one defect and supercell become trained, tested networks, one for each row of the table.

A job trains one run; with `training.entries_per_job: all` those of all poolings and convolutions.
"""


localrules:
    convert_model,


NETWORK = "{pooling}/{convolution}"
RUN = f"{{defect}}/{{supercell}}/{NETWORK}"
JOB = "{defect}/{supercell}" if TOGETHER else RUN


rule train:
    input:
        graphs=graphs_of_run,
        hosts=hosts_of_split(SETTINGS.training.split),
    output:
        model=paths_of_job(f"results/training/{RUN}/model.pt"),
        history=paths_of_job(f"results/training/{RUN}/history.csv"),
        predictions=paths_of_job(f"results/training/{RUN}/predictions.csv"),
        audit=paths_of_job(f"results/training/{RUN}/audit.json"),
    log:
        f"results/logs/train/{JOB}.log",
    benchmark:
        f"results/benchmarks/train/{JOB}.tsv"
    conda:
        "../envs/environment.yaml"
    # One thread a run: the same results on any number of cores, and two runs side by side are
    # faster than one on two threads.
    threads: 1
    resources:
        mem_mb=memory_of_training,
        runtime=lambda wildcards, input, attempt: int(
            (240 + 5 * input.size_mb) * RUNS_IN_JOB * attempt
        ),
    params:
        pooling=values_of_job(pooling_of_run),
        convolution=values_of_job(convolution_of_run),
        network=settings("network"),
        training=training_settings(),
        # Not among the outputs, which a failed job loses: the checkpoint lies here.
        state=paths_of_job(placed(f"results/state/{RUN}")),
        code=values_of_job(code_of_training),
    script:
        "../scripts/train.py"


rule convert_model:
    input:
        f"results/training/{RUN}/model.pt",
    output:
        f"results/training/{RUN}/model.safetensors",
    log:
        f"results/logs/convert_model/{RUN}.log",
    benchmark:
        f"results/benchmarks/convert_model/{RUN}.tsv"
    conda:
        "../envs/environment.yaml"
    params:
        code=code("convert_model.py"),
    script:
        "../scripts/convert_model.py"
