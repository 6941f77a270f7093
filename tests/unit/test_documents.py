"""Whatever a file holds, reading it as a Study ends soon, in a Study or in an error that says where and what to write."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xstilts.api.load import InvalidDocument, load_documents, load_study, parse_study
from xstilts.api.study import Study

VALID = """
metadata: {name: demo}
spec:
  model: {uri: model}
  recipes: [{name: mnli, tasks: [{name: mnli}]}]
  sizes: ["0", 100]
  seeds: [1]
  targets: [{name: xnli, languages: [de]}]
  store: {uri: store}
  tracking: {uri: "sqlite:///mlflow.db"}
"""
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{level}: &a{level} [*a{level - 1}]\n" for level in range(1, 500))


def complaint(text: str) -> str:
    with pytest.raises(InvalidDocument) as caught:
        parse_study(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("100]", "010000]", ["line 6", "010000 is 4096 in base 8", "write 10000"]),
        ("100]", "1" + ":1" * 200_000 + "]", ["a number of 400001 characters"]),
        ("100]", "1:30]", ["line 6", "1:30 is 90 in base 60", "write 90"]),
        ("[1]", "[017]", ["line 7", "017 is 15 in base 8", "write 17"]),
        ("[1]", "['017']", ["spec.seeds[0]: '017' is text", "write the number, 17, without quotes"]),
        ("[1]", "[08]", ["spec.seeds[0]: '08' is text", "write the number, 8"]),
        ("[1]", "[true]", ["spec.seeds[0]", "truth value", "write the number"]),
        ("100]", "yes]", ["spec.sizes[1]", "invalid size True"]),
        ("sizes:", "parallelism: on\n  sizes:", ["spec.parallelism", "truth value", "write the number, such as 1"]),
        ("sizes:", "budgets: [{epochs: yes}]\n  sizes:", ["spec.budgets[0].epochs", "true is a truth value"]),
        ("sizes:", "budgets: [{epochs: 1:30.5}]\n  sizes:", ["1:30.5 is 90.5 in base 60"]),
        ("[de]", "[no]", ["languages[0]", 'put the text in quotes, such as "no"']),
        ("[de]", "[on]", ["languages[0]", "put the text in quotes"]),
        ("{name: demo}", "{name: 2026-11-28}", ["metadata.name", 'put it in quotes, as "2026-11-28"']),
        ("{name: demo}", "{name: 12}", ["metadata.name", 'put it in quotes, as "12"']),
        ("{name: demo}", "{name: demo, labels: {1: x}}", ["line 2", "put 1 in quotes"]),
        ("{name: demo}", "{name: demo, labels: {on: x}}", ["line 2", "put on in quotes"]),
    ],
)
def test_what_yaml_reads_otherwise_is_refused_with_what_to_write(old: str, new: str, expected: list[str]) -> None:
    assert old in VALID
    message = complaint(VALID.replace(old, new))
    assert all(part in message for part in expected), message


@pytest.mark.parametrize("number", ["0", "1", "0x1F", "1_000", "+7"])
def test_other_spellings_of_a_number_mean_one_thing(number: str) -> None:
    study = parse_study(VALID.replace("seeds: [1]", f"seeds: [{number}]"))
    assert study.spec.seeds == (int(number, 0),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "more than 100,000 values"),
        (CHAIN, "nested more than 64 levels"),
        ("a: &a [*a]", "an alias stands inside of what it stands for"),
        ("[" * 3000, "nested more than 64 levels"),
        ("- " * 3000, "nested more than 64 levels"),
        ("? " * 3000, "nested more than 64 levels"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "nested more than 64 levels"),
        ("? [a, b]\n: c", "a key is text: put what is a list or mapping in quotes"),
        ("? {a: b}\n: c", "a key is text"),
        ("~: c", "a key is text: put ~ in quotes"),
        ("<<: {a: b}", "could not determine a constructor"),
        ("a: !!int b", "b is not what its form or tag says"),
        ("a: !!bool b", "b is not what its form or tag says"),
        ("a: !!timestamp b", "b is not what its form or tag says"),
        ("a: 2026-13-45", "month must be in 1..12"),
        ("a: 0b_", "not what its form or tag says"),
        ("a: " + "9" * 5000, "a number of 5000 characters"),
        ("a: !!python/object:os.system x", "could not determine a constructor"),
        ('a: "\\0"', "which no UTF-8 file or name can"),
        ('"\\ud83d": a', "which no UTF-8 file or name can"),
        ("a: \0", "special characters are not allowed"),
        ("a: b\n---\nc: d", "expected one document, found 2"),
        ("", "expected one document, found 0"),
        ("x" * 500, "found 'xxx"),
    ],
)  # fmt: skip
def test_a_hostile_or_broken_document_ends_in_one_error(text: str, expected: str) -> None:
    message = complaint(text)
    assert expected in message
    assert len(message) < 1000


def test_aliases_within_bounds_mean_what_they_stand_for() -> None:
    text = VALID.replace("seeds: [1]", "subsetSeeds: &seeds [1, 2]\n  seeds: *seeds")
    assert parse_study(text).spec.seeds == (1, 2)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a: \xff", "byte 3 is not UTF-8; save the file as UTF-8"),
        (VALID.encode("utf-16"), "is not UTF-8"),
        (b"a: b\n" * 300_000, "more than 1024 KiB"),
        (b"", "holds no document"),
    ],
    ids=["a byte", "UTF-16", "huge", "empty"],
)
def test_a_file_that_is_no_text_of_that_size_is_refused(data: bytes, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(data)
    with pytest.raises(InvalidDocument, match=expected):
        load_documents(file)


def test_a_folder_and_an_endless_device_are_no_studies(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="cannot be read: Is a directory"):
        load_study(tmp_path)
    with pytest.raises(InvalidDocument, match="more than 1024 KiB"):
        load_study(Path("/dev/zero"))


def test_a_study_with_a_byte_order_mark_is_one(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert load_study(tmp_path / "study.yaml").metadata.name == "demo"


SCALARS = st.one_of(
    st.sampled_from(
        ["yes", "no", "~", "010", "08", "1:30", "1.5", "1e3", ".inf", "2026-11-28", "2026-13-45", "0b_", "0x", "full",
         "<<", "=", "!!int x", "!!set {a}", "!!binary =", "!!omap [a]", "&a b", "*a", '"\\0"', '"\\ud800"', "'", '"'],
    ),
    st.integers().map(str),
    st.text(max_size=8),
)  # fmt: skip
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: f"[{', '.join(parts)}]"),
        st.lists(st.tuples(inner, inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=12,
)
PLACES = [part for part in VALID.replace("[", " ").replace("]", " ").replace("{", " ").split() if part.isalnum()]


def read(text: str) -> Study | str:
    """The Study, or what is wrong; no other exception."""
    try:
        return parse_study(text)
    except InvalidDocument as error:
        return str(error)


@settings(max_examples=300, deadline=None)
@given(text=st.one_of(TREES, st.text(max_size=60)))
@example(text="!!omap [a]")
def test_any_text_is_a_study_or_an_error_of_ours(text: str) -> None:
    assert read(text)


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(sorted({*PLACES, "mnli", "xnli", "store", "model", "100"})), value=TREES)
def test_any_value_in_any_place_of_a_study_is_taken_or_explained(place: str, value: str) -> None:
    outcome = read(VALID.replace(place, value, 1))
    assert isinstance(outcome, str) or Study.model_validate(outcome.document()) == outcome
