"""Plain text for pretraining: one file a language, one sentence or passage a line. No task: nothing is labelled."""

from collections.abc import Iterator
from pathlib import Path

from xstilts.core.catalogue import TEXT_SPLIT
from xstilts.tasks.definitions import Dataset, Layout, Task
from xstilts.tasks.examples import Text
from xstilts.tasks.files import lines


def text_lines(path: Path) -> Iterator[Text]:
    """The lines that are not blank."""
    for _, line in lines(path):
        if line.strip():
            yield Text(id="", text=line)


DATASETS = (
    Dataset(
        name="text",
        licence="that of the text",
        layouts=(Layout(name="lines", patterns=("text/{language}.txt",), split=TEXT_SPLIT, read=text_lines),),
    ),
)

TASKS: tuple[Task, ...] = ()
