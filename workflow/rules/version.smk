# The DAG's last step, and a single one: two DVC commands at once would meet DVC's lock.
rule version:
    input:
        rules.tables.input,
        rules.figures.input,
        published="config/published.yaml",
        data=[
            f"data/processed/{name}.{kind}"
            for name in STUDY.datasets
            for kind in ("npz", "json", "provenance.json")
        ],
        raw=[path for dataset in STUDY.datasets for path in raw_files(dataset)],
        runs=runs_files(
            STUDY.experiments,
            [
                *("checkpoint.safetensors", "optimiser.safetensors"),
                *("history.csv", "training.json"),
                *("metrics.json", "arrays.npz", "evaluation.json"),
            ],
        ),
    output:
        f"{RESULTS}/dvc.yaml",
        f"{RESULTS}/manifest.json",
        f"{RESULTS}/manifest.sha256",
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


# Of what is there, not of what could be made: it has no input, so that nothing is made first.
rule audit:
    log:
        f"{RESULTS}/logs/audit.log",
    conda:
        "../../envs/pipeline.yaml"
    params:
        study=STUDY.path,
    shell:
        "python -m aebayes audit --study {params.study:q} 2>&1 | tee {log:q}"
