rule evaluate:
    input:
        data=lambda wildcards: data_of(wildcards.experiment),
        checkpoint=f"{RUNS}/{{experiment}}/checkpoint.safetensors",
    output:
        f"{RUNS}/{{experiment}}/metrics.json",
        f"{RUNS}/{{experiment}}/arrays.npz",
        f"{RUNS}/{{experiment}}/evaluation.json",
    log:
        f"{RESULTS}/logs/evaluate-{{experiment}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/evaluate-{{experiment}}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    threads: training_threads
    resources:
        gpu=GPU,
        processors=training_threads,
    params:
        study=STUDY.path,
        device=config["device"],
        settings=evaluation_settings,
        code=evaluation_code,
    shell:
        "python -m aebayes evaluate {wildcards.experiment} --study {params.study:q}"
        " --device {params.device} 2>&1 | tee {log:q}"
