"""Phase one in small: masked-language-model training of an encoder on plain text of several languages.

The published encoders come with it; here it makes tiny encoders multilingual, with the objective of XLM-R (Conneau et
al. 2020): RoBERTa's masking and head, languages drawn with smoothing, no labels and no parallel text.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, linear
from torch.nn.utils import clip_grad_norm_
from transformers import PreTrainedModel

from xstilts.api.training import TrainingSettings
from xstilts.core.errors import DivergenceError, Preempted, UserError
from xstilts.core.results import DevScores
from xstilts.training.assembly import check_sizes
from xstilts.training.batches import Batch, Feature, bucketed, pack
from xstilts.training.checkpoints import LoopState, load_training, save_training
from xstilts.training.encoders import load_encoder, save_encoder
from xstilts.training.execution import arithmetic, learning_rate, memory_of, parameter_groups, prepare
from xstilts.training.folders import replacing
from xstilts.training.loop import LAST, FitResult, Progress, SavedModel
from xstilts.training.masking import LineOrder, MaskedTokens, Masking
from xstilts.training.model import HEADS_WEIGHTS
from xstilts.training.order import sample
from xstilts.training.packed import token_states
from xstilts.training.tokenizer import Tokenizer

HELD_OUT_SHARE = 0.02
"""Of the lines of a language: never trained on, for its perplexity."""


LARGEST_LOSS = 50.0
"""Above it a perplexity is written as that of this loss, to stay a finite number."""


class LanguageModelHead(nn.Module):
    """RoBERTa's: dense, GELU, layer norm, then the encoder's own embeddings as output weights, and a bias."""

    def __init__(self, *, hidden_size: int, vocab_size: int, epsilon: float) -> None:
        super().__init__()
        self.dense = nn.Linear(hidden_size, hidden_size)
        self.layer_norm = nn.LayerNorm(hidden_size, eps=epsilon)
        self.bias = nn.Parameter(torch.zeros(vocab_size))

    def forward(self, states: Tensor, embeddings: Tensor) -> Tensor:
        """[n, hidden] and [vocabulary, hidden] to scores [n, vocabulary]."""
        return linear(self.layer_norm(gelu(self.dense(states))), embeddings, self.bias)


class MaskedLanguageModel(nn.Module):
    """An encoder with the head on top."""

    def __init__(self, encoder: PreTrainedModel) -> None:
        super().__init__()
        self.encoder = encoder
        config = encoder.config
        self.head = LanguageModelHead(
            hidden_size=config.hidden_size, vocab_size=config.vocab_size, epsilon=config.layer_norm_eps
        )

    def forward(self, batch: Batch, masked: MaskedTokens) -> Tensor:
        """Mean cross-entropy of the hidden tokens, 0 where none is hidden: a scalar."""
        states = token_states(self.encoder, batch._replace(ids=masked.ids), places=masked.places)
        scores = self.head(states, self.encoder.get_input_embeddings().weight)
        return cross_entropy(scores, masked.targets, reduction="sum") / max(1, len(masked.targets))


def pretrain(
    *,
    encoder: Path,
    text: Mapping[str, Sequence[str]],
    steps: int,
    seed: int,
    smoothing: float,
    mask_probability: float,
    settings: TrainingSettings,
    workdir: Path,
    resume: Path | None = None,
    checkpoint_due: Callable[[int], bool] = lambda _: False,
    on_checkpoint: Callable[[Path, int], None] = lambda _, __: None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FitResult:
    """Trains the encoder on lines of text by language and writes `workdir/last`; history holds perplexities.

    Callbacks, resumption and errors are those of `loop.fit`: a resumed run ends with the bytes of one that never
    stopped.
    """
    run = _Run(encoder, text, steps, seed, smoothing, mask_probability, settings, workdir)
    if resume is not None:
        run.restore(resume)
    while run.state.step < steps:
        loss = run.train_step()
        step = run.state.step
        scores = run.look() if step % settings.evaluate_every_steps == 0 or step == steps else None
        on_progress(Progress(step, steps, loss, run.learning_rate(step - 1), scores))
        stopping = step < steps and should_stop()
        if step < steps and (stopping or checkpoint_due(step)):
            on_checkpoint(run.save(), step)
        if stopping:
            raise Preempted(f"stopped after step {step} of {steps}; the next attempt goes on from there")
    return run.finish()


class _Run:
    """A pretraining run between two steps."""

    def __init__(
        self,
        encoder: Path,
        text: Mapping[str, Sequence[str]],
        steps: int,
        seed: int,
        smoothing: float,
        mask_probability: float,
        settings: TrainingSettings,
        workdir: Path,
    ) -> None:
        self.settings, self.workdir, self.encoder_folder, self.seed = settings, workdir, encoder, seed
        self.device = prepare(settings)
        self.tokenizer = Tokenizer.load(encoder)
        self.masking = Masking.of(self.tokenizer, mask_probability)
        self.model = _model(encoder, self.tokenizer, seed=seed, settings=settings).to(self.device)
        self.train: list[list[Feature]] = []
        self.held_out: dict[str, list[Feature]] = {}
        for language, lines in text.items():
            train, held_out = _divided(language, _features(self.tokenizer, lines, settings), settings.dev_rows)
            self.train.append(train)
            self.held_out[language] = held_out
        rows = [len(lines) for lines in self.train]
        self.order = LineOrder(rows=rows, batch_size=settings.batch_size, smoothing=smoothing, seed=seed)
        self.state = LoopState(steps=steps)
        groups = parameter_groups(self.model, weight_decay=float(settings.weight_decay))
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, eps=float(settings.adam_epsilon), fused=True)

    def learning_rate(self, step: int) -> float:
        return learning_rate(step, steps=self.state.steps, settings=self.settings)

    def train_step(self) -> float:
        """One batch; its loss."""
        step = self.state.step
        lines = [self.train[line.language][line.row] for line in self.order[step]]
        self.model.train()
        self.optimizer.zero_grad()
        with memory_of(self.device, self.settings):
            loss, _ = self._loss(lines, "mask", self.seed, step)
            loss.backward()  # type: ignore[no-untyped-call]
            norm = clip_grad_norm_(self.model.parameters(), float(self.settings.max_grad_norm))
            value = float(loss.detach())
            if not (math.isfinite(value) and math.isfinite(float(norm))):
                raise DivergenceError(
                    f"pretraining, step {step + 1}: loss {value}, gradient norm {float(norm)} at learning rate "
                    f"{self.learning_rate(step):.3g}; lower learningRate or raise warmupRatio"
                )
            for group in self.optimizer.param_groups:
                group["lr"] = self.learning_rate(step)
            self.optimizer.step()
        self._advance(step=step + 1, loss_sum=self.state.loss_sum + value, loss_count=self.state.loss_count + 1)
        return value

    def look(self) -> dict[str, float]:
        """Perplexity of hidden tokens in each language's held-out lines; the masks are the same at each look."""
        scores = {f"perplexity/{language}": self._perplexity(language) for language in self.held_out}
        now = DevScores(step=self.state.step, loss=self.state.loss_sum / self.state.loss_count, scores=scores)
        self._advance(loss_sum=0.0, loss_count=0, history=(*self.state.history, now))
        return scores

    def save(self) -> Path:
        """A training checkpoint."""
        folder = self.workdir / "checkpoint"
        save_training(folder, model=self.model, optimizer=self.optimizer, state=self.state, best=self._no_best)
        return folder

    def restore(self, folder: Path) -> None:
        self.state = load_training(
            folder, model=self.model, optimizer=self.optimizer, best=self._no_best, steps=self.state.steps
        )

    def finish(self) -> FitResult:
        last = self.state.history[-1]
        folder = self.workdir / LAST
        with replacing(folder) as draft:
            save_encoder(self.model.encoder, draft, tokenizer_from=self.encoder_folder)
            weights = {
                name: weight.detach().cpu().contiguous() for name, weight in self.model.head.state_dict().items()
            }
            save_file(weights, draft / HEADS_WEIGHTS)
        return FitResult(
            steps=self.state.steps,
            examples=self.state.steps * self.settings.batch_size,
            history=self.state.history,
            checkpoints={LAST: SavedModel(folder, last.step, last.scores)},
            degenerate={},
        )

    @property
    def _no_best(self) -> Path:
        """Only the last model is kept: perplexity selects nothing."""
        return self.workdir / "best"

    @torch.inference_mode()
    def _perplexity(self, language: str) -> float:
        self.model.eval()
        total, tokens = 0.0, 0
        features = self.held_out[language]
        for number, indices in enumerate(bucketed(features, self.settings.batch_size)):
            loss, hidden = self._loss([features[index] for index in indices], "held-out", language, number)
            total += float(loss) * hidden
            tokens += hidden
        return math.exp(min(total / max(1, tokens), LARGEST_LOSS))

    def _loss(self, features: Sequence[Feature], *stream: str | int) -> tuple[Tensor, int]:
        """Mean loss of the hidden tokens, and how many there are; `stream` names the random numbers of the masks."""
        batch = pack(features)
        masked = self.masking(batch.ids, stream=stream).to(self.device)
        with arithmetic(self.device, self.settings):
            loss: Tensor = self.model(batch.to(self.device), masked)
        return loss, len(masked.targets)

    def _advance(self, **changes: object) -> None:
        self.state = self.state.model_copy(update=changes)


def _model(folder: Path, tokenizer: Tokenizer, *, seed: int, settings: TrainingSettings) -> MaskedLanguageModel:
    """The encoder with a fresh head; torch's generators are seeded before the head is made."""
    encoder, _ = load_encoder(folder, dropout=float(settings.dropout))
    check_sizes(encoder, tokenizer, settings, folder=folder)
    torch.manual_seed(seed)
    return MaskedLanguageModel(encoder)


def _features(tokenizer: Tokenizer, lines: Sequence[str], settings: TrainingSettings) -> list[Feature]:
    """A sequence a line, which loses its tail where it is too long."""
    limit = settings.max_length - 2
    return [Feature((tokenizer.single(tokens[:limit]),), None) for tokens in tokenizer.texts(lines)]


def _divided(language: str, features: Sequence[Feature], most: int) -> tuple[list[Feature], list[Feature]]:
    """Lines to train on and lines held out: at most `most`, and the same for every seed."""
    size = min(most, int(len(features) * HELD_OUT_SHARE))
    held_out = set(sample(f"held-out/{language}", rows=len(features), size=size)) if size else set()
    train = [feature for row, feature in enumerate(features) if row not in held_out]
    if not train:
        raise UserError(f"pretraining: language {language!r} has no line of text; leave it out of languages")
    return train, [features[row] for row in sorted(held_out)]
