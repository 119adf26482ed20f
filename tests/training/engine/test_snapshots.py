"""Facts about weights of earlier steps that are sampled with again."""

import pytest
import torch

from training.engine.base import LossParams, SamplingParams, TrainRow
from training.engine.models import bundled_starter
from training.engine.snapshots import Snapshots
from training.engine.torch_local import LocalTorchBackend
from training.errors import UserError

GREEDY = SamplingParams(12, temperature=0.0)


def bits(backend):
    return {name: p.detach().numpy().tobytes() for name, p in backend.model.named_parameters()}


@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_past_weights_play_and_the_present_ones_are_back_to_the_bit(tmp_path, tuning):
    backend = LocalTorchBackend(bundled_starter(), tuning=tuning, device="cpu", threads=1, learning_rate=0.05)
    snapshots = Snapshots(tmp_path / "opponents", backend)
    prompt = backend.codec.encode_chat([{"role": "user", "content": "Tom has 3 pens and buys 4. How many has he?"}])

    def answer():
        ((completion,),) = backend.sample([prompt], 1, GREEDY)
        return completion.tokens, completion.logprobs

    before, past = answer(), bits(backend)
    snapshots.keep(0)
    row = TrainRow(prompt, before[0], before[1], -1.0)
    for _ in range(3):
        backend.forward_backward([row], LossParams())
        backend.optim_step()
    after, present = answer(), bits(backend)
    assert after != before
    with snapshots.playing(0):
        assert answer() == before
        assert bits(backend) == past
    assert (answer(), bits(backend)) == (after, present)
    with pytest.raises(RuntimeError), snapshots.playing(0):
        raise RuntimeError
    assert bits(backend) == present


def test_files_of_steps_that_left_are_removed_and_a_damaged_one_is_named(tmp_path):
    backend = LocalTorchBackend(bundled_starter(), device="cpu", threads=1)
    snapshots = Snapshots(tmp_path / "opponents", backend)
    for step in (0, 20, 40):
        snapshots.keep(step)
    snapshots.drop_others([0, 40])
    assert snapshots.there([0, 20, 40]) == [0, 40]
    (tmp_path / "opponents" / "step_000040.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(UserError, match="step_000040"), snapshots.playing(40):
        pass
    assert torch.is_grad_enabled()
