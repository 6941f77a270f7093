"""Whatever is done to them, a directory and a dictionary hold the same objects."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from xstilts.store import NotFound, ObjectStore, PreconditionFailed, open_store

FOLDERS = ["", "a/", "a/b/", "a-b/", "ä/"]
NAMES = ["x", "y.json", "z z"]  # never a folder's name: in a directory a key excludes those below it
KEYS = [folder + name for folder in FOLDERS for name in NAMES]

actions = st.lists(
    st.tuples(
        st.sampled_from(["put", "put if absent", "put if unchanged", "delete", "read"]),
        st.sampled_from(KEYS),
        st.binary(max_size=3),
    ),
    max_size=20,
)


def act(store: ObjectStore, action: str, key: str, data: bytes) -> object:
    """What the action answers, but for ETags, which each store chooses."""
    try:
        match action:
            case "put":
                store.put(key, data)
            case "put if absent":
                store.put(key, data, if_absent=True)
            case "put if unchanged":
                store.put(key, data, if_match=store.read_versioned(key)[1])
            case "delete":
                store.delete(key)
            case _:
                return store.read(key)
    except (NotFound, PreconditionFailed) as refusal:
        return type(refusal)
    return None


@settings(max_examples=50, deadline=None)
@given(actions=actions, prefix=st.sampled_from([*FOLDERS, *KEYS, "a", "nothing"]))
def test_a_directory_and_a_dictionary_agree(actions: list[tuple[str, str, bytes]], prefix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        directory, memory = open_store(str(Path(folder, "store"))), open_store("memory:")
        for action in actions:
            assert act(directory, *action) == act(memory, *action)
        seen = [[(info.key, info.size) for info in store.list(prefix)] for store in (directory, memory)]
        assert seen[0] == seen[1]
