#!/bin/sh
# The demonstration on real files. $1 holds them in their upstream layouts: squad_v1.1, squad_v2.0, hellaswag, cosmosqa,
# commonsenseqa, noncommercial/xnli, xsid, xquad, ud, tatoeba. Nothing is downloaded, and nothing of them is copied into
# the repository.
set -eu
data=${1:?usage: examples/real/run.sh FOLDER}
folder=runs/real
if [ ! -d "$data/squad_v1.1" ]; then
    echo "$data has no squad_v1.1: name the folder with the real files, as in make demo-real XSTILTS_DATA=FOLDER" >&2
    exit 2
fi
xnli="$data/noncommercial/xnli/xtreme_format"
# Of Cosmos QA there is only valid.csv, a line a row: its first 2,470 rows become train. Plain text is that of XNLI,
# which is no target here: each of its sentences is a line.
mkdir -p "$folder/cut/cosmosqa" "$folder/cut/text"
head -n 2471 "$data/cosmosqa/valid.csv" >"$folder/cut/cosmosqa/train.csv"
sed '2,2471d' "$data/cosmosqa/valid.csv" >"$folder/cut/cosmosqa/valid.csv"
for language in ar de en es hi sw th ur zh; do
    cut -f 1,2 "$xnli/dev-$language.tsv" | tr '\t' '\n' >"$folder/cut/text/$language.txt"
done
xstilts model init "$folder/model" --text "$data/tatoeba/v1" --vocab-size 8000 --hidden-size 64 --layers 2
for pair in squad_v1=squad_v1.1 hellaswag=hellaswag commonsenseqa=commonsenseqa xsid=xsid xquad=xquad udpos=ud \
    tatoeba=tatoeba; do
    xstilts data import "${pair%%=*}" --from "$data/${pair#*=}" --store "$folder/store"
done
xstilts data import cosmosqa text --from "$folder/cut" --store "$folder/store"
xstilts data import squad_v2 --from "$data/squad_v2.0" --store "$folder/store" \
    --file train:en=dev-v2.0.train-part.json --file dev:en=dev-v2.0.dev-part.json
# These 300 rows are there in English and in translation, which is what a translated recipe needs.
xstilts data import xnli --from "$xnli" --store "$folder/store" \
    --file train:en=dev-en.tsv --file train:de=dev-de.tsv --file dev:en=dev-en.rows1-2100.tsv
xstilts run examples/real/study.yaml --out "$folder/report"

# Every target, from a store of its own, since a data set has one set of splits in a store. What has no rows for a split
# takes others: XNLI and PAWS-X are trained, and select, on the first English dev rows and are tested on the last; MLQA
# and MTOP are tested on dev and test; UNER is trained on the English dev set; FB's TOD on the English test set.
per_language() { # SPLIT PATTERN LANGUAGES: the options --file SPLIT:LANGUAGE=PATH, % in the pattern being the language
    for language in $3; do
        printf ' --file %s:%s=%s' "$1" "$language" "$(printf %s "$2" | sed "s/%/$language/g")"
    done
}
import() { # NAME FOLDER OPTIONS
    name=$1
    from=$2
    shift 2
    xstilts data import "$name" --from "$from" --store "$folder/targets" "$@"
}
# shellcheck disable=SC2046  # several options each
import xnli "$xnli" --file train:en=dev-en.rows1-2100.tsv --file dev:en=dev-en.rows1-2100.tsv \
    $(per_language test dev-%.tsv "ar de en es hi sw th ur zh")
# shellcheck disable=SC2046
import pawsx "$data/pawsx/xtreme_format" --file train:en=dev-en.rows1-1600.tsv --file dev:en=dev-en.rows1-1600.tsv \
    $(per_language test dev-%.tsv "de en es fr ja ko zh")
# shellcheck disable=SC2046
import mlqa "$data/mlqa/MLQA_V1/dev" \
    $(per_language test dev-context-%-question-%.json "ar de en es hi vi zh")
# shellcheck disable=SC2046
import mtop "$data/mtop_xsemplr" --file train:en=dev.json --file dev:en=test.json \
    $(per_language test test.json "de en es fr hi th")
import uner "$data/uner" --file train:en=UNER_English-EWT/en_ewt-ud-dev.iob2 \
    --file dev:en=UNER_English-EWT/en_ewt-ud-test.iob2
import fb_tod "$data/fb_multilingual_tod" --file train:en=en/test-en.tsv --file test:en=en/eval-en.tsv
for pair in americasnli=americasnli squad_v1=squad_v1.1 xquad=xquad tydiqa=tydiqa udpos=ud xsid=xsid tatoeba=tatoeba; do
    import "${pair%%=*}" "$data/${pair#*=}"
done
xstilts run examples/real/targets.yaml --out "$folder/targets-report"
xstilts verify examples/real/targets.yaml --out "$folder/targets-report"
