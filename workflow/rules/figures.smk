for figure, (experiments, datasets) in FIGURES.items():

    rule:
        name:
            rule_name(figure)
        input:
            runs=runs_files(experiments, ["metrics.json", "arrays.npz", "history.csv"]),
            data=processed(datasets),
        output:
            png=report(
                f"{RESULTS}/figures/{figure}.png",
                caption=f"../report/{figure}.rst",
                category="Figures",
                labels={"figure": figure},
            ),
            pdf=f"{RESULTS}/figures/{figure}.pdf",
            record=f"{RESULTS}/provenance/{figure}.json",
        log:
            f"{RESULTS}/logs/{figure}.log",
        benchmark:
            f"{RESULTS}/benchmarks/{figure}.tsv"
        conda:
            "../../envs/pipeline.yaml"
        resources:
            processors=1,
        params:
            name=figure,
            study=STUDY.path,
            without=WITHOUT,
            settings=STUDY.figures[figure],
            code=code_of("figure"),
        shell:
            "python -m aebayes figure {params.name} --study {params.study:q} {params.without}"
            " 2>&1 | tee {log:q}"


rule figures:
    input:
        [
            f"{RESULTS}/figures/{figure}.{kind}"
            for figure in FIGURES
            for kind in ("png", "pdf")
        ],
        [f"{RESULTS}/provenance/{figure}.json" for figure in FIGURES],
