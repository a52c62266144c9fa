rule train:
    input:
        data=lambda wildcards: data_of(wildcards.experiment),
        start=start_of,
    output:
        f"{RUNS}/{{experiment}}/checkpoint.safetensors",
        f"{RUNS}/{{experiment}}/optimiser.safetensors",
        f"{RUNS}/{{experiment}}/history.csv",
        f"{RUNS}/{{experiment}}/training.json",
    log:
        f"{RESULTS}/logs/train-{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train-{{experiment}}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: training_threads
    resources:
        gpu=GPU,
        processors=training_threads,
    params:
        study=STUDY.path,
        device=config["device"],
        settings=training_settings,
        code=training_code,
    shell:
        "python -m aebayes train {wildcards.experiment} --study {params.study:q}"
        " --device {params.device} 2>&1 | tee {log:q}"
