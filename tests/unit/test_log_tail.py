"""What is kept of a stage's log: the end of it, and nobody's secrets."""

import logging

import pytest

from xstilts.stages.log_tail import TAIL_BYTES, kept_log

log = logging.getLogger("xstilts.tests")


def test_a_log_of_any_length_keeps_its_last_lines():
    with kept_log() as tail:
        for number in range(5000):
            log.error("line %d with some words", number)
    lines = tail.content().decode().splitlines()
    assert TAIL_BYTES - 100 < len(tail.content()) <= TAIL_BYTES
    assert lines[-1].endswith("line 4999 with some words")
    assert all("xstilts.tests: line" in line for line in lines)


def test_one_endless_line_keeps_its_end():
    with kept_log() as tail:
        log.error("é" * TAIL_BYTES + "the end")
    assert len(tail.content()) == TAIL_BYTES
    assert tail.content().endswith(b"the end\n")


def test_what_is_logged_before_and_after_is_not_kept():
    log.error("before")
    with kept_log() as tail:
        log.error("during")
    log.error("after")
    assert tail.content().decode().splitlines()[0].endswith("during")
    assert len(tail.content().splitlines()) == 1


@pytest.mark.parametrize(
    "name",
    ["AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "HF_TOKEN"],
)
def test_secrets_of_the_environment_are_not_kept_even_in_tracebacks(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "hunter22")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    with kept_log() as tail:
        try:
            raise ValueError("header: hunter22 is false")
        except ValueError:
            log.exception("refused by http://user:pass@host/path")
    text = tail.content().decode()
    assert "hunter22" not in text
    assert "user" not in text
    assert text.endswith("ValueError: header: *** is false\n")
    assert "http://***@host/path" in text
