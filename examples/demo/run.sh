#!/bin/sh
# From nothing to a report: generated data, a tiny encoder, and the study beside this file. Every step can be repeated.
set -eu
folder=runs/demo
xstilts data synthesize "$folder/data"
xstilts model init "$folder/model" --text "$folder/data/text" --vocab-size 3000 --hidden-size 64 --layers 3
xstilts data import mnli hellaswag xnli udpos xsid tatoeba --from "$folder/data" --store "$folder/store"
xstilts run examples/demo/study.yaml --out "$folder/report"
