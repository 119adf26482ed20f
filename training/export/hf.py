"""A checkpoint as a plain Hugging Face folder, or as a LoRA adapter folder: nothing of the run but the model.

The optimiser's state, the loop's memory and the manifest stay behind. Refuses damaged checkpoints, and asking for an
adapter where the model was tuned whole.
"""

import shutil
from pathlib import Path

from safetensors.torch import save_file

from training.engine import checkpoint
from training.engine.models import is_adapter
from training.errors import UserError
from training.export.files import Progress, new_folder
from training.export.weights import CONFIG_FILE, INDEX_FILE, WEIGHTS_FILE, Weights, read_adapter

_MODEL_FILES = ("config.json", "generation_config.json", INDEX_FILE)
_TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "merges.txt",
)  # fmt: skip


def export_hf(model_dir: Path | str, out: Path | str, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Write the model in `model_dir` to the folder `out` as transformers reads it, and return that path.

    A whole model is copied as it is. A LoRA adapter is merged into its base: added in float32, stored in the base's
    type, one weight file in memory at a time. Raises UserError for what is missing or damaged, and for an `out` that
    exists unless `force`.
    """
    folder, target = Path(model_dir), Path(out)
    weights = Weights(folder)
    with new_folder(target, force=force) as temporary:
        _copy(_MODEL_FILES, weights.base, temporary)
        # The tokenizer beside the adapter is the one it was trained with; without one, the base's.
        own = any((folder / name).is_file() for name in _TOKENIZER_FILES[:2])
        _copy(_TOKENIZER_FILES, folder if own else weights.base, temporary)
        if weights.adapter is None:
            for done, file in enumerate(weights.files, 1):
                shutil.copyfile(file, temporary / file.name)
                _report(progress, done, len(weights.files))
        else:
            for done, (name, tensors) in enumerate(weights.by_file(), 1):
                save_file(tensors, temporary / name, metadata={"format": "pt"})
                _report(progress, done, len(weights.files))
    return target


def export_lora(
    model_dir: Path | str, out: Path | str, *, force: bool = False, progress: Progress | None = None
) -> Path:
    """Write the adapter in `model_dir` to the folder `out` as PEFT reads it, and return that path.

    The base model stays where it is; adapter_config.json names it. Raises UserError for a model that was tuned whole,
    for what is missing or damaged, and for an `out` that exists unless `force`.
    """
    folder, target = Path(model_dir), Path(out)
    if not is_adapter(folder):
        raise UserError(
            f"{folder} was tuned whole: there is no adapter to export. Use --to hf or --to gguf, "
            "or train with model.tuning = 'lora'."
        )
    if (folder / checkpoint.MANIFEST).is_file():
        checkpoint.verify(folder)
    read_adapter(folder)
    with new_folder(target, force=force) as temporary:
        _copy((CONFIG_FILE, WEIGHTS_FILE), folder, temporary)
        _copy(_TOKENIZER_FILES, folder, temporary)
        _report(progress, 1, 1)
    return target


def _copy(names: tuple[str, ...], source: Path, out: Path) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, out / name)


def _report(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)
