"""What XTREME's `evaluate.py` does with a folder of predictions and one of labels, restated from its rules."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqeval.metrics import f1_score

from published_scorers import mlqa_words, squad_words, v1_scores

LANGUAGES = {
    "xnli": "ar bg de el en es fr hi ru sw th tr ur vi zh",
    "pawsx": "de en es fr ja ko zh",
    "udpos": "af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru ta te th tl tr ur vi yo zh",
    "panx": "af ar bg bn de el en es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr ms my nl pt ru sw ta te th tl"
    " tr ur vi yo zh",
    "xquad": "ar de el en es hi ru th tr vi zh",
    "mlqa": "ar de en es hi vi zh",
    "tydiqa": "ar bn en fi id ko ru sw te",
    "bucc2018": "de fr ru zh",
    "tatoeba": "af ar bg bn de el es et eu fa fi fr he hi hu id it ja jv ka kk ko ml mr nl pt ru sw ta te th tl tr ur"
    " vi zh",
}
GROUPS = {
    "classification": ("pawsx", "xnli"),
    "tagging": ("udpos", "panx"),
    "qa": ("xquad", "mlqa", "tydiqa"),
    "retrieval": ("bucc2018", "tatoeba"),
}


def evaluate(predictions: Path, labels: Path, languages: dict[str, list[str]] | None = None) -> dict[str, float]:
    """Scores of tasks, of groups of which all tasks are there, and of all nine as `all_task`.

    XTREME's languages, or those given. FileNotFoundError for a task that is there without one of them.
    """
    wanted = languages or {task: codes.split() for task, codes in LANGUAGES.items()}
    there = {path.name for path in predictions.iterdir()} & {path.name for path in labels.iterdir()}
    scores = {
        task: _mean([_one(task, predictions, labels, code) for code in codes])
        for task, codes in wanted.items()
        if task in there
    }
    groups = {
        group: _mean([scores[task] for task in tasks]) for group, tasks in GROUPS.items() if set(tasks) <= scores.keys()
    }
    return scores | groups | ({"all_task": _mean(list(scores.values()))} if len(scores) == 9 else {})


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _one(task: str, predictions: Path, labels: Path, language: str) -> float:
    suffix = "json" if task in GROUPS["qa"] else "tsv"
    found, gold = (folder / task / f"test-{language}.{suffix}" for folder in (predictions, labels))
    if not (found.exists() and gold.exists()):
        raise FileNotFoundError(f"{task} {language}")
    if task in GROUPS["qa"]:
        return _answers(found, gold, (lambda text: mlqa_words(text, language)) if task == "mlqa" else squad_words)
    if task in GROUPS["tagging"]:
        expected, tags = _sentences(gold), _sentences(found)
        assert len(expected) == len(tags)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return 100 * float(f1_score(expected, tags))
    expected, lines = _lines(gold), _lines(found)
    if task == "bucc2018":
        pairs, right = {tuple(line.split("\t")) for line in lines}, {tuple(line.split("\t")) for line in expected}
        return 200 * len(pairs & right) / (len(pairs) + len(right))
    assert len(expected) == len(lines)
    return 100 * sum(one == other for one, other in zip(expected, lines, strict=True)) / len(lines)


def _answers(found: Path, gold: Path, words: Callable[[str], list[str]]) -> float:
    texts = json.loads(found.read_text("ascii"))
    rows = [
        ([answer["text"] for answer in question["answers"]], texts[question["id"]])
        for article in json.loads(gold.read_text())["data"]
        for paragraph in article["paragraphs"]
        for question in paragraph["qas"]
    ]
    return sum(v1_scores([answers for answers, _ in rows], [text for _, text in rows], words)) / 2


def _lines(path: Path) -> list[str]:
    """Lines with their ends stripped; one that is not there ends the file as well."""
    with path.open(encoding="utf-8") as file:
        return [line.strip() for line in file]


def _sentences(path: Path) -> list[list[str]]:
    """Tags up to each empty line, and those after the last one, if any."""
    sentences: list[list[str]] = [[]]
    for line in _lines(path):
        if line:
            sentences[-1].append(line)
        else:
            sentences.append([])
    return sentences if sentences[-1] else sentences[:-1]


def write_labels(folder: Path, task: str, language: str, gold: list[tuple[str, Any, str]]) -> None:
    """Labels in XTREME's files, from rows of id, gold in the form of prediction files, and Tatoeba's English sentence."""
    target = folder / task / f"test-{language}.{'json' if task in GROUPS['qa'] else 'tsv'}"
    target.parent.mkdir(parents=True, exist_ok=True)
    if task in GROUPS["qa"]:
        questions = [{"id": name, "answers": [{"text": text} for text in answers]} for name, answers, _ in gold]
        target.write_text(json.dumps({"data": [{"paragraphs": [{"qas": questions}]}]}))
        return
    if task in GROUPS["tagging"]:
        lines = [line for _, tags, _ in gold for line in (*tags, "")]
    elif task == "bucc2018":
        lines = [f"{name}\t{english}" for name, english, _ in gold if english]
    elif task == "tatoeba":
        # preprocessing pairs each English line with its number before it sorts them by the lines alone
        lines = [str(number) for _, number in sorted(((row[2].strip(), at) for at, row in enumerate(gold)))]
    else:
        lines = [str(label) for _, label, _ in gold]
    target.write_text("".join(f"{line}\n" for line in lines))
