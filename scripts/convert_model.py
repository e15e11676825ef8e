"""Write the networks of a run as safetensors, to pass them on."""

from pathlib import Path

from defectpool.network.model_file import read_model, write_models
from defectpool.runtime.job_log import logging_to

with logging_to(snakemake.log[0]):
    model = read_model(snakemake.input[0])
    write_models(Path(snakemake.output[0]), model)
    print(f"{len(model['models'])} networks")
