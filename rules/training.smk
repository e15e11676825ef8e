"""Graphs of one defect and supercell become trained, tested networks: one run, a row of the table."""


localrules:
    convert_model,


RUN = "{defect}/{supercell}/{pooling}/{convolution}"


rule train:
    input:
        graphs=graphs_of_run,
        hosts=hosts_of_split(SETTINGS.training.split),
    output:
        model=f"results/training/{RUN}/model.pt",
        history=f"results/training/{RUN}/history.csv",
        predictions=f"results/training/{RUN}/predictions.csv",
        audit=f"results/training/{RUN}/audit.json",
    log:
        f"results/logs/train/{RUN}.log",
    benchmark:
        f"results/benchmarks/train/{RUN}.tsv"
    conda:
        "../envs/environment.yaml"
    # One thread a run: the same results on any number of cores, and two runs side by side are
    # faster than one on two threads.
    threads: 1
    resources:
        mem_mb=memory_of_training,
        runtime=lambda wildcards, input, attempt: int(
            (240 + 5 * input.size_mb) * attempt
        ),
    params:
        pooling=pooling_of_run,
        convolution=convolution_of_run,
        network=settings("network"),
        training=training_settings(),
        # Not among the outputs, which a failed job loses: the checkpoint lies here.
        state=placed(f"results/state/{RUN}"),
        code=code_of_training,
    script:
        "../scripts/train.py"


rule convert_model:
    input:
        rules.train.output.model,
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
