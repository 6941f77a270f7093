"""Every hand-over of an encoder accounts for every weight, and what we write is what the hub's tools read."""

import json
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from encoders import BROKEN, ENCODER, config, write
from training_rows import tiny_encoder
from xstilts.core.errors import CoverageError, UserError
from xstilts.store import models
from xstilts.training import init_model, load_encoder
from xstilts.training.tokenizer import Tokenizer

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("model") / "encoder")


@pytest.fixture
def rewritten(original: Path, tmp_path: Path) -> Callable[[Callable[[Weights], Weights]], Path]:
    """The original with its weights put through a function."""

    def rewrite(change: Callable[[Weights], Weights]) -> Path:
        (tmp_path / "config.json").write_bytes((original / "config.json").read_bytes())
        save_file(change(load_file(original / "model.safetensors")), tmp_path / "model.safetensors")
        return tmp_path

    return rewrite


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + key: tensor for key, tensor in weights.items()}


def same_weights(encoder: torch.nn.Module, folder: Path) -> bool:
    stored = load_file(folder / "model.safetensors")
    return all(torch.equal(tensor, stored[key]) for key, tensor in encoder.state_dict().items())


def test_every_weight_is_loaded_from_the_file(original: Path) -> None:
    encoder, report = load_encoder(original)
    assert report.loaded == len(encoder.state_dict())
    assert same_weights(encoder, original)


@pytest.mark.usefixtures("original")
class TestLayouts:
    def test_language_model_with_prefix_and_head(self, rewritten, original: Path) -> None:
        head = {"lm_head.bias": torch.zeros(3)}
        encoder, report = load_encoder(rewritten(lambda weights: prefixed("roberta.")(weights) | head))
        assert report.prefix == "roberta."
        assert report.leftovers == ("lm_head.bias",)
        assert same_weights(encoder, original)

    def test_no_pooler_is_no_loss(self, rewritten) -> None:
        folder = rewritten(lambda weights: {k: w for k, w in weights.items() if not k.startswith("pooler.")})
        encoder, report = load_encoder(folder)
        assert report.loaded == len(encoder.state_dict()) - 2

    def test_half_precision_becomes_float32(self, rewritten) -> None:
        encoder, _ = load_encoder(rewritten(lambda weights: {key: w.half() for key, w in weights.items()}))
        assert {weight.dtype for weight in encoder.parameters()} == {torch.float32}

    def test_pickled_weights(self, original: Path, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_bytes((original / "config.json").read_bytes())
        torch.save(load_file(original / "model.safetensors"), tmp_path / "pytorch_model.bin")
        assert same_weights(load_encoder(tmp_path)[0], original)

    def test_weights_in_several_files(self, original: Path, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_bytes((original / "config.json").read_bytes())
        weights = load_file(original / "model.safetensors")
        parts = {key: f"model-{number % 2}.safetensors" for number, key in enumerate(weights)}
        for part in set(parts.values()):
            save_file({key: weights[key] for key in weights if parts[key] == part}, tmp_path / part)
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
        assert same_weights(load_encoder(tmp_path)[0], original)


class TestCoverage:
    def test_wrong_prefix_fails_with_counts_and_names(self, rewritten, original: Path) -> None:
        total = len(load_file(original / "model.safetensors"))
        with pytest.raises(CoverageError, match=rf"{total - 2} missing .*{total} unexpected \(xlm-roberta\."):
            load_encoder(rewritten(prefixed("xlm-roberta.")))

    def test_missing_weight_fails(self, rewritten) -> None:
        def without(weights: Weights) -> Weights:
            del weights["encoder.layer.1.output.dense.weight"]
            return weights

        with pytest.raises(CoverageError, match=r"1 missing \(encoder\.layer\.1\.output\.dense\.weight\)"):
            load_encoder(rewritten(without))

    def test_one_layer_too_many_fails(self, rewritten) -> None:
        extra = {"encoder.layer.2.output.dense.weight": torch.zeros(2)}
        with pytest.raises(CoverageError, match="1 unexpected"):
            load_encoder(rewritten(lambda weights: weights | extra))

    def test_encoder_key_outside_of_the_prefix_fails(self, rewritten) -> None:
        extra = {"encoder.layer.0.output.dense.bias": torch.zeros(2)}
        with pytest.raises(CoverageError, match="1 unexpected"):
            load_encoder(rewritten(lambda weights: prefixed("roberta.")(weights) | extra))

    def test_other_shape_fails(self, rewritten) -> None:
        key = "embeddings.word_embeddings.weight"
        with pytest.raises(CoverageError, match=r"1 mismatched \(embeddings\.word_embeddings\.weight \("):
            load_encoder(rewritten(lambda weights: weights | {key: weights[key][:-1].clone()}))


class TestRefusals:
    def test_folder_without_config(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"no config\.json"):
            load_encoder(tmp_path)

    def test_folder_without_weights(self, original: Path, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_bytes((original / "config.json").read_bytes())
        with pytest.raises(UserError, match="has no weights"):
            load_encoder(tmp_path)

    def test_other_architecture(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
        with pytest.raises(UserError, match="'gpt2' is not supported"):
            load_encoder(tmp_path)

    def test_truncated_weights(self, original: Path, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_bytes((original / "config.json").read_bytes())
        (tmp_path / "model.safetensors").write_bytes((original / "model.safetensors").read_bytes()[:999])
        with pytest.raises(UserError, match="cannot be read"):
            load_encoder(tmp_path)

    @pytest.mark.parametrize("kind", [*BROKEN, "tensors below a key", "tensors beside numbers"])
    def test_whatever_is_wrong_is_an_error_of_ours(self, tmp_path: Path, kind: str) -> None:
        """Also where nobody judged the files before: whoever made a store may have been an earlier version."""
        if kind in BROKEN:
            write(tmp_path, BROKEN[kind][0])
        else:
            write(tmp_path, {"config.json": ENCODER["config.json"], "tokenizer.json": ENCODER["tokenizer.json"]})
            tensors = {"w": torch.zeros(1)}
            torch.save(
                {"model": tensors} if "below" in kind else tensors | {"epoch": 1}, tmp_path / "pytorch_model.bin"
            )
        with pytest.raises((UserError, CoverageError)) as caught:
            (Tokenizer.load(tmp_path), load_encoder(tmp_path))
        assert "weights_only" not in str(caught.value)
        assert "PyTorch" not in str(caught.value)

    def test_code_of_a_folder_is_never_run_and_nobody_is_asked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
        own = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
        write(tmp_path, {"mine.py": f"open({str(tmp_path / 'ran')!r}, 'w')".encode()})
        for model_type in ("mine", None):
            write(tmp_path, {"config.json": config(model_type=model_type, auto_map=own)})
            with pytest.raises(UserError, match=r"own code \('auto_map'\) is never run"):
                load_encoder(tmp_path)
        assert not (tmp_path / "ran").exists()

    def test_a_known_architecture_with_code_beside_it_is_built_from_ours(
        self, original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked at the terminal"))
        shutil.copytree(original, tmp_path / "model")
        described = json.loads((original / "config.json").read_text())
        described["auto_map"] = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
        (tmp_path / "model" / "config.json").write_text(json.dumps(described))
        (tmp_path / "model" / "mine.py").write_text("raise RuntimeError('it ran')")
        encoder, _ = load_encoder(tmp_path / "model")
        assert same_weights(encoder, original)
        assert "auto_map" not in encoder.config.to_json_string(use_diff=False), "what we save names no code"


class TestJudgedWithoutTorch:
    """What torch, safetensors and transformers write is what a store takes."""

    def test_a_folder_of_ours(self, original: Path) -> None:
        assert "model.safetensors" in models.check_folder(original).names

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
    def test_pickled_tensors(self, original: Path, tmp_path: Path, zipped: bool) -> None:
        weights = load_file(original / "model.safetensors")
        some = {"half": torch.zeros(1).half(), "bf16": torch.zeros(1).bfloat16(), "int": torch.zeros(1).long()}
        parameters = {"parameter": torch.nn.Parameter(torch.zeros(1)), "size": torch.Size([1]), "type": torch.float32}
        for name in ("config.json", "tokenizer.json"):
            (tmp_path / name).write_bytes((original / name).read_bytes())
        content = OrderedDict(weights | some | parameters)
        torch.save(content, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        assert "pytorch_model.bin" in models.check_folder(tmp_path).names

    @pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
    def test_a_pickled_module_is_refused(self, original: Path, tmp_path: Path, zipped: bool) -> None:
        for name in ("config.json", "tokenizer.json"):
            (tmp_path / name).write_bytes((original / name).read_bytes())
        torch.save(torch.nn.Linear(1, 1), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
        with pytest.raises(UserError, match=r"other than tensors \(.*torch\.nn\.modules\.linear\.Linear"):
            models.check_folder(tmp_path)


class TestInitialization:
    def test_equal_texts_and_seed_give_equal_bytes(self, original: Path, tmp_path: Path) -> None:
        again = tiny_encoder(tmp_path / "again")
        assert sorted(file.name for file in again.iterdir()) == sorted(file.name for file in original.iterdir())
        assert all(file.read_bytes() == (original / file.name).read_bytes() for file in again.iterdir())

    def test_seeds_differ_in_weights_alone(self, original: Path, tmp_path: Path) -> None:
        other = tiny_encoder(tmp_path / "other", seed=1)
        differing = {f.name for f in other.iterdir() if f.read_bytes() != (original / f.name).read_bytes()}
        assert differing == {"model.safetensors"}

    def test_hub_tools_load_it_with_nothing_missing(self, original: Path) -> None:
        _, info = AutoModel.from_pretrained(original, output_loading_info=True)
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]

    def test_hub_tokenizer_agrees_with_ours(self, original: Path) -> None:
        hub, ours = AutoTokenizer.from_pretrained(original), Tokenizer.load(original)
        first, second = "set the \uff52\uff45\uff44 house", "of one friend"
        pair = ours.pair(*ours.texts([first, second]), max_length=64)
        assert hub(first, second)["input_ids"] == list(pair)
        assert (hub.cls_token_id, hub.pad_token_id, hub.sep_token_id, hub.unk_token_id) == (0, 1, 2, 3)
        assert hub.mask_token_id == ours.size - 1 == len(hub) - 1

    def test_few_texts_make_a_small_vocabulary(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        init_model(["a"], tmp_path / "small", hidden_size=8, layers=1)
        assert Tokenizer.load(tmp_path / "small").size < 20
        assert "fewer than the 2000 asked for" in caplog.text

    def test_no_text_at_all_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="needs texts"):
            init_model(["  "], tmp_path / "empty")
        assert not (tmp_path / "empty").exists()

    def test_saved_config_names_no_folder(self, original: Path) -> None:
        assert str(original.parent) not in (original / "config.json").read_text()
