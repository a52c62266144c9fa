for table, experiments in TABLES.items():

    rule:
        name:
            rule_name(table)
        input:
            metrics=runs_files(experiments, ["metrics.json", "training.json"]),
            published="config/published.yaml",
        output:
            csv=report(
                f"{RESULTS}/tables/{table}.csv",
                caption=f"../report/{table}.rst",
                category="Tables",
                labels={"table": table},
            ),
            md=f"{RESULTS}/tables/{table}.md",
            tex=f"{RESULTS}/tables/{table}.tex",
            record=f"{RESULTS}/provenance/{table}.json",
        log:
            f"{RESULTS}/logs/{table}.log",
        benchmark:
            f"{RESULTS}/benchmarks/{table}.tsv"
        conda:
            "../../envs/pipeline.yaml"
        resources:
            processors=1,
        params:
            name=table,
            study=STUDY.path,
            without=WITHOUT,
            settings=STUDY.tables[table],
            code=code_of("table"),
        shell:
            "python -m aebayes table {params.name} --study {params.study:q} {params.without}"
            " 2>&1 | tee {log:q}"


rule tables:
    input:
        [
            f"{RESULTS}/tables/{table}.{kind}"
            for table in TABLES
            for kind in ("csv", "md", "tex")
        ],
        [f"{RESULTS}/provenance/{table}.json" for table in TABLES],
