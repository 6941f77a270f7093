"""Settings of one training phase. A task brings the paper's values; a Study may override any of them."""

from enum import StrEnum

from pydantic import Field

from xstilts.api.base import DecimalString, Model


class Precision(StrEnum):
    """Arithmetic of forward and backward passes; weights and optimizer state stay in float32."""

    FLOAT32 = "Float32"
    BFLOAT16 = "BFloat16"


class Selection(StrEnum):
    """Which checkpoint of a training stage is handed over and evaluated."""

    LAST = "Last"
    BEST = "Best"  # highest headline metric on the English dev set; the earlier one on a tie
    AVERAGED = "Averaged"  # mean of the weights at each tenth of the steps (Schmidt et al. 2023, arXiv 2305.16834)


class SelectionProtocol(StrEnum):
    """How the checkpoint whose scores are shown was selected: as in `Selection`, or by labels of the target language.

    Oracle takes in each language, of the checkpoints last, best and averaged, the one with the highest headline metric
    on that language's own dev set, or on its test set where it has no other: no result of zero-shot transfer, but a
    bound of what selection could gain (Keung et al. 2020).
    """

    LAST = "Last"
    BEST = "Best"
    AVERAGED = "Averaged"
    ORACLE = "Oracle"


class Tuning(StrEnum):
    """What is trained of the encoder.

    Prefix, for targets alone: deep prefixes before the keys and values of every layer are trained, the encoder stays as
    it is (Tu et al. 2022, arXiv 2210.12360).
    """

    FULL = "Full"
    PREFIX = "Prefix"


class ParserSettings(Model):
    """The decoder of semantic parsing, its training and its search; defaults are those of XSemPLR's XLM-R + PTR."""

    decoder_layers: int = Field(6, ge=1, le=48)
    """Transformer layers, as wide as the encoder."""
    label_smoothing: DecimalString = "0.1"
    """Share of the target distribution that is even over everything a parse may consist of."""
    beam_size: int = Field(5, ge=1, le=64)
    """Hypotheses that the search follows; 1 is greedy."""
    max_parse_tokens: int = Field(100, ge=1, le=4096)
    """Tokens of a parse at most."""


class TrainingSettings(Model):
    """Everything that changes the numbers of a training stage besides data, budget and seed.

    Defaults are those of jiant's XTREME runs of Phang et al. 2020 (science.md, section 3).
    """

    learning_rate: DecimalString = "0.00001"
    """Peak learning rate of AdamW, reached after warm-up and then decayed linearly to 0."""
    batch_size: int = Field(32, ge=1, le=65536)
    """Examples per forward and backward pass; times gradientAccumulation, per optimizer step."""
    gradient_accumulation: int = Field(1, ge=1, le=4096)
    """Batches whose gradients make one optimizer step, so that a step sees batchSize times as many examples."""
    epochs: DecimalString = "2"
    """Passes over the training data where no budget of the Study says otherwise."""
    max_length: int = Field(256, ge=8, le=8192)
    """Tokens of one input sequence; longer pairs lose the tail of the longer part."""
    doc_stride: int = Field(128, ge=1, le=4096)
    """Tokens from the start of one window of a long context to the start of the next, in span extraction: the step, as
    `doc_stride` of jiant and BERT; at most the length of a window. With a `max_length` below about 200 set it to half
    of that, or windows do not overlap, and answers across their borders are in none."""
    warmup_ratio: DecimalString = "0.1"
    """Share of the optimizer steps with a rising learning rate."""
    weight_decay: DecimalString = "0.01"
    """Decoupled decay of every weight but biases and layer norms."""
    adam_epsilon: DecimalString = "0.00000001"
    """Epsilon of AdamW's denominator."""
    max_grad_norm: DecimalString = "1"
    """Gradients are scaled down to this global L2 norm."""
    dropout: DecimalString = "0.1"
    """Dropout of encoder and heads."""
    evaluate_every_steps: int = Field(1000, ge=1)
    """Optimizer steps between looks at the English dev set; the last step always looks."""
    dev_rows: int = Field(2000, ge=1)
    """Rows of a random fixed sample of the English dev set; the whole set where it has fewer."""
    precision: Precision = Precision.FLOAT32
    """Arithmetic of the passes, Float32 or BFloat16; weights and optimizer state stay in float32."""
    threads: int = Field(1, ge=1, le=256)
    """CPU threads of the stage: fixed, because sums change with the number of threads."""
    selection: Selection = Selection.BEST
    """Checkpoint that is handed over and evaluated: Last, Best on the English dev set, or Averaged over the run."""
    tuning: Tuning = Tuning.FULL
    """Learning rates of prefixes are higher, 0.001 to 0.01 in that paper: set learningRate too."""
    prefix_length: int = Field(16, ge=1, le=512)
    """Vectors before the keys and values of each layer; Prefix only."""
    parser: ParserSettings = ParserSettings()
    """Of semantic parsing alone."""


class PretrainingSettings(TrainingSettings):
    """Settings of masked-language-model training. Tuning is Full; epochs, docStride and selection mean nothing."""

    learning_rate: DecimalString = "0.0006"
    """Peak learning rate; the default is RoBERTa's for its base size (Liu et al. 2019, table 9)."""


class Pooling(StrEnum):
    """How a sentence vector is made of token vectors."""

    MEAN = "Mean"  # over all tokens that are not padding, <s> and </s> included, as in jiant
    CLS = "Cls"  # the vector of <s>


class Similarity(StrEnum):
    """What makes two sentences near."""

    COSINE = "Cosine"
    MARGIN = "Margin"  # cosine over the mean cosine of both with their nearest neighbours (Artetxe and Schwenk 2019)


class RetrievalSettings(Model):
    """How sentences are embedded and compared where a target is retrieval without training."""

    layer: int | None = Field(None, ge=0, le=256)
    """Layer whose output is pooled, 0 being the embeddings; 14 of 24 by default, in proportion for other depths."""
    pooling: Pooling = Pooling.MEAN
    """Vector of a sentence: Mean of all its tokens, or that of the first, Cls."""
    similarity: Similarity | None = None
    """Cosine for tatoeba and Margin for bucc2018 where unset, as in the reference."""
    neighbours: int = Field(4, ge=1, le=64)
    """Nearest neighbours in either direction that a margin is taken over."""
