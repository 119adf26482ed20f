"""Published problem sets by name, one declaration each: where it is, how it is read, k, licence, and who says so.

`k` is how many samples a problem gets for avg@k. It is ours, larger where a set is small; 32 on AIME is what published
reports use (DAPO, arXiv 2503.14476). A licence is that of the hub's copy as its card states it, and `NOT_STATED` where
the card is silent. Problems of the AIME, the AMC and the HMMT remain their organisers'.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.core.types import AnswerKind
from training.evaluation.problem_sets.types import NOT_STATED, ColumnMapping

_BY_NC_SA = "CC BY-NC-SA 4.0"
_CARD = "https://huggingface.co/datasets/"


@dataclass(frozen=True, slots=True)
class Preset:
    """A set on the hub. `kind` None reads numbers as numbers and everything else as expressions."""

    key: str
    title: str
    hub: str
    split: str
    mapping: ColumnMapping
    kind: AnswerKind | None
    k: int
    problems: int
    licence: str
    source: str
    """Who states the licence and the columns."""
    config: str = ""
    files: tuple[str, ...] = ()
    """These files of the hub's folder, where its data viewer would take others."""
    note: str = ""


_PROBLEM = ColumnMapping("problem", "answer", id="problem_idx")

_ALL = (
    Preset(
        "aime24", "AIME 2024", "HuggingFaceH4/aime_2024", "train",
        ColumnMapping("problem", "answer", id="id", solution="solution"), AnswerKind.NUMBER, 32, 30,
        NOT_STATED, _CARD + "HuggingFaceH4/aime_2024",
    ),
    Preset(
        "aime25", "AIME 2025", "MathArena/aime_2025", "train",
        ColumnMapping("problem", "answer", id="problem_idx", type="problem_type"), AnswerKind.NUMBER, 32, 30,
        _BY_NC_SA, _CARD + "MathArena/aime_2025",
    ),
    Preset(
        "aime26", "AIME 2026", "MathArena/aime_2026", "train", _PROBLEM, AnswerKind.NUMBER, 32, 30,
        _BY_NC_SA, _CARD + "MathArena/aime_2026/blob/main/README.md",
    ),
    Preset(
        "amc23", "AMC 2023", "math-ai/amc23", "test", ColumnMapping("question", "answer", id="id"),
        AnswerKind.NUMBER, 32, 40, NOT_STATED, _CARD + "math-ai/amc23",
    ),
    Preset(
        "math500", "MATH-500", "HuggingFaceH4/MATH-500", "test",
        ColumnMapping("problem", "answer", id="unique_id", type="subject", solution="solution"), None, 4, 500,
        NOT_STATED, _CARD + "HuggingFaceH4/MATH-500",
        note="The card is silent; the problems come from MATH by way of github.com/openai/prm800k, which is MIT.",
    ),
    Preset(
        "hmmt25", "HMMT February 2025", "MathArena/hmmt_feb_2025", "train",
        ColumnMapping("problem", "answer", id="problem_idx", type="problem_type"), None, 32, 30,
        _BY_NC_SA, _CARD + "MathArena/hmmt_feb_2025",
    ),
    Preset(
        "beyondaime", "BeyondAIME", "ByteDance-Seed/BeyondAIME", "test", ColumnMapping("problem", "answer"),
        AnswerKind.NUMBER, 8, 100, "CC0 1.0", _CARD + "ByteDance-Seed/BeyondAIME",
    ),
    Preset(
        "gsm8k", "GSM8K", "openai/gsm8k", "test", ColumnMapping("question", "answer"), AnswerKind.NUMBER, 1, 1319,
        "MIT", _CARD + "openai/gsm8k", config="main",
    ),
    Preset(
        "svamp", "SVAMP", "ChilleD/SVAMP", "train+test",
        ColumnMapping("Question", "Answer", type="Type", id="ID", context="Body"), AnswerKind.NUMBER, 1, 1000,
        "MIT", _CARD + "ChilleD/SVAMP",
        note="Both parts of the hub's copy together are the 1,000 problems of the original, which has no such parts.",
    ),
    Preset(
        "gsm-plus", "GSM-Plus", "qintongli/GSM-Plus", "test",
        ColumnMapping("question", "answer", type="perturbation_type", solution="solution", group="seed_question"),
        AnswerKind.NUMBER, 1, 10552, "CC BY-SA 4.0", _CARD + "qintongli/GSM-Plus",
        note="Questions that lack what is needed have the answer None: they cannot be verified and are left out.",
    ),
    Preset(
        "gsm-ic", "GSM-IC", "voidful/GSM-IC", "",
        ColumnMapping("new_question", "answer", type="sentence_label", group="original_question"),
        AnswerKind.NUMBER, 1, 58052, NOT_STATED, "https://github.com/google-research-datasets/GSM-IC",
        files=("GSM-IC_2step.json", "GSM-IC_mstep.json"),
        note="Named by file, because the only split that the hub shows is 1,000 clean questions of GSM8K.",
    ),
    Preset(
        "gsm-symbolic", "GSM-Symbolic", "apple/GSM-Symbolic", "test",
        ColumnMapping("question", "answer", id="id+instance", group="original_id"), AnswerKind.NUMBER, 1, 5000,
        "CC BY-NC-ND 4.0", _CARD + "apple/GSM-Symbolic", config="main",
    ),
    Preset(
        "gsm-symbolic-p1", "GSM-Symbolic P1", "apple/GSM-Symbolic", "test",
        ColumnMapping("question", "answer", id="id+instance", group="original_id"), AnswerKind.NUMBER, 1, 5000,
        "CC BY-NC-ND 4.0", _CARD + "apple/GSM-Symbolic", config="p1",
    ),
    Preset(
        "gsm-symbolic-p2", "GSM-Symbolic P2", "apple/GSM-Symbolic", "test",
        ColumnMapping("question", "answer", id="id+instance", group="original_id"), AnswerKind.NUMBER, 1, 2500,
        "CC BY-NC-ND 4.0", _CARD + "apple/GSM-Symbolic", config="p2",
    ),
)  # fmt: skip

PRESETS = {preset.key: preset for preset in _ALL}
