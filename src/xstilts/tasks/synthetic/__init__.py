"""Synthetic multilingual corpora in upstream's formats: what demonstrations and tests run on, with nothing downloaded.

lexicon.yaml, languages  words and word orders of eight languages in five scripts
grammar                  clauses and their linearisation
vocabulary, draws        what rows are drawn from, without repetition over splits
inference, paraphrase, duplicates, reading, endings, quizzes, tagging, supertags, utterances, plain
                         one file a kind of task: its abstract row, how it is drawn, how it is written
corpora                  all of them in one folder
"""

from xstilts.tasks.synthetic.corpora import RECORD, ROWS, synthesize
from xstilts.tasks.synthetic.languages import LANGUAGES

__all__ = ["LANGUAGES", "RECORD", "ROWS", "synthesize"]
