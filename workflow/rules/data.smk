for dataset in STUDY.datasets:
    if raw_files(dataset):

        rule:
            name:
                f"fetch_{dataset}"
            output:
                update(raw_files(dataset)),
            log:
                f"{RESULTS}/logs/fetch-{dataset}.log",
            benchmark:
                f"{RESULTS}/benchmarks/fetch-{dataset}.tsv"
            conda:
                "../../envs/pipeline.yaml"
            params:
                dataset=dataset,
                mirrors=mirrors,
            shell:
                "python -m aebayes fetch {params.dataset} {params.mirrors:q} 2>&1 | tee {log:q}"


rule prepare:
    input:
        lambda wildcards: raw_files(wildcards.dataset),
    output:
        "data/processed/{dataset}.npz",
        "data/processed/{dataset}.json",
        "data/processed/{dataset}.provenance.json",
    log:
        f"{RESULTS}/logs/prepare-{{dataset}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/prepare-{{dataset}}.tsv"
    conda:
        "../../envs/pipeline.yaml"
    resources:
        processors=1,
    params:
        code=prepare_code,
    shell:
        "python -m aebayes prepare {wildcards.dataset} 2>&1 | tee {log:q}"
