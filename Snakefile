"""One command regenerates every table and figure of the chosen study from raw data."""

from snakemake.utils import min_version

min_version("9.0")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/version.smk"


localrules:
    all,
    tables,
    figures,


onstart:
    fork_steps()


rule all:
    default_target: True
    input:
        rules.tables.input,
        rules.figures.input,
        rules.version.output,
