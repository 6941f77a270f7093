#!/bin/sh
# The study beside this file on generated data. Every step can be repeated.
set -eu
folder=runs/recipes
xstilts data synthesize "$folder/data"
xstilts model init "$folder/model" --text "$folder/data/text" --vocab-size 3000 --hidden-size 64 --layers 2
xstilts data import anli_plus mnli qqp squad_v1 squad_v2 hellaswag ccg cosmosqa commonsenseqa text xsid tatoeba \
    --from "$folder/data" --store "$folder/store"
xstilts run examples/recipes/study.yaml --out "$folder/report"
