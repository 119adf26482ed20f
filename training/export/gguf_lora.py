"""A PEFT LoRA adapter as a LoRA GGUF, which llama.cpp lays over a base model while it runs.

Refuses adapters that are more than pairs of matrices on linear layers (see `training.export.adapter`).
"""

from __future__ import annotations

from pathlib import Path

from gguf import GGUFType, GGUFWriter, LlamaFileType
from gguf.constants import Keys

from training.engine import checkpoint
from training.engine.models import base_of_adapter, is_adapter
from training.errors import UserError
from training.export.adapter import read_adapter
from training.export.architectures import read_layout
from training.export.files import Progress, new_file


def export_gguf_lora(
    adapter_dir: Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Write the adapter in `adapter_dir` to the file `out`, in F32, and return its path.

    Only the base's config.json is read, not its weights. Each weight `[out, in]` gives `<name>.lora_a` `[rank, in]`
    and `<name>.lora_b` `[out, rank]`; llama.cpp adds `alpha / rank · B A`. Raises UserError for what is missing,
    damaged or not supported, and for an `out` that exists unless `force`.
    """
    folder, target = Path(adapter_dir), Path(out)
    if not is_adapter(folder):
        raise UserError(f"{folder} holds no LoRA adapter (adapter_config.json). Export a whole model with --to gguf.")
    if (folder / checkpoint.MANIFEST).is_file():
        checkpoint.verify(folder)
    adapter, layout = read_adapter(folder), read_layout(base_of_adapter(folder))
    adapter.check_fits(layout.tensors, layout.folder)
    with new_file(target, force=force) as temporary:
        writer = GGUFWriter(temporary, layout.kind)
        try:
            writer.add_type(GGUFType.ADAPTER)
            writer.add_string(Keys.Adapter.TYPE, "lora")
            writer.add_float32(Keys.Adapter.LORA_ALPHA, adapter.alpha)
            writer.add_name(name or folder.resolve().name)
            writer.add_file_type(LlamaFileType.ALL_F32)
            for done, (weight, (a, b)) in enumerate(adapter.pairs.items(), 1):
                known_as = layout.gguf_name(weight)
                writer.add_tensor(f"{known_as}.lora_a", a.contiguous().numpy())
                writer.add_tensor(f"{known_as}.lora_b", layout.rearrange(weight, b.contiguous()).numpy())
                if progress is not None:
                    progress(done, len(adapter.pairs))
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()
    return target
