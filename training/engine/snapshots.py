"""Weights of earlier steps on the disk, and sampling with them: past Adversaries as opponents. No optimiser."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError
from training.runs.files import explained


class Snapshots:
    """The trained weights of `backend` at some steps: a file each in `folder`, whole or absent."""

    def __init__(self, folder: Path, backend: LocalTorchBackend) -> None:
        self._folder, self._backend = folder, backend

    def _file(self, step: int) -> Path:
        return self._folder / f"step_{step:06d}.safetensors"

    def _weights(self) -> dict[str, Tensor]:
        # Of an adapter these are its own weights alone.
        return {name: p.data for name, p in self._backend.model.named_parameters() if p.requires_grad}

    def keep(self, step: int) -> None:
        """Write the present weights as those of `step`; the same step gives the same file again."""
        file = self._file(step)
        partial = file.with_suffix(".partial")
        with explained("Writing the weights of an opponent", file):
            self._folder.mkdir(exist_ok=True)
            save_file({name: w.detach().cpu().contiguous() for name, w in self._weights().items()}, partial)
            partial.replace(file)

    def there(self, steps: Collection[int]) -> list[int]:
        """Those of `steps` that have a file."""
        return [step for step in steps if self._file(step).is_file()]

    def drop_others(self, steps: Collection[int]) -> None:
        """Remove the files of all but `steps`."""
        kept = {self._file(step) for step in steps}
        for file in self._folder.glob("step_*"):
            if file not in kept:
                file.unlink(missing_ok=True)

    @contextmanager
    def playing(self, step: int) -> Iterator[None]:
        """Sample with the weights of `step` inside the block; afterwards the present ones are back, bit for bit."""
        file = self._file(step)
        try:
            past = load_file(file, device="cpu")
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"The weights of an opponent in {file} cannot be read ({error}). Remove the file and resume the run: "
                "it goes on without this opponent."
            ) from error
        weights = self._weights()
        present = {name: tensor.clone() for name, tensor in weights.items()}
        try:
            _write(weights, past)
            yield
        finally:
            _write(weights, present)


@torch.no_grad()
def _write(weights: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, tensor in weights.items():
        tensor.copy_(values[name])
