# The DAG's last step, and a single one: two DVC commands at once would meet DVC's lock.
rule version:
    input:
        rules.tables.input,
        rules.figures.input,
        data=processed(STUDY.datasets),
        raw=[path for dataset in STUDY.datasets for path in raw_files(dataset)],
        runs=runs_files(
            STUDY.experiments,
            [
                "checkpoint.safetensors",
                "optimiser.safetensors",
                "history.csv",
                "metrics.json",
            ],
        ),
    output:
        f"{RESULTS}/dvc.yaml",
    log:
        f"{RESULTS}/logs/version.log",
    benchmark:
        f"{RESULTS}/benchmarks/version.tsv"
    conda:
        "../../envs/pipeline.yaml"
    params:
        study=STUDY.path,
        without=WITHOUT,
        code=code_of("version"),
    shell:
        "python -m aebayes version --study {params.study:q} {params.without}"
        " 2>&1 | tee {log:q}"
